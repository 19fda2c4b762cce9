"""Snapshots: the points a run can go on from. Weights, the rest of the state, and a manifest.

``step-N.json`` is written last and makes the two files beside it a snapshot: it names their
checksums, and how long the run's append-only files were. A crash at any moment leaves the
snapshots before it untouched.
"""

import hashlib
import json
import os
import re
from dataclasses import asdict, dataclass
from pathlib import Path

from transformer.files import read_object, sync, write_atomic

APPEND_ONLY = ("metrics.jsonl", "samples.jsonl", "attention.bin")
"""Files of a run that only grow; going on from a snapshot cuts them back to what it saw."""
KEPT = 2
"""The newest snapshots that are kept whole. Of older ones, some keep their weights alone: the
first, the best, and as many of the newest as one averages."""
AVERAGED = 5
"""Of the newest snapshots the weights are there to be averaged, as the paper does (section 6.1)."""
MANIFEST = re.compile(r"step-([0-9]{1,12})\.json")


@dataclass(frozen=True)
class Snapshot:
    """What a manifest says.

    loss: of the evaluation at this step, in nats per token.
    weights, state: sha256 of the two files.
    lengths: bytes of each append-only file, and 0 for one that was not there.
    history: sha256 of that much of each.
    ended: the state in which the run ended here; empty if it was to go on.
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
    """Save a snapshot of a run, then drop those it makes superfluous.

    Raises:
        OSError: the disk does not take it; the snapshots before it are as they were.
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
    """With a checksum of its own: one damaged digit would cut a run's history in its midst."""
    plain = {**asdict(snapshot), "sha256": _manifest_sha256(snapshot)}
    write_atomic(folder / f"step-{snapshot.step}.json", json.dumps(plain).encode())


def snapshots(folder: Path) -> list[Snapshot]:
    """What the manifests in a folder of checkpoints say, oldest first, without damaged ones."""
    found = [_read(folder / name) for name in manifests(folder)]
    return sorted((one for one in found if one is not None), key=lambda one: one.step)


def _prune(folder: Path) -> None:
    """Drop what nobody goes back to. Manifests go first, so that none names what is gone."""
    found = snapshots(folder)
    best = min(found, key=lambda snapshot: snapshot.loss)
    whole = {snapshot.step for snapshot in found[-KEPT:]}
    weighed = {snapshot.step for snapshot in (found[0], best, *found[-AVERAGED:])}
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
    """Of a file, or of its first bytes; empty if it cannot be read."""
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
