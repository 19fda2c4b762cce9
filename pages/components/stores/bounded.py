"""A folder for what people bring, in which the oldest makes way for the newest."""

import math
import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class BoundedFolder:
    """Files or folders under one path, each with the JSON that may stand beside it.

    Other sessions add and remove them at the same time, so any may be gone at any moment.

    pattern: the names of what belongs here; anything else is left alone.
    most, most_bytes, most_seconds: how many there may be, how large together, and how old.
    """

    path: Path
    pattern: str
    most: float = math.inf
    most_bytes: float = math.inf
    most_seconds: float = math.inf

    def entries(self) -> list[Path]:
        """What is here, the last changed first."""
        return [path for _, _, path in self._stated()]

    def make_room(self, coming: int | None = None) -> None:
        """Remove what is too old, and the oldest beyond the bounds; the newest stays.

        Args:
            coming: bytes of one more that is about to be written; None if there is none.
        """
        total, number = coming or 0, int(coming is not None)
        for changed, size, path in self._stated():
            total += size
            beyond = number >= self.most or (number > 0 and total > self.most_bytes)
            if beyond or time.time() - changed > self.most_seconds:
                self.remove(path)
            number += 1

    def remove(self, path: Path) -> None:
        """Remove an entry; it may be gone already."""
        with suppress(OSError):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
                path.with_suffix(".json").unlink(missing_ok=True)

    def _stated(self) -> list[tuple[float, int, Path]]:
        """When each was changed, and its bytes."""
        return sorted(self._read(), key=lambda entry: entry[0], reverse=True)

    def _read(self) -> Iterator[tuple[float, int, Path]]:
        for path in self.path.glob(self.pattern):
            with suppress(OSError):
                stat = path.stat()
                size = stat.st_size
                if path.is_dir():
                    size = sum(one.stat().st_size for one in path.iterdir())
                yield stat.st_mtime, size, path
