"""Files that were brought and are not checkpoints of ours yet: on disk, bounded, for a day."""

import secrets
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from pages.components.stores import uploads

FOLDER = uploads.FOLDER / "arriving"
MAX_FILES = 40
MAX_BYTES = 4_000_000_000
MAX_SECONDS = 86_400.0
PIECE = 4 << 20


@dataclass(frozen=True)
class Arrival:
    """A file that was brought.

    name: what it was called on the person's machine; nothing here is named after it.
    checked: whether it has been through the gate, and only questions are left.
    """

    name: str
    path: Path
    checked: bool = False

    def drop(self) -> None:
        """Forget the file; it may be gone already."""
        with suppress(OSError):
            self.path.unlink(missing_ok=True)


def put(name: str, content: BinaryIO, size: int) -> Arrival:
    """Write what was brought to the disk, a piece at a time; older files make way for it.

    Raises:
        OSError: the disk is full, or the folder cannot be written to.
    """
    FOLDER.mkdir(parents=True, exist_ok=True)
    _make_room(size)
    arrival = Arrival(name[:100], _free_place())
    try:
        with arrival.path.open("wb") as file:
            while piece := content.read(PIECE):
                file.write(piece)
    except BaseException:
        arrival.drop()
        raise
    return arrival


def unpickled(arrival: Arrival) -> Arrival:
    """The same state dict as .safetensors, out of the process that opened it.

    Raises:
        CheckpointError: it is not one that can be trusted.
    """
    from transformer.interop.files.state_dicts import is_pickled, to_safetensors

    if not is_pickled(arrival.path):
        return replace(arrival, checked=True)
    target = _free_place()
    to_safetensors(arrival.path, target)
    arrival.drop()
    return replace(arrival, path=target, checked=True)


def _free_place() -> Path:
    return FOLDER / secrets.token_hex(16)


def _make_room(coming: int) -> None:
    """Drop what is older than a day, and the oldest beyond the bounds."""
    files = sorted(_ages(FOLDER.iterdir()), reverse=True)
    total, kept = coming, 1
    for written, size, path in files:
        total, kept = total + size, kept + 1
        if kept > MAX_FILES or total > MAX_BYTES or time.time() - written > MAX_SECONDS:
            with suppress(OSError):
                path.unlink(missing_ok=True)


def _ages(paths: Iterable[Path]) -> list[tuple[float, int, Path]]:
    """When each was written and its bytes; another session may drop one meanwhile."""
    found = []
    for path in paths:
        with suppress(OSError):
            stat = path.stat()
            found.append((stat.st_mtime, stat.st_size, path))
    return found
