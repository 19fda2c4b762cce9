"""What a file is, told from its bytes: a name says only what somebody called it."""

import struct
from codecs import getincrementaldecoder
from collections.abc import Mapping
from pathlib import Path

from transformer.checkpoint.header import MAX_HEADER_BYTES, METADATA_KEY, parse_json
from transformer.errors import CheckpointError
from transformer.interop.files.archives import Archive
from transformer.vocabulary.vocabulary import printable

TAKEN = (
    "Taken are checkpoints of this app (.safetensors), state dicts of PyTorch (.pt, .pth, .bin, "
    ".ckpt or .safetensors) and MarianMT models (.zip)."
)
TORCH_MAGIC = bytes.fromhex("8a0a6cfc9c46f9206aa85019")
"""The number with which torch.save began before it wrote zip archives, as a pickle has it."""
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


def kind_of(path: Path) -> str:
    """What can be made of a file, or of a folder: "own", "state dict" or "marian".

    Raises:
        CheckpointError: nothing; it says what was found and what is taken.
    """
    if path.is_dir():
        if (path / "config.json").is_file():
            return "marian"
        raise CheckpointError(
            f"The folder {printable(path.name)} has no config.json, which a MarianMT model has. "
            f"{TAKEN}"
        )
    start = _start(path)
    if is_zip(path):
        with Archive(path) as archive:
            return _kind_of_archive(archive.members())
    if has_torch_magic(path):
        return "state dict"
    found = _kind_of_safetensors(path, start)
    if found:
        return found
    raise CheckpointError(f"This is {_what(start)}. {TAKEN}")


def is_zip(path: Path) -> bool:
    """Whether a file begins as a zip archive does."""
    return _start(path)[:4] in (b"PK\x03\x04", b"PK\x05\x06")


def has_torch_magic(path: Path) -> bool:
    """Whether a file begins as those that torch.save wrote before 2020."""
    start = _start(path)
    return start[:1] == b"\x80" and TORCH_MAGIC in start[:32]


def is_torch_zip(members: Mapping[str, int]) -> bool:
    """Whether an archive is one that torch.save wrote.

    Raises:
        CheckpointError: it is a program that TorchScript, or a whole model torch.export, wrote.
    """
    parts = [name.split("/") for name in members]
    if any("code" in part[1:2] or part[1:] == ["constants.pkl"] for part in parts):
        raise CheckpointError(
            "The file is a program that TorchScript wrote, not a state dict. Save the weights "
            'alone, torch.save(model.state_dict(), "model.pt"), and bring that file.'
        )
    return any(part[1:] == ["data.pkl"] for part in parts)


def _start(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(512)
    except OSError as error:
        raise CheckpointError(
            f"The file {printable(path.name)} could not be read: {error.strerror}."
        ) from None


def _kind_of_archive(members: Mapping[str, int]) -> str:
    if is_torch_zip(members):
        return "state dict"
    names = [name for name in members if not name.startswith("__MACOSX/")]
    if any(name.split("/")[-1] == "config.json" for name in names):
        return "marian"
    listed = ", ".join(printable(name) for name in names[:3])
    found = f"{len(names):,} files ({listed}{', …' if len(names) > 3 else ''})" if names else "none"
    raise CheckpointError(
        f"The zip archive has neither a config.json, as a MarianMT model has, nor tensors of "
        f"PyTorch; its files: {found}. {TAKEN}"
    )


def _kind_of_safetensors(path: Path, start: bytes) -> str:
    """ "own", "state dict", or nothing if the file does not begin as .safetensors."""
    if len(start) < 10:
        return ""
    length = struct.unpack("<Q", start[:8])[0]
    if start[8:9] != b"{" or not 2 <= length < 2**40:
        return ""
    if length > MAX_HEADER_BYTES or 8 + length > path.stat().st_size:
        return "own"  # whose reader says what is wrong
    with path.open("rb") as file:
        file.seek(8)
        raw = file.read(length)
    try:
        metadata = parse_json(raw, "The file's header").get("__metadata__")
    except CheckpointError:
        return "own"
    if isinstance(metadata, Mapping) and METADATA_KEY in metadata:
        return "own"
    return "state dict"


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
        text = getincrementaldecoder("utf-8")().decode(start)  # its last character may be cut
    except UnicodeDecodeError:
        return "a file of an unknown kind"
    if any(ord(mark) < 32 and mark not in "\t\r\n\f" for mark in text):
        return "a file of an unknown kind"
    if text.lstrip()[:1] == "<":
        return "a web page or another file of markup"
    if text.lstrip()[:1] in "{[":
        return "a file of JSON"
    return "a text file"
