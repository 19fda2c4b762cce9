"""The registry of import and export formats, for the pages and the command line.

A new format is a module with a :class:`Format`, and a line in ``FORMATS``.
"""

from pathlib import Path

from transformer.checkpoint.header import METADATA_KEY
from transformer.errors import CheckpointError, UserError
from transformer.interop.base import Format
from transformer.interop.captured.format import CAPTURE
from transformer.interop.files.sample import Sample
from transformer.interop.marian.format import MARIAN
from transformer.interop.nn_transformer.format import STATE_DICT


def _is_own(sample: Sample) -> bool:
    """A damaged header counts as ours, since our reader explains what is wrong with it."""
    if not sample.is_safetensors:
        return False
    return sample.metadata is None or METADATA_KEY in sample.metadata


OWN = Format(
    name="own",
    one="a checkpoint of this app (.safetensors)",
    several="checkpoints of this app (.safetensors)",
    recognise=_is_own,
    work="Checking {}: size, structure, every weight, and the checksum…",
)
FORMATS = (OWN, CAPTURE, STATE_DICT, MARIAN)
"""All formats; the first that recognises a file reads it."""


def recognise(path: Path) -> Format:
    """The format of a file or folder.

    Raises:
        CheckpointError: no format takes it; the message says what was found and what is taken.
    """
    sample = Sample.of(path)
    for item in FORMATS:
        if item.recognise(sample):
            return item
    *others, last = (item.several for item in FORMATS)
    raise CheckpointError(f"{sample.unknown()} Taken are {', '.join(others)} and {last}.")


def locate(source: str) -> tuple[Path, Format]:
    """The path and the format of what the user named: a path, or a model to download by name.

    Raises:
        UserError: there is no such file, or no format takes it.
    """
    for item in FORMATS:
        if item.fetch is not None and (path := item.fetch(source)) is not None:
            return path, item
    path = Path(source)
    if not path.exists():
        raise UserError(f"There is no file or folder {path}.")
    return path, recognise(path)
