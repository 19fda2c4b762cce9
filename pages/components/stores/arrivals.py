"""Files that were brought and are not checkpoints of ours yet: on disk, bounded, for a day."""

import secrets
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from pages.components.stores import uploads
from pages.components.stores.bounded import BoundedFolder

FOLDER = uploads.ARRIVING


def _owners(path: Path) -> tuple[str, ...]:
    """Whose a file is, as its name begins."""
    return (path.name.partition("-")[0],)


KEPT = BoundedFolder(FOLDER, "*", most=40, most_bytes=4e9, most_seconds=86_400, owners_of=_owners)


@dataclass(frozen=True)
class Arrival:
    """A file that was brought.

    name: what it was called on the person's machine; nothing here is named after it.
    checked: whether it was found to be safe to open, and only questions are left.
    """

    name: str
    path: Path
    checked: bool = False

    def drop(self) -> None:
        """Forget the file; it may be gone already."""
        with suppress(OSError):
            self.path.unlink(missing_ok=True)


def put(name: str, content: BinaryIO, size: int, owner: str) -> Arrival:
    """Write what was brought to the disk, a piece at a time; older files are deleted for it.

    Raises:
        OSError: the disk is full, or the folder cannot be written to.
        UserError: there is no room but from others' last ones.
    """
    FOLDER.mkdir(parents=True, exist_ok=True)
    owner = owner[:16]
    KEPT.make_room(size, owner)
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
    """The same state dict as .safetensors, out of the process that opened it.

    Raises:
        CheckpointError: it is not one that can be trusted.
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
