"""Which files are deleted when a folder shared by several owners is full.

First the oldest of the owner who adds a file, then the oldest of the owner with the most; never
another owner's last one. So no owner can displace everything that another has.
"""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class StoredEntry:
    """One file or directory in the shared folder.

    owners: hashes of the browsers it belongs to; empty if it comes from a terminal.
    changed: seconds since the epoch.
    """

    path: Path
    owners: tuple[str, ...]
    size: int
    changed: float


def paths_to_delete(
    entries: Iterable[StoredEntry],
    owner: str,
    *,
    most: float = math.inf,
    most_bytes: float = math.inf,
    incoming_bytes: int | None = None,
) -> list[Path] | None:
    """Paths to delete so that the rest is within the limits; None if other owners' last files
    would have to be deleted.

    Args:
        owner: who adds a file; empty for a terminal.
        most, most_bytes: the largest number of files, and their largest total size.
        incoming_bytes: size of the new file; None if it is in ``entries`` already, as the newest.
    """
    remaining = sorted(entries, key=lambda one: one.changed, reverse=True)
    spared = remaining[:1] if incoming_bytes is None else []
    more = 0 if incoming_bytes is None else 1
    to_delete: list[Path] = []
    while True:
        number = len(remaining) + more
        too_large = (
            number > 1 and sum(one.size for one in remaining) + (incoming_bytes or 0) > most_bytes
        )
        if not remaining or not (number > most or too_large):
            return to_delete
        chosen = _next_to_delete(
            [one for one in remaining if one not in spared], remaining, owner, number > most
        )
        if chosen is None:
            return None
        remaining.remove(chosen)
        to_delete.append(chosen.path)


def _next_to_delete(
    candidates: Sequence[StoredEntry], remaining: Sequence[StoredEntry], owner: str, by_number: bool
) -> StoredEntry | None:
    """The next file to delete; None if none may be.

    Args:
        candidates: the files of ``remaining`` that may be deleted, newest first.
        by_number: whether the owner with the most files comes first, else the one with most bytes.
    """
    own = [one for one in candidates if set(_owners(one)) <= {owner}]
    if own:
        return own[-1]
    numbers, sizes = Counter[str](), Counter[str]()
    for one in remaining:
        for name in _owners(one):
            numbers[name] += 1
            sizes[name] += one.size
    holders = numbers if by_number else sizes
    for name, _ in holders.most_common():
        for one in reversed(candidates):
            others = [other for other in _owners(one) if other != owner]
            if name in others and all(numbers[other] > 1 for other in others):
                return one
    return None


def _owners(one: StoredEntry) -> tuple[str, ...]:
    return one.owners or ("",)
