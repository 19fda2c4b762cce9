"""Which files are deleted when a folder that many share is full.

First the oldest of the person who brings something, then the oldest of the one who holds most;
never the last one that somebody else has. So nobody can push out all that another has.
"""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Held:
    """One thing in the folder.

    owners: hashes of the browsers it belongs to; none for what comes from a terminal.
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
    """What must go, so that the rest is within bounds; None where only others' last ones could.

    Args:
        owner: who brings something; empty for a terminal.
        most, most_bytes: how many there may be, and how large together.
        coming: bytes of what is brought; None if it is here already, as the newest.
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
    """The next to go: ``candidates`` are those of ``left`` that may, the newest first."""
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
