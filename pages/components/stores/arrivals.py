"""Uploaded files that are not our checkpoints yet: on disk, limited in size, for a day."""

import secrets
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from pages.components.stores import uploads
from pages.components.stores.bounded import BoundedFolder

FOLDER = uploads.ARRIVING


def _owners(path: Path) -> tuple[str, ...]:
    """The owner of a file: the beginning of its name."""
    return (path.name.partition("-")[0],)


STORE = BoundedFolder(FOLDER, "*", most=40, most_bytes=4e9, most_seconds=86_400, owners_of=_owners)


@dataclass(frozen=True)
class Arrival:
    """An uploaded file.

    name: its name on the user's machine; no path here contains it.
    checked: whether it was found safe to open, so that only the import's questions are left.
    """

    name: str
    path: Path
    checked: bool = False

    def drop(self) -> None:
        """Delete the file; it may be gone already."""
        with suppress(OSError):
            self.path.unlink(missing_ok=True)


def put(name: str, content: BinaryIO, size: int, owner: str) -> Arrival:
    """Write an uploaded file to disk, a piece at a time; older files are deleted to make room.

    Raises:
        OSError: the disk is full, or the folder cannot be written to.
        UserError: only the last files of other users could make room.
    """
    FOLDER.mkdir(parents=True, exist_ok=True)
    owner = owner[:16]
    STORE.make_room(size, owner)
    arrival = Arrival(name[:100], _free_place(owner))
    try:
        with arrival.path.open("wb") as file:
            while piece := content.read(uploads.PIECE_BYTES):
                file.write(piece)
    except BaseException:
        arrival.drop()
        raise
    return arrival


def unpickled(arrival: Arrival) -> Arrival:
    """Convert a pickled state dict to .safetensors, in a separate process; others stay unchanged.

    Raises:
        CheckpointError: the file cannot be trusted.
    """
    from transformer.interop.files.state_dicts import is_pickled, to_safetensors

    if not is_pickled(arrival.path):
        return replace(arrival, checked=True)
    target = _free_place(_owners(arrival.path)[0])
    to_safetensors(arrival.path, target)
    arrival.drop()
    return replace(arrival, path=target, checked=True)


def _free_place(owner: str) -> Path:
    return FOLDER / f"{owner}-{secrets.token_hex(16)}"
