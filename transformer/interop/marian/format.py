"""The format of MarianMT models, for the registry."""

from pathlib import Path
from typing import TYPE_CHECKING

from transformer.interop.base import Format
from transformer.interop.files.sample import Sample

if TYPE_CHECKING:
    from transformer.checkpoint import Checkpoint


def _recognise(sample: Sample) -> bool:
    names = [name for name in sample.members or () if not name.startswith("__MACOSX/")]
    return any(name.split("/")[-1] == "config.json" for name in names)


def _read(path: Path) -> "Checkpoint":
    from transformer.interop.marian.convert import import_marian

    return import_marian(path)


def _fetch(source: str) -> Path | None:
    from transformer.interop.marian import hub

    return hub.fetch(source) if hub.is_name(source) else None


def _write(checkpoint: "Checkpoint", folder: Path) -> list[Path]:
    from transformer.interop.marian.export import export_marian

    export_marian(checkpoint, folder)
    return sorted(folder.iterdir())


MARIAN = Format(
    name="marian",
    one="a MarianMT translation model (.zip)",
    several="MarianMT models (.zip)",
    recognise=_recognise,
    read=_read,
    fetch=_fetch,
    write=_write,
    writes_folder=True,
    work="Importing the translation model {}: its weights, vocabularies and sentence pieces. "
    "A large one takes half a minute…",
    source_help="a MarianMT model: a folder, a zip of one, or its name on the Hugging Face hub, "
    "such as Helsinki-NLP/opus-mt-en-de",
    target_help="for marian a folder",
)
