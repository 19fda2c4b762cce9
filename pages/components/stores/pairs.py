"""Users' own pairs, stored under a checksum.

No file is ever in the app's memory as a whole: each piece that arrives is written to disk, and
``python -m transformer pairs`` (started by ``training.reading``) leaves a survey beside the file.

    runs/uploads/pairs/<id>/      id: 128 bits of the content's SHA-256, which nobody can guess
      source.tsv or .csv          the file as uploaded; deleted once it is read, unless it was typed
                                  or can be read in another way
      targets                     the file of the targets, if they were uploaded separately
      about.json                  the file's name, or that it was typed; its owners; how to read it
      data.tsv, survey.json       the pairs as a run stores them; their survey, or an error
"""

import hashlib
import json
import os
import re
import secrets
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import streamlit as st

from pages.components.stores.bounded import BoundedFolder
from transformer.errors import TaskError, UserError
from transformer.files import change_object, link_or_copy, read_object, write_atomic
from transformer.runs import directory
from transformer.tasks.own_pairs.file import MAX_FILE_BYTES
from transformer.tasks.own_pairs.layout import Choices
from transformer.tasks.own_pairs.survey import Survey, survey_name

FOLDER = directory.ROOT / "uploads" / "pairs"
ID = re.compile("[0-9a-f]{32}")


@dataclass(frozen=True)
class StoredPairs:
    """Stored pairs.

    text: the typed text, None for a file.
    data: path of the pairs as a run stores them; it exists once they are read.
    survey: None while they are being read, or if ``problem`` says what is wrong.
    choices: the user's choices of how to read them.
    """

    id: str
    title: str
    text: str | None
    data: Path
    survey: Survey | None
    problem: TaskError | None
    choices: Choices = field(default_factory=Choices)


def _owners(folder: Path) -> tuple[str, ...]:
    return tuple(map(str, _about(folder).get("owners", ())))


STORE = BoundedFolder(FOLDER, "?" * 32, most=200, most_bytes=2e9, owners_of=_owners)


# --- Arriving ----------------------------------------------------------------------------


def _sender(path: Path) -> tuple[str, ...]:
    return (path.name.split("-")[1],)


ARRIVING = BoundedFolder(
    FOLDER, "arriving-*-*", most=200, most_bytes=4e9, most_seconds=3600, owners_of=_sender
)
"""Incomplete files, whose upload is running or was interrupted; a new piece resets a file's age."""


class ArrivingFile:
    """A file that is being uploaded."""

    def __init__(self, title: str, owner: str = "") -> None:
        FOLDER.mkdir(parents=True, exist_ok=True)
        ARRIVING.make_room(0, owner[:16])
        self.title, self.owner = title, owner
        self.received = 0
        self._suffix = ".csv" if title.lower().endswith(".csv") else ".tsv"
        self._path = FOLDER / f"arriving-{owner[:16]}-{secrets.token_hex(8)}"
        self._hash = hashlib.sha256()

    def add(self, content: bytes) -> None:
        """Append a piece.

        Raises:
            TaskError: the file is too large, or its earlier pieces were deleted.
        """
        if self.received and not self._path.exists():
            raise TaskError(
                "The file was deleted to make room for others before it was complete; send it "
                "again."
            )
        self.received += len(content)
        if self.received > MAX_FILE_BYTES:
            self.drop()
            limit = MAX_FILE_BYTES // 1_000_000
            raise TaskError(f"The file is larger than {limit} MB; send fewer pairs.")
        self._hash.update(content)
        with self._path.open("ab") as file:
            file.write(content)

    @property
    def checksum(self) -> str:
        return self._hash.hexdigest()

    def place(self, path: Path) -> None:
        """Move the file to ``path``."""
        self._path.replace(path)

    def drop(self) -> None:
        self._path.unlink(missing_ok=True)

    def keep(self, *, typed: bool = False) -> str:
        """Store the complete file under its checksum; returns the id."""
        self.add(b"")
        if self._suffix == ".csv":
            self._hash.update(b"\0csv")  # the same bytes as .tsv would be other pairs
        id = self._hash.hexdigest()[:32]
        folder = FOLDER / id
        if _is_whole(folder):
            self.drop()
            os.utime(folder)
            _add_owner(folder, self.owner)
            return id
        try:
            STORE.make_room(self.received, self.owner)
        except UserError:
            self.drop()
            raise
        folder.mkdir(exist_ok=True)
        self._path.replace(folder / f"source{self._suffix}")
        about = {"name": self.title[:100], "typed": typed}
        change_object(folder / "about.json", lambda before: about | before)
        _add_owner(folder, self.owner)  # thirty users may upload the same file at once
        return id


