"""Uploaded checkpoints, kept under their checksum so that a reload or a link finds them."""

import hashlib
import json
import os
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from transformer.errors import CheckpointError
from transformer.files import write_atomic
from transformer.runs import directory

if TYPE_CHECKING:
    from transformer.checkpoint.checkpoint import Checkpoint

FOLDER = directory.ROOT / "uploads"
MAX_FILES = 50
MAX_BYTES = 2_000_000_000
MAX_NAME, MAX_NOTE = 100, 10_000
TRASH = "trash"
TRASH_KEEPS = 10
"""Deleted uploads that can be had back; the oldest give way."""
SHA256 = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True)
class Upload:
    """A kept file: the name it had on a person's machine or was given here, the hashes of the
    tokens of the browsers that sent it, and what a person wrote about it."""

    sha256: str
    name: str
    owners: tuple[str, ...]
    path: Path
    note: str = ""

    @property
    def id(self) -> str:
        """Its name in the address: enough of the checksum that nobody guesses it."""
        return f"upload-{self.sha256[:16]}"


def kept() -> list[Upload]:
    """All kept uploads, newest first."""
    return _found(FOLDER)


def _found(folder: Path) -> list[Upload]:
    files = [path for path in folder.glob("*.safetensors") if path.is_file()]
    files.sort(key=_age, reverse=True)
    return [of(path) for path in files]


def of(path: Path) -> Upload:
    """The upload that a kept file is, with what stands beside it."""
    name, owners, note = _told(path)
    return Upload(path.stem, name, owners, path, note)


def _age(path: Path) -> float:
    """When a file was written; another session may have dropped it meanwhile."""
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _told(path: Path) -> tuple[str, tuple[str, ...], str]:
    """The name, the owners and the note that stand beside a kept file."""
    try:
        beside = json.loads(path.with_suffix(".json").read_text("utf-8"))
        name, note = (
            str(text).encode("utf-8", "replace").decode()
            for text in (beside["name"], beside.get("note", ""))
        )
        return name, tuple(map(str, beside.get("owners", ()))), note
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return path.stem[:12], (), ""


def keep(name: str, brought: "bytes | Path | Checkpoint", owner: str) -> Upload:
    """Check what was brought and keep it; the oldest give way when there are too many.

    Args:
        name: what it was called on the person's machine.
        brought: the bytes of a file of ours, where it lies, or a model that was imported.

    Raises:
        CheckpointError: it is not a checkpoint we can trust.
    """
    from transformer.checkpoint.checkpoint import Checkpoint, read

    if isinstance(brought, Checkpoint):
        content = brought.to_bytes()
    else:
        content = brought if isinstance(brought, bytes) else read(brought)
        Checkpoint.load(content)
    sha256 = hashlib.sha256(content).hexdigest()
    FOLDER.mkdir(parents=True, exist_ok=True)
    path = FOLDER / f"{sha256}.safetensors"
    write_atomic(path, content)
    _, owners, note = _told(path)
    kept = Upload(sha256, name[:100], tuple(dict.fromkeys((*owners, owner))), path, note)
    _tell(kept)
    _drop_oldest()
    return kept


def _tell(upload: Upload) -> None:
    beside = {"name": upload.name, "owners": upload.owners, "note": upload.note}
    write_atomic(upload.path.with_suffix(".json"), json.dumps(beside).encode())


def _drop_oldest() -> None:
    _drop(kept(), MAX_FILES)


def _drop(found: list[Upload], most: int) -> None:
    """Of files, newest first, those beyond a number or MAX_BYTES; the first stays."""
    total = 0
    for number, upload in enumerate(found):
        total += _size(upload.path)
        if number >= most or (number > 0 and total > MAX_BYTES):
            upload.path.unlink(missing_ok=True)
            upload.path.with_suffix(".json").unlink(missing_ok=True)


# --- what a person may do with one --------------------------------------------------------------


def change(sha256: str, *, name: str | None = None, note: str | None = None) -> Upload:
    """Give a kept upload another name or note; None leaves it as it is.

    Raises:
        CheckpointError: it is not there any more, or would have no name.
    """
    upload = of(_file(FOLDER, sha256))
    if name is not None:
        name = " ".join(name.split())[:MAX_NAME]
        if not name:
            raise CheckpointError("Give the checkpoint a name of at least one letter.")
        upload = replace(upload, name=name)
    if note is not None:
        upload = replace(upload, note=note[:MAX_NOTE])
    _tell(upload)
    return upload


def delete(sha256: str, owner: str = "") -> bool:
    """Move an upload to the trash, from where :func:`restore` has it back; the oldest give way.

    Args:
        owner: whose it no longer is. Where others brought the same file, it stays for them.

    Returns:
        whether it was moved.

    Raises:
        CheckpointError: it is not there any more, or cannot be moved.
    """
    upload = of(_file(FOLDER, sha256))
    others = tuple(one for one in upload.owners if one != owner)
    if owner and others and len(others) < len(upload.owners):
        _tell(replace(upload, owners=others))
        return False
    trash_folder = FOLDER / TRASH
    try:
        trash_folder.mkdir(exist_ok=True)
        for suffix in (".json", ".safetensors"):
            path = upload.path.with_suffix(suffix)
            if path.exists():
                os.replace(path, trash_folder / path.name)
        os.utime(trash_folder / upload.path.name)
    except OSError as error:
        raise CheckpointError(f"The upload could not be deleted: {error.strerror}.") from None
    _drop(trash(), TRASH_KEEPS)
    return True


def trash() -> list[Upload]:
    """Deleted uploads, the last deleted first."""
    return _found(FOLDER / TRASH)


def restore(sha256: str, owner: str = "") -> Upload:
    """Take an upload back from the trash; or, where it stayed for others, for this owner again.

    Raises:
        CheckpointError: it is not there any more, or cannot be moved.
    """
    there = FOLDER / f"{sha256}.safetensors"
    if not there.is_file():
        try:
            gone = _file(FOLDER / TRASH, sha256)
            for suffix in (".json", ".safetensors"):
                if (path := gone.with_suffix(suffix)).exists():
                    os.replace(path, FOLDER / path.name)
        except OSError as error:
            raise CheckpointError(f"The upload could not be restored: {error.strerror}.") from None
    back = of(there)
    if owner and owner not in back.owners:
        back = replace(back, owners=(*back.owners, owner))
        _tell(back)
    return back


def _file(folder: Path, sha256: str) -> Path:
    """A kept file by its checksum, which is all that is believed to be part of its path."""
    path = folder / f"{sha256}.safetensors"
    if not SHA256.fullmatch(sha256) or not path.is_file():
        raise CheckpointError("This upload is not here any more.")
    return path
