"""Uploaded checkpoints, stored under their checksum so that a reload or a link finds them."""

import hashlib
import json
import os
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pages.components.stores.bounded import BoundedFolder
from transformer.errors import CheckpointError, explaining
from transformer.files import change_object, changed_at, sync, write_atomic
from transformer.runs import directory

if TYPE_CHECKING:
    from transformer.checkpoint import Checkpoint

FOLDER = directory.ROOT / "uploads"
ARRIVING = FOLDER / "arriving"
"""Folder of uploads that are not checked yet."""
MAX_NAME, MAX_NOTE = 100, 10_000
PIECE_BYTES = 4 << 20
SHA256 = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True)
class Upload:
    """A stored checkpoint file.

    name: its name on the user's machine, or a later one. note: a user's text about it.
    owners: hashes of the tokens of the browsers that uploaded it.
    score: share of held-out pairs that it has right; None if that was not measured.
    """

    sha256: str
    name: str
    owners: tuple[str, ...]
    path: Path
    note: str = ""
    score: float | None = None

    @property
    def id(self) -> str:
        """Its name in the address, with enough of the checksum that nobody can guess it."""
        return f"upload-{self.sha256[:16]}"

    @property
    def changed(self) -> float:
        """When it was uploaded, in seconds since 1970; 0 if it is gone."""
        return changed_at(self.path)


def _owners(path: Path) -> tuple[str, ...]:
    return of(path).owners


STORE = BoundedFolder(FOLDER, "*.safetensors", most=50, most_bytes=2e9, owners_of=_owners)
TRASH = BoundedFolder(FOLDER / "trash", "*.safetensors", most=50, most_bytes=2e9, owners_of=_owners)
"""Deleted uploads, which can be restored."""


def kept() -> list[Upload]:
    """All stored uploads, newest first."""
    return [of(path) for path in STORE.entries()]


def of(path: Path) -> Upload:
    """The upload of a stored file, with the facts in the JSON file beside it."""
    try:
        beside = json.loads(path.with_suffix(".json").read_text("utf-8"))
        name, note = (
            str(text).encode("utf-8", "replace").decode()
            for text in (beside["name"], beside.get("note", ""))
        )
        owners, score = tuple(map(str, beside.get("owners", ()))), beside.get("score")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        name, owners, note, score = path.stem[:12], (), "", None
    known = score if isinstance(score, float) and 0 <= score <= 1 else None
    return Upload(path.stem, name, owners, path, note, known)


def keep(
    name: str, content: "bytes | Path | Checkpoint", owner: str
) -> "tuple[Upload, Checkpoint]":
    """Check and store a checkpoint; the owner's oldest are deleted when there are too many.

    Args:
        name: its name on the user's machine.
        content: path of a complete file, which may become the stored one; or its bytes; or a
            checkpoint that was made here.

    Returns:
        the upload, and its checkpoint, which need not be loaded again.

    Raises:
        CheckpointError: it is not a checkpoint that can be trusted.
        UserError: only the last files of other users could make room.
    """
    from transformer.checkpoint import Checkpoint
    from transformer.checkpoint.header import header_bytes
    from transformer.interop.files.header_check import check_header

    ARRIVING.mkdir(parents=True, exist_ok=True)
    with _as_file(content) as file:
        check_header(header_bytes(file)[0])
        checkpoint = content if isinstance(content, Checkpoint) else Checkpoint.load(file)
        with file.open("rb") as opened:
            sha256 = hashlib.file_digest(opened, "sha256").hexdigest()
        path = FOLDER / f"{sha256}.safetensors"
        if not path.exists():
            STORE.make_room(file.stat().st_size, owner)
            _place(file, path)
    summary = checkpoint.summary
    kept = _change_beside(
        path,
        lambda before: replace(
            before,
            name=name[:100],
            owners=tuple(dict.fromkeys((*before.owners, owner))),
            score=None if summary is None else summary.exact_match,
        ),
    )
    os.utime(path)
    return kept, checkpoint


