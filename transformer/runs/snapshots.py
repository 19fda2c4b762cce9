"""Snapshots: the points from which a run can be resumed.

A snapshot is a file of weights, one of the other state, and a manifest. The manifest,
``step-N.json``, is written last: without it, the other two do not count. It has their checksums,
and the lengths of the run's append-only files. A crash at any moment leaves earlier snapshots
intact.

:mod:`trainer.trainer` decides when to save: before the first update, at intervals, on a command,
and when the run ends.
"""

import hashlib
import json
import os
import re
from dataclasses import asdict, dataclass
from pathlib import Path

from transformer.files import read_object, sync, write_atomic

APPEND_ONLY = ("metrics.jsonl", "samples.jsonl", "attention.bin")
"""Files of a run that only grow; resuming from a snapshot truncates them to its lengths."""
RESUMABLE_SNAPSHOTS = 2
"""Number of newest snapshots with all their files. Of older ones only weights are kept: those of
the first, of the best, and of the last :data:`AVERAGED_SNAPSHOTS`."""
AVERAGED_SNAPSHOTS = 5
"""Newest snapshots whose weights are kept to be averaged, as in the paper (section 6.1)."""
MANIFEST = re.compile(r"step-([0-9]{1,12})\.json")


@dataclass(frozen=True)
class Snapshot:
    """The contents of a manifest.

    loss: of the evaluation at this step, in nats per token.
    weights, state: sha256 of the two files.
    lengths: bytes of each append-only file; 0 for a missing one.
    history: sha256 of the first ``lengths`` bytes of each append-only file.
    ended: the run's final state if it ended at this step, else empty.
    """

    step: int
    loss: float
    weights: str
    state: str
    lengths: dict[str, int]
    history: dict[str, str]
    ended: str = ""


def weights_file(folder: Path, step: int) -> Path:
    return folder / f"step-{step}.safetensors"


def state_file(folder: Path, step: int) -> Path:
    return folder / f"step-{step}.state.safetensors"


def save_snapshot(
    run: Path, step: int, loss: float, weights: bytes, state: bytes, ended: str = ""
) -> Snapshot:
    """Save a snapshot of a run, then delete older files that are no longer needed.

    Raises:
        OSError: it could not be written; earlier snapshots are unchanged.
    """
    folder = run / "checkpoints"
    lengths = {}
    for name in APPEND_ONLY:
        path = run / name
        lengths[name] = path.stat().st_size if path.exists() else 0
        if lengths[name]:
            sync(path)
    history = {name: file_sha256(run / name, length) for name, length in lengths.items()}
    snapshot = Snapshot(step, loss, _sha256(weights), _sha256(state), lengths, history, ended)
    write_atomic(weights_file(folder, step), weights)
    write_atomic(state_file(folder, step), state)
    write_manifest(folder, snapshot)
    _prune(folder)
    return snapshot


def write_manifest(folder: Path, snapshot: Snapshot) -> None:
    """Write a manifest with its own checksum: a damaged digit would truncate a run's history in
    the middle."""
    plain = {**asdict(snapshot), "sha256": _manifest_sha256(snapshot)}
    write_atomic(folder / f"step-{snapshot.step}.json", json.dumps(plain).encode())


def snapshots(folder: Path) -> list[Snapshot]:
    """The snapshots in a folder of checkpoints, oldest first, without damaged manifests."""
    found = [_read(folder / name) for name in manifests(folder)]
    return sorted((one for one in found if one is not None), key=lambda one: one.step)


def _prune(folder: Path) -> None:
    """Delete files that are not needed. Manifests go first, so that none names a missing file."""
    found = snapshots(folder)
    best = min(found, key=lambda snapshot: snapshot.loss)
    whole = {snapshot.step for snapshot in found[-RESUMABLE_SNAPSHOTS:]}
    weighed = {snapshot.step for snapshot in (found[0], best, *found[-AVERAGED_SNAPSHOTS:])}
    for snapshot in found:
        if snapshot.step in whole:
            continue
        if snapshot.step not in weighed:
            (folder / f"step-{snapshot.step}.json").unlink(missing_ok=True)
            weights_file(folder, snapshot.step).unlink(missing_ok=True)
        state_file(folder, snapshot.step).unlink(missing_ok=True)


def manifests(folder: Path) -> list[str]:
    """The names of the manifests in a folder of checkpoints, damaged ones too."""
    try:
        return [name for name in os.listdir(folder) if MANIFEST.fullmatch(name)]
    except OSError:
        return []


def _read(path: Path) -> Snapshot | None:
    try:
        plain = read_object(path)
        checksum = plain.pop("sha256")
        snapshot = Snapshot(**plain)
        numbers = [snapshot.step, *(snapshot.lengths[name] for name in APPEND_ONLY)]
        sound = (
            path.name == f"step-{snapshot.step}.json"
            and checksum == _manifest_sha256(snapshot)
            and all(type(number) is int and number >= 0 for number in numbers)
            and isinstance(snapshot.loss, int | float)
            and isinstance(snapshot.weights, str)
            and isinstance(snapshot.state, str)
            and isinstance(snapshot.ended, str)
            and snapshot.history.keys() >= snapshot.lengths.keys()
        )
    except (ValueError, TypeError, KeyError, AttributeError):
        return None
    return snapshot if sound else None


def size_of(path: Path) -> int:
    """Bytes of a file, 0 if there is none."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _manifest_sha256(snapshot: Snapshot) -> str:
    return _sha256(json.dumps(asdict(snapshot)).encode())


def file_sha256(path: Path, length: int | None = None) -> str:
    """sha256 of a file, or of its first ``length`` bytes; empty if it cannot be read."""
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            left = size_of(path) if length is None else length
            while left > 0 and (chunk := file.read(min(left, 1 << 20))):
                digest.update(chunk)
                left -= len(chunk)
    except OSError:
        return ""
    return digest.hexdigest()
