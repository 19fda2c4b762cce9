"""Untrusted zip archives: names and sizes are checked before a member is opened.

The directory of a zip lists its members' names and sizes. All of it is checked before any member
is read, so that a few kilobytes cannot unpack to gigabytes. No file is ever written under a name
from the archive.
"""

import os
import stat
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from io import FileIO
from pathlib import Path
from typing import NoReturn, Self

from transformer.checkpoint.header import MAX_FILE_BYTES
from transformer.errors import CheckpointError, reading
from transformer.vocabulary.vocabulary import printable

MAX_MEMBERS = 10_000
MAX_DIRECTORY_BYTES = 2_000_000
"""Largest directory, which is read at once; 10,000 members with long names fit."""
MAX_RATIO = 100
"""Most bytes unpacked per packed byte: text has about 10, weights 1, a zip bomb 1,000."""
UNCHECKED_RATIO_BYTES = 1_000_000
"""Unpacked bytes that are allowed at any ratio."""
MAX_NAME = 200
PIECE = 1 << 20
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


class Archive:
    """A zip whose directory has been checked. Use it in a ``with`` block, or close it.

    Raises:
        CheckpointError: the file is no zip, or fails a check; one sentence says why.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with reading(path):
            self._file = _Bounded(path, "rb")
        try:
            self._size = os.fstat(self._file.fileno()).st_size
            self._zip = zipfile.ZipFile(self._file)
            self._members = _measured(self._zip.infolist(), self._size)
        except CheckpointError:
            self._file.close()
            raise
        except Exception:  # any error of the library means a damaged archive
            self._file.close()
            raise CheckpointError(
                "The zip archive is damaged: its directory cannot be read. Make or download it "
                "again."
            ) from None

    def members(self) -> Mapping[str, int]:
        """The names of its files, without folders, and the unpacked bytes of each."""
        return {name: info.file_size for name, info in self._members.items()}

    def stored(self) -> bool:
        """Whether every member is stored uncompressed."""
        return all(
            info.compress_type == zipfile.ZIP_STORED and info.file_size == info.compress_size
            for info in self._members.values()
        )

    def read(self, name: str, most_bytes: int) -> bytes:
        """The content of a member.

        Raises:
            CheckpointError: the member is missing, larger than ``most_bytes``, or damaged.
        """
        return b"".join(self._pieces(name, most_bytes))

    def extract(self, name: str, target: Path, most_bytes: int) -> None:
        """Write a member's content to ``target``, in pieces.

        Raises:
            CheckpointError: as in :meth:`read`; the partial file is removed.
        """
        try:
            with target.open("wb") as file:
                for piece in self._pieces(name, most_bytes):
                    file.write(piece)
        except BaseException:
            with suppress(OSError):
                target.unlink(missing_ok=True)
            raise

    def _pieces(self, name: str, most_bytes: int) -> Iterator[bytes]:
        info = self._members.get(name)
        if info is None:
            raise CheckpointError(f"The zip archive has no file {printable(name)}.")
        if info.file_size > most_bytes:
            raise CheckpointError(
                f"The file {printable(name)} in the zip archive has {info.file_size:,} bytes; at "
                f"most {most_bytes:,} are taken."
            )
        try:
            with self._zip.open(info) as member:
                left = info.file_size
                while left and (piece := member.read(min(PIECE, left))):
                    left -= len(piece)
                    yield piece
                if left or member.read(1):  # the last read also compares the checksum
                    raise ValueError("not as long as it says")
        except Exception:
            raise CheckpointError(
                f"The file {printable(name)} in the zip archive is damaged. Make or download the "
                "archive again."
            ) from None

    def close(self) -> None:
        self._zip.close()
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Bounded(FileIO):
    """A file that refuses to read more at once than the largest directory.

    `zipfile` reads the directory at once, in a size that the file itself states. Checking in
    ``read`` works whichever of several end records `zipfile` believes.
    """

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > MAX_DIRECTORY_BYTES:
            _refuse("its directory is too large")
        if size is None or size < 0:  # to the end of the file
            size = MAX_DIRECTORY_BYTES
        return super().read(size) or b""


def _measured(infos: list[zipfile.ZipInfo], size: int) -> dict[str, zipfile.ZipInfo]:
    """The members by name, after checks of their names, sizes and offsets."""
    if len(infos) > MAX_MEMBERS:
        _refuse(f"it has {len(infos):,} members, and at most {MAX_MEMBERS:,} are taken")
    found: dict[str, zipfile.ZipInfo] = {}
    position = 0
    for info in sorted(infos, key=lambda info: info.header_offset):
        _check_member(info)
        if info.filename in found:
            _refuse(f"the name {printable(info.filename)} stands in it twice")
        # Overlapping members let 10 MB become 281 TB without a high ratio anywhere.
        if info.header_offset < position:
            _refuse("members of it lie on top of each other")
        position = info.header_offset + 30 + info.compress_size
        if position > size:
            _refuse("members of it lie beyond its end; it may be cut off")
        if not info.is_dir():
            found[info.filename] = info
    unpacked = sum(info.file_size for info in found.values())
    packed = sum(info.compress_size for info in found.values())
    if unpacked > MAX_FILE_BYTES:
        _refuse(f"unpacked it would have {unpacked:,} bytes; at most {MAX_FILE_BYTES:,} are taken")
    for name, info in found.items():
        if info.file_size > UNCHECKED_RATIO_BYTES + MAX_RATIO * info.compress_size:
            _refuse(
                f"{printable(name)} would grow from {info.compress_size:,} bytes to "
                f"{info.file_size:,}, more than {MAX_RATIO} times"
            )
    # ``UNCHECKED_RATIO_BYTES`` count once for the archive, or many small members would evade the
    # ratio.
    if unpacked > UNCHECKED_RATIO_BYTES + MAX_RATIO * packed:
        _refuse(f"it would grow from {packed:,} bytes to {unpacked:,}")
    return found


def _check_member(info: zipfile.ZipInfo) -> None:
    # The raw name: `zipfile` cuts `filename` at a NUL and replaces the system's separator by "/".
    name = info.orig_filename
    shown = printable(name)
    parts = name.removesuffix("/").split("/")
    if len(name) > MAX_NAME or not name.isprintable():
        _refuse(f"the name {shown} in it is too long or has invisible characters")
    if "\\" in name or ":" in name or not all(parts) or {".", ".."} & set(parts):
        _refuse(f"the name {shown} in it points outside the archive")
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        _refuse(f"{shown} in it is a link or a device")
    if info.flag_bits & 1:
        _refuse(f"{shown} in it is encrypted")
    if info.compress_type not in METHODS:
        _refuse(f"{shown} in it is packed in a way that is not taken (only stored or deflated)")


def _refuse(why: str) -> NoReturn:
    raise CheckpointError(
        f"The zip archive was not opened: {why}. Zip the model's own files again, without links or "
        "a password, and bring that."
    )
