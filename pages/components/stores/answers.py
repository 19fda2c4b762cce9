"""Answers to a lesson's questions, stored for each browser.

runs/answers/<browser>-<lesson>.json      exercise -> answer
"""

import json
from pathlib import Path
from typing import Any

from pages.components.stores.bounded import BoundedFolder
from transformer.files import change_object, read_object
from transformer.runs import directory

FOLDER = directory.ROOT / "answers"
SHORT = 32
"""Number of hexadecimal digits of a hash in a file's name."""

MOST_ANSWERS = 500
"""Maximum number of answers of one browser to lessons of one title, whose questions may change
every year."""


def _owners(path: Path) -> tuple[str, ...]:
    return (path.name[:SHORT],)


STORE = BoundedFolder(FOLDER, "*-*.json", most=5000, most_bytes=1e8, owners_of=_owners)


def read_answers(owner: str, lesson: str) -> dict[str, str]:
    """Exercise -> stored answer."""
    found = read_object(_path(owner, lesson))
    return {key: answer for key, answer in found.items() if isinstance(answer, str)}


def keep_answers(owner: str, lesson: str, answers: dict[str, str]) -> None:
    """Add answers to those stored, which another tab may be changing at the same time.

    Args:
        owner: hash of the browser. lesson: its hash, or another text that the answers belong to.
        answers: exercise -> answer, which replaces the stored one.

    Raises:
        UserError: there is no room.
        OSError: they cannot be written.
    """

    def joined(kept: dict[str, Any]) -> dict[str, Any]:
        found = dict([*(kept | answers).items()][-MOST_ANSWERS:])
        STORE.make_room(len(json.dumps(found)), owner[:SHORT])
        return found

    FOLDER.mkdir(parents=True, exist_ok=True)
    change_object(_path(owner, lesson), joined)


def _path(owner: str, lesson: str) -> Path:
    return FOLDER / f"{owner[:SHORT]}-{lesson[:SHORT]}.json"
