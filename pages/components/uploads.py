"""Uploaded checkpoints, kept under their checksum so that a reload or a link finds them."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from transformer import runs
from transformer.errors import CheckpointError
from transformer.files import write_atomic

FOLDER = runs.ROOT / "uploads"
MAX_FILES = 50
MAX_BYTES = 2_000_000_000


@dataclass(frozen=True)
class Upload:
    """A kept file, and the name it had on the person's machine."""

    sha256: str
    name: str
    path: Path


def kept() -> list[Upload]:
    """All kept uploads, newest first."""
    files = [path for path in FOLDER.glob("*.safetensors") if path.is_file()]
    files.sort(key=_age, reverse=True)
    return [Upload(path.stem, _name_of(path), path) for path in files]


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


def _name_of(path: Path) -> str:
    try:
        name = str(json.loads(path.with_suffix(".json").read_text("utf-8"))["name"])
        return name.encode("utf-8", "replace").decode()
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return path.stem[:12]


def keep(name: str, content: bytes) -> Upload:
    """Check an uploaded file and keep it; the oldest give way when there are too many.

    Raises:
        CheckpointError: it is not a checkpoint we can trust.
    """
    from transformer.checkpoint import Checkpoint

    if not name.lower().endswith(".safetensors"):
        raise CheckpointError("Upload a .safetensors file, as the Checkpoints page saves it.")
    Checkpoint.load(content)
    sha256 = hashlib.sha256(content).hexdigest()
    FOLDER.mkdir(parents=True, exist_ok=True)
    path = FOLDER / f"{sha256}.safetensors"
    write_atomic(path, content)
    write_atomic(path.with_suffix(".json"), json.dumps({"name": name[:100]}).encode())
    _drop_oldest()
    return Upload(sha256, name[:100], path)


def _drop_oldest() -> None:
    total = 0
    for number, upload in enumerate(kept()):
        total += _size(upload.path)
        if number >= MAX_FILES or (number > 0 and total > MAX_BYTES):
            upload.path.unlink(missing_ok=True)
            upload.path.with_suffix(".json").unlink(missing_ok=True)