def _add_owner(folder: Path, owner: str) -> None:
    """Add an owner: pairs that several users uploaded belong to all of them."""

    def joined(about: dict[str, Any]) -> dict[str, Any]:
        return about | {"owners": list(dict.fromkeys([*about.get("owners", ()), owner]))}

    if owner not in _owners(folder):
        change_object(folder / "about.json", joined)


def keep_text(text: str, owner: str = "") -> str:
    """Store pairs that were typed; returns their id."""
    arrival = ArrivingFile("", owner)
    arrival.add(text.encode("utf-8", "replace"))
    return arrival.keep(typed=True)


def keep_run(data: Path, title: str, owner: str = "") -> str:
    """Store a run's own pairs here, too, as a hard link where possible; returns their id."""
    checksum = _checksum(str(data), data.stat().st_mtime_ns, data.stat().st_size)
    folder = FOLDER / checksum[:32]
    if not _is_whole(folder):
        STORE.make_room(data.stat().st_size, owner)
        folder.mkdir(parents=True, exist_ok=True)
        link_or_copy(data, folder / "source.tsv")
        about = {"name": title[:100], "owners": [owner]}
        write_atomic(folder / "about.json", json.dumps(about).encode())
    return folder.name


@st.cache_data(max_entries=500, show_spinner=False)
def _checksum(path: str, changed: int, size: int) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_otherwise(id: str, choices: Choices) -> str:
    """Store the same file again, to be read by the user's choices; returns the id of its pairs.

    Raises:
        TaskError: the file is not here any more.
    """
    folder = FOLDER / id
    about = _about(folder)
    first = str(about.get("of") or id)
    said = json.dumps(asdict(choices), sort_keys=True)
    name = hashlib.sha256(f"{first}{said}".encode()).hexdigest()[:32]
    other = FOLDER / (first if choices == Choices() else name)
    if not _is_whole(other):
        source = source_of(folder)
        if source is None:
            raise TaskError("The file is not here any more; bring it again.")
        other.mkdir(parents=True, exist_ok=True)
        link_or_copy(source, other / source.name)
        about |= {"of": first, "choices": asdict(choices)}
        write_atomic(other / "about.json", json.dumps(about).encode())
    return other.name


def join(id: str, targets: ArrivingFile) -> str:
    """Combine a stored file of sources and a file of targets; returns the id of the pairs.

    Raises:
        TaskError: the file of sources is not here any more.
    """
    targets.add(b"")
    folder = FOLDER / id
    source = source_of(folder)
    if source is None:
        targets.drop()
        raise TaskError("The file of the sources is not here any more; bring it again.")
    joined = FOLDER / hashlib.sha256(f"{id}{targets.checksum}".encode()).hexdigest()[:32]
    if not _is_whole(joined):
        joined.mkdir(parents=True, exist_ok=True)
        link_or_copy(source, joined / source.name)
        targets.place(joined / "targets")
        about = _about(folder)
        about["name"] = f"{about.get('name', '')} and {targets.title}"[:100]
        write_atomic(joined / "about.json", json.dumps(about).encode())
    else:
        targets.drop()
    return joined.name


def _about(folder: Path) -> dict[str, Any]:
    return read_object(folder / "about.json")


def choices_of(folder: Path) -> Choices:
    """The user's choices of how to read the file in a folder."""
    try:
        return Choices(**_about(folder).get("choices", {}))
    except TypeError:
        return Choices()


def _is_whole(folder: Path) -> bool:
    """Whether a folder has a file to read, or the survey of one."""
    return (folder / "about.json").exists() and (
        (folder / "survey.json").exists() or source_of(folder) is not None
    )


def source_of(folder: Path) -> Path | None:
    """The file as uploaded; None once it is read and deleted."""
    return next((path for path in folder.glob("source.*")), None)


# --- Finding -----------------------------------------------------------------------------


def find(id: str, bpe_size: int | None = None) -> StoredPairs | None:
    """The pairs with that id; None if there are none.

    Args:
        bpe_size: if given, only a survey with a byte-pair vocabulary of that size counts.
    """
    folder = FOLDER / id
    if not ID.fullmatch(id) or not _is_whole(folder):
        return None
    try:
        about = json.loads((folder / "about.json").read_text("utf-8"))
        source = source_of(folder)
        text = source.read_text("utf-8") if about.get("typed") and source is not None else None
    except (OSError, ValueError):
        return None
    found, problem = _survey(folder / survey_name())
    if found is not None and bpe_size not in (None, found.bpe_size):
        found, problem = _survey(folder / survey_name(bpe_size))
    title = str(about.get("name") or "")
    return StoredPairs(id, title, text, folder / "data.tsv", found, problem, choices_of(folder))


def _survey(path: Path) -> tuple[Survey | None, TaskError | None]:
    try:
        plain = json.loads(path.read_text("utf-8"))
        if "error" in plain:
            return None, TaskError(plain["error"])
        return Survey.from_dict(plain), None
    except (OSError, ValueError, KeyError, TypeError):
        return None, None