@contextmanager
def _as_file(content: "bytes | Path | Checkpoint") -> Iterator[Path]:
    """A file with the checkpoint, so that a large one is not in memory twice."""
    if isinstance(content, Path):
        yield content
        return
    with tempfile.TemporaryDirectory(dir=ARRIVING, prefix="made-") as folder:
        file = Path(folder, "brought")
        if isinstance(content, bytes):
            file.write_bytes(content)
        else:
            content.save(file)
        yield file


def _place(file: Path, path: Path) -> None:
    """Link the file under another path, or copy it where the disk has no links."""
    os.chmod(file, 0o644)
    sync(file)
    try:
        os.link(file, path)
    except FileExistsError:
        return
    except OSError:  # another disk, or one without links
        with file.open("rb") as content:
            write_atomic(path, iter(lambda: content.read(PIECE_BYTES), b""))
    sync(path.parent)


def _change_beside(path: Path, change: Callable[[Upload], Upload]) -> Upload:
    """Rewrite the JSON beside a stored file, under a lock from reading to writing."""
    made = []

    def changed(_: dict[str, Any]) -> dict[str, Any]:
        made.append(upload := change(of(path)))
        return {
            "name": upload.name,
            "owners": upload.owners,
            "note": upload.note,
            "score": upload.score,
        }

    change_object(path.with_suffix(".json"), changed)
    return made[0]


# --- what a user may do with an upload ----------------------------------------------------------


def change(sha256: str, *, name: str | None = None, note: str | None = None) -> Upload:
    """Change an upload's name or note; None leaves it as it is.

    Raises:
        CheckpointError: it is not there any more, or would have no name.
    """
    path = _file(FOLDER, sha256)
    given: dict[str, Any] = {}
    if name is not None:
        given["name"] = " ".join(name.split())[:MAX_NAME]
        if not given["name"]:
            raise CheckpointError("Give the checkpoint a name of at least one letter.")
    if note is not None:
        given["note"] = note[:MAX_NOTE]
    return _change_beside(path, lambda upload: replace(upload, **given))


def delete(sha256: str, owner: str = "") -> bool:
    """Move an upload to the trash, from where :func:`restore` takes it back.

    The owner's oldest files in the trash are deleted to make room.

    Args:
        owner: the browser that deletes it. If others uploaded the same file, it stays for them.

    Returns:
        whether it was moved.

    Raises:
        CheckpointError: it is not there any more, or cannot be moved.
        UserError: only the last files of other users could make room in the trash.
    """
    upload = of(_file(FOLDER, sha256))
    if owner in upload.owners and len(upload.owners) > 1:
        _change_beside(upload.path, partial(_without, owner))
        return False
    with explaining("The upload could not be deleted", CheckpointError):
        TRASH.path.mkdir(exist_ok=True)
        TRASH.make_room(upload.path.stat().st_size, owner or next(iter(upload.owners), ""))
        os.utime(_move(upload.path, TRASH.path))
    return True


def trash() -> list[Upload]:
    """Deleted uploads, the last deleted first."""
    return [of(path) for path in TRASH.entries()]


def restore(sha256: str, owner: str = "") -> Upload:
    """Take an upload back from the trash; if it stayed for others, only add the owner again.

    Raises:
        CheckpointError: it is not there any more, or cannot be moved.
    """
    there = FOLDER / f"{sha256}.safetensors"
    if not there.is_file():
        with explaining("The upload could not be restored", CheckpointError):
            _move(_file(TRASH.path, sha256), FOLDER)
    back = of(there)
    if owner and owner not in back.owners:
        back = _change_beside(there, lambda one: replace(one, owners=(*one.owners, owner)))
    return back


def _without(owner: str, upload: Upload) -> Upload:
    return replace(upload, owners=tuple(one for one in upload.owners if one != owner))


def _move(path: Path, folder: Path) -> Path:
    """Move the JSON beside a file, then the file; returns its new path."""
    for one in (path.with_suffix(".json"), path):
        if one.exists():
            os.replace(one, folder / one.name)
    return folder / path.name


def _file(folder: Path, sha256: str) -> Path:
    """Path of a stored file; nothing but a valid checksum becomes part of it.

    Raises:
        CheckpointError: there is no such file.
    """
    path = folder / f"{sha256}.safetensors"
    if not SHA256.fullmatch(sha256) or not path.is_file():
        raise CheckpointError("This upload is not here any more.")
    return path
