"""The format of captures (:mod:`doctor.capture`), for the registry."""

from pathlib import Path
from typing import TYPE_CHECKING

from transformer.interop.base import Format
from transformer.interop.files.sample import Sample

if TYPE_CHECKING:
    from transformer.checkpoint import Checkpoint

KEY = "doctor-capture"
"""The key of a capture's description in the file's metadata."""


def _recognise(sample: Sample) -> bool:
    return sample.is_safetensors and sample.metadata is not None and KEY in sample.metadata


def _read(path: Path) -> "Checkpoint":
    from transformer.interop.captured.convert import import_capture

    return import_capture(path)


CAPTURE = Format(
    name="capture",
    one="a capture of your own model (.safetensors)",
    several="captures of one's own model (.safetensors)",
    recognise=_recognise,
    read=_read,
    work="Reading the model in {} by what it does, and comparing its logits…",
    source_help="a capture of your own model, made by capture.py (.safetensors)",
)
