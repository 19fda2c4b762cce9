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
class Held:
    """One file or directory in the shared folder.

    owners: hashes of the browsers it belongs to; empty if it comes from a terminal.
    changed: seconds since the epoch.
    """

    path: Path
    owners: tuple[str, ...]
    size: int
    changed: float


def evicted(
    held: Iterable[Held],
    owner: str,
    *,
    most: float = math.inf,
    most_bytes: float = math.inf,
    coming: int | None = None,
) -> list[Path] | None:
    """Paths to delete so that the rest is within the limits; None if other owners' last files
    would have to be deleted.

    Args:
        owner: who adds a file; empty for a terminal.
        most, most_bytes: the largest number of files, and their largest total size.
        coming: bytes of the file to be added; None if it is already in ``held``, as the newest.
    """
    left = sorted(held, key=lambda one: one.changed, reverse=True)
    spared = left[:1] if coming is None else []
    more = 0 if coming is None else 1
    gone: list[Path] = []
    while True:
        number = len(left) + more
        too_large = number > 1 and sum(one.size for one in left) + (coming or 0) > most_bytes
        if not left or not (number > most or too_large):
            return gone
        victim = _victim([one for one in left if one not in spared], left, owner, number > most)
        if victim is None:
            return None
        left.remove(victim)
        gone.append(victim.path)


def _victim(
    candidates: Sequence[Held], left: Sequence[Held], owner: str, by_number: bool
) -> Held | None:
    """The next file to delete; None if none may be.

    Args:
        candidates: the files of ``left`` that may be deleted, newest first.
        by_number: whether the owner with the most files comes first, else the one with most bytes.
    """
    own = [one for one in candidates if set(_owners(one)) <= {owner}]
    if own:
        return own[-1]
    numbers, sizes = Counter[str](), Counter[str]()
    for one in left:
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


def _owners(one: Held) -> tuple[str, ...]:
    return one.owners or ("",)
