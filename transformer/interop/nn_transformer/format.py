"""The format of PyTorch state dicts, for the registry."""

from pathlib import Path
from typing import TYPE_CHECKING

from transformer.checkpoint.header import METADATA_KEY
from transformer.interop.base import Format
from transformer.interop.files.sample import Sample, has_torch_magic, is_torch_zip

if TYPE_CHECKING:
    from transformer.checkpoint import Checkpoint


def _recognise(sample: Sample) -> bool:
    if sample.is_safetensors:
        return sample.metadata is not None and METADATA_KEY not in sample.metadata
    return is_torch_zip(sample.members or ()) or has_torch_magic(sample.start)


def _write(checkpoint: "Checkpoint", path: Path) -> list[Path]:
    from transformer.interop.nn_transformer.export import export_state_dict

    return export_state_dict(checkpoint, path)


# No ``read``: tensors do not show heads or norms, so the user is asked first, by the page's form or
# the flags of ``import``.
STATE_DICT = Format(
    name="state-dict",
    one="a state dict of PyTorch (.pt, .pth, .bin, .ckpt, .safetensors)",
    several="state dicts of PyTorch (.pt, .pth, .bin, .ckpt or .safetensors)",
    recognise=_recognise,
    write=_write,
    work="Opening {} in a process of its own, in which no program can run…",
    source_help="a state dict (.pt, .pth, .bin or .safetensors)",
    target_help="for a state dict: .pt, .pth or .safetensors",
)
