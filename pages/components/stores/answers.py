"""What people answer to a lesson's questions, kept for their browser.

runs/answers/<browser>-<lesson>.json      exercise -> answer
"""

import json
from pathlib import Path

from pages.components.stores.bounded import BoundedFolder
from transformer.files import read_object, write_atomic
from transformer.runs import directory

FOLDER = directory.ROOT / "answers"
SHORT = 32
"""Hexadecimal digits of a hash that stand in a name."""


def _owners(path: Path) -> tuple[str, ...]:
    return (path.name[:SHORT],)


KEPT = BoundedFolder(FOLDER, "*-*.json", most=5000, most_bytes=1e8, owners_of=_owners)


def read_answers(owner: str, lesson: str) -> dict[str, str]:
    """By exercise; empty if none are kept."""
    found = read_object(_path(owner, lesson))
    return {key: answer for key, answer in found.items() if isinstance(answer, str)}


def keep_answers(owner: str, lesson: str, answers: dict[str, str]) -> None:
    """Keep them, in place of those of before.

    Args:
        owner: hash of the browser. lesson: its hash, or what else the answers belong to.

    Raises:
        UserError: there is no room.
        OSError: they cannot be written.
    """
    content = json.dumps(answers, ensure_ascii=False).encode("utf-8", "replace")
    FOLDER.mkdir(parents=True, exist_ok=True)
    KEPT.make_room(len(content), owner[:SHORT])
    write_atomic(_path(owner, lesson), content)


def _path(owner: str, lesson: str) -> Path:
    return FOLDER / f"{owner[:SHORT]}-{lesson[:SHORT]}.json"
