"""Recognises a file by its first bytes, since its name may be wrong."""

import struct
from codecs import getincrementaldecoder
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from transformer.checkpoint.header import MAX_HEADER_BYTES, parse_json
from transformer.errors import CheckpointError, reading
from transformer.interop.files.archives import Archive
from transformer.vocabulary.vocabulary import printable

TORCH_MAGIC = bytes.fromhex("8a0a6cfc9c46f9206aa85019")
"""The pickled magic number with which torch.save began files before it wrote zip archives."""
BEGINNINGS = {
    b"version https://git-lfs": "a pointer to a large file, not the file itself; download it "
    "from the site's own download link",
    b"\x89PNG": "a PNG picture",
    b"\xff\xd8\xff": "a JPEG picture",
    b"GIF8": "a GIF picture",
    b"%PDF": "a PDF document",
    b"\x1f\x8b": "packed with gzip; unpack it first",
    b"7z\xbc\xaf": "a 7z archive; bring a .zip",
    b"Rar!": "a RAR archive; bring a .zip",
    b"\xfd7zXZ": "packed with xz; unpack it first",
    b"BZh": "packed with bzip2; unpack it first",
    b"\x89HDF": "an HDF5 file, as Keras writes them",
    b"GGUF": "a GGUF file of a language model",
    b"\x93NUMPY": "an array of NumPy",
    b"\x7fELF": "a program",
    b"MZ": "a program",
}


@dataclass(frozen=True)
class Sample:
    """What is known of a file or folder without building a model from it.

    start: the file's first bytes; empty for a folder.
    members: the names of the files in a folder or a zip archive; None for any other file.
    is_safetensors: whether it begins like a .safetensors file.
    metadata: of a .safetensors header; None if it cannot be read, or for any other file.
    """

    path: Path
    start: bytes = b""
    members: tuple[str, ...] | None = None
    is_safetensors: bool = False
    metadata: Mapping[str, Any] | None = None

    @classmethod
    def of(cls, path: Path) -> Self:
        """The sample of a file or folder.

        Raises:
            CheckpointError: it cannot be read, or is an archive that cannot be trusted.
        """
        if path.is_dir():
            with reading(path):
                files = (item.name for item in path.iterdir() if item.is_file())
                return cls(path, members=tuple(files))
        start = first_bytes(path)
        if is_zip(start):
            with Archive(path) as archive:
                return cls(path, start, members=tuple(archive.members()))
        if _is_safetensors(start):
            return cls(path, start, is_safetensors=True, metadata=_metadata(path, start))
        return cls(path, start)

    def unknown(self) -> str:
        """One sentence on what the file is, for the case that no format takes it."""
        if self.members is None:
            return f"This is {_what(self.start)}."
        if not self.start:
            folder = printable(self.path.name)
            return f"The folder {folder} has no config.json, which a MarianMT model has."
        names = [name for name in self.members if not name.startswith("__MACOSX/")]
        first = ", ".join(printable(name) for name in names[:3])
        found = f"{len(names):,} files ({first}{', …' if len(names) > 3 else ''})"
        return (
            "The zip archive has neither a config.json, as a MarianMT model has, nor tensors of "
            f"PyTorch; its files: {found if names else 'none'}."
        )


def first_bytes(path: Path) -> bytes:
    """The first 512 bytes of a file, enough to recognise it."""
    with reading(path), path.open("rb") as file:
        return file.read(512)


def is_zip(start: bytes) -> bool:
    """Whether a file begins like a zip archive."""
    return start[:4] in (b"PK\x03\x04", b"PK\x05\x06")


def has_torch_magic(start: bytes) -> bool:
    """Whether a file begins like those that torch.save wrote before 2020."""
    return start[:1] == b"\x80" and TORCH_MAGIC in start[:32]


def is_torch_zip(members: Iterable[str]) -> bool:
    """Whether an archive is one that torch.save wrote.

    Raises:
        CheckpointError: it is a program from TorchScript, or a whole model from torch.export.
    """
    parts = [name.split("/") for name in members]
    if any("code" in part[1:2] or part[1:] == ["constants.pkl"] for part in parts):
        raise CheckpointError(
            "The file is a program that TorchScript wrote, not a state dict. Save the weights "
            'alone, torch.save(model.state_dict(), "model.pt"), and bring that file.'
        )
    return any(part[1:] == ["data.pkl"] for part in parts)


def _is_safetensors(start: bytes) -> bool:
    return len(start) >= 10 and start[8:9] == b"{" and 2 <= _header_length(start) < 2**40


def _header_length(start: bytes) -> int:
    return int(struct.unpack("<Q", start[:8])[0])


def _metadata(path: Path, start: bytes) -> Mapping[str, Any] | None:
    length = _header_length(start)
    if length > MAX_HEADER_BYTES or 8 + length > path.stat().st_size:
        return None
    with path.open("rb") as file:
        file.seek(8)
        raw = file.read(length)
    try:
        metadata = parse_json(raw, "The file's header").get("__metadata__")
    except CheckpointError:
        return None
    return metadata if isinstance(metadata, Mapping) else {}


def _what(start: bytes) -> str:
    """What a file seems to be, in a few words."""
    if not start:
        return "an empty file"
    for beginning, name in BEGINNINGS.items():
        if start.startswith(beginning):
            return name
    if start[257:262] == b"ustar":
        return "a tar archive; bring a .zip"
    if start[:1] == b"\x80" and start[1:2] in b"\x02\x03\x04\x05":
        return "a Python pickle that torch.save did not write, and opening it could run any program"
    try:
        text = getincrementaldecoder("utf-8")().decode(start)  # its last character may be cut off
    except UnicodeDecodeError:
        return "a file of an unknown kind"
    if any(ord(mark) < 32 and mark not in "\t\r\n\f" for mark in text):
        return "a file of an unknown kind"
    if text.lstrip()[:1] == "<":
        return "a web page or another file of markup"
    if text.lstrip()[:1] in "{[":
        return "a file of JSON"
    return "a text file"
