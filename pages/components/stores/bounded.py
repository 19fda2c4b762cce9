"""A folder of limited size for users' files: the oldest are deleted to make room for new ones."""

import math
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from transformer.errors import UserError
from transformer.runs.eviction import StoredEntry, paths_to_delete

NO_ROOM = (
    "There is no room for it: the server's storage is full, and it could only delete the last "
    "files of other people. Try again later, or ask the person who runs the server."
)


@dataclass(frozen=True)
class BoundedFolder:
    """Files or folders under one path; a file may have a JSON file of its name beside it.

    Other sessions add and remove them at the same time, so any may be gone at any moment.

    pattern: glob of the entries' names; anything else is left alone.
    most, most_bytes, most_seconds: limits on their number, their total size, and their age.
    owners_of: path -> the hashes of the browsers that it belongs to.
    """

    path: Path
    pattern: str
    most: float = math.inf
    most_bytes: float = math.inf
    most_seconds: float = math.inf
    owners_of: Callable[[Path], tuple[str, ...]] = lambda _: ()

    def entries(self) -> list[Path]:
        """The entries, the last changed first."""
        return [path for _, _, path in self._stated()]

    def make_room(self, incoming_bytes: int | None = None, owner: str = "") -> None:
        """Remove entries that are too old, then the oldest until the limits hold; the newest stays.

        Args:
            incoming_bytes: bytes of a new entry that is about to be written; None if there is none.
            owner: whose entry it is: their own oldest are removed first, and never the last one of
                another owner.

        Raises:
            UserError: only the last entries of other owners could make room.
        """
        held = []
        for changed, size, path in self._stated():
            if time.time() - changed > self.most_seconds:
                self.remove(path)
            else:
                held.append(StoredEntry(path, self.owners_of(path), size, changed))
        gone = paths_to_delete(
            held, owner, most=self.most, most_bytes=self.most_bytes, incoming_bytes=incoming_bytes
        )
        if gone is None:
            raise UserError(NO_ROOM)
        for path in gone:
            self.remove(path)

    def remove(self, path: Path) -> None:
        """Remove an entry; it may be gone already."""
        with suppress(OSError):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
                path.with_suffix(".json").unlink(missing_ok=True)

    def _stated(self) -> list[tuple[float, int, Path]]:
        """Time of change, bytes and path of each entry, the last changed first."""
        return sorted(self._read(), key=lambda entry: entry[0], reverse=True)

    def _read(self) -> Iterator[tuple[float, int, Path]]:
        for path in self.path.glob(self.pattern):
            with suppress(OSError):
                stat = path.stat()
                size = stat.st_size
                if path.is_dir():
                    size = sum(one.stat().st_size for one in path.iterdir())
                yield stat.st_mtime, size, path
