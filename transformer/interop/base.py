"""What a format of models is. The registry of all formats is :mod:`interop.formats`."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from transformer.interop.files.sample import Sample

if TYPE_CHECKING:
    from transformer.checkpoint import Checkpoint


@dataclass(frozen=True, kw_only=True)
class Format:
    """A kind of file, or folder, that a model comes in or goes out as.

    The functions import what they need when they are called: no torch for a list of formats.

    name: one word for it, as ``--format`` takes it.
    one, several: what it is called in sentences, with the endings of its files.
    recognise: whether a file is of this format. Formats are asked in the registry's order.
    read: makes a checkpoint of a file. None where the file is a checkpoint already, or where a
        person must first say what the file does not.
    fetch: the file or folder behind a text that is a name elsewhere; None for any other text.
    write: writes a checkpoint in this format and returns the files it made. None: it cannot.
    writes_folder: whether that is a folder, which it makes, and not one file.
    work: what is being done while a file is read; ``{}`` stands for the file's name.
    source_help, target_help: what the command line says of SOURCE and OUT.
    """

    name: str
    one: str
    several: str
    recognise: Callable[[Sample], bool]
    read: "Callable[[Path], Checkpoint] | None" = None
    fetch: Callable[[str], Path | None] | None = None
    write: "Callable[[Checkpoint, Path], list[Path]] | None" = None
    writes_folder: bool = False
    work: str
    source_help: str = ""
    target_help: str = ""
