"""Uploaded checkpoints, kept under their checksum so that a reload or a link finds them."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from transformer import runs
from transformer.files import write_atomic

if TYPE_CHECKING:
    from transformer.checkpoint import Checkpoint

FOLDER = runs.ROOT / "uploads"
MAX_FILES = 50
MAX_BYTES = 2_000_000_000


@dataclass(frozen=True)
class Upload:
    """A kept file: the name it had on a person's machine, and the hashes of the tokens of the
    browsers that sent it."""

    sha256: str
    name: str
    owners: tuple[str, ...]
    path: Path

    @property
    def id(self) -> str:
        """Its name in the address: enough of the checksum that nobody guesses it."""
        return f"upload-{self.sha256[:16]}"


def kept() -> list[Upload]:
    """All kept uploads, newest first."""
    files = [path for path in FOLDER.glob("*.safetensors") if path.is_file()]
    files.sort(key=_age, reverse=True)
    return [Upload(path.stem, *_told(path), path) for path in files]


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


def _told(path: Path) -> tuple[str, tuple[str, ...]]:
    """The name and the owners that stand beside a kept file."""
    try:
        beside = json.loads(path.with_suffix(".json").read_text("utf-8"))
        name = str(beside["name"]).encode("utf-8", "replace").decode()
        return name, tuple(map(str, beside.get("owners", ())))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return path.stem[:12], ()


def keep(name: str, brought: "bytes | Path | Checkpoint", owner: str) -> Upload:
    """Check what was brought and keep it; the oldest give way when there are too many.

    Args:
        name: what it was called on the person's machine.
        brought: the bytes of a file of ours, where it lies, or a model that was imported.

    Raises:
        CheckpointError: it is not a checkpoint we can trust.
    """
    from transformer.checkpoint import Checkpoint, read

    if isinstance(brought, Checkpoint):
        content = brought.to_bytes()
    else:
        content = brought if isinstance(brought, bytes) else read(brought)
        Checkpoint.load(content)
    sha256 = hashlib.sha256(content).hexdigest()
    FOLDER.mkdir(parents=True, exist_ok=True)
    path = FOLDER / f"{sha256}.safetensors"
    write_atomic(path, content)
    owners = tuple(dict.fromkeys((*_told(path)[1], owner)))
    beside = {"name": name[:100], "owners": owners}
    write_atomic(path.with_suffix(".json"), json.dumps(beside).encode())
    _drop_oldest()
    return Upload(sha256, name[:100], owners, path)


def _drop_oldest() -> None:
    total = 0
    for number, upload in enumerate(kept()):
        total += _size(upload.path)
        if number >= MAX_FILES or (number > 0 and total > MAX_BYTES):
            upload.path.unlink(missing_ok=True)
            upload.path.with_suffix(".json").unlink(missing_ok=True)
