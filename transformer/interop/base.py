"""A format for import and export. :mod:`interop.formats` is the registry of all formats."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from transformer.interop.files.sample import Sample

if TYPE_CHECKING:
    from transformer.checkpoint import Checkpoint


@dataclass(frozen=True, kw_only=True)
class Format:
    """A kind of file or folder from which a model is imported, or to which one is exported.

    The functions import torch only when they are called, so that listing formats needs none.

    name: one word, the value of ``--format``.
    one, several: its name in sentences, singular and plural, with the files' endings.
    recognise: whether a file is of this format; the first format in the registry that says so wins.
    read: makes a checkpoint from a file. None if the file is a checkpoint already, or if the user
        must first answer questions about it.
    fetch: the local file or folder for the name of an online model; None for any other text.
    write: writes a checkpoint in this format and returns the written files. None: no export.
    writes_folder: whether ``write`` makes a folder instead of a file.
    work: message while a file is read; ``{}`` is replaced by the file's name.
    source_help, target_help: help of the command line for SOURCE and OUT.
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
