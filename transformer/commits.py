"""The points a run can go on from: weights, everything else that matters, and a manifest.

``step-N.json`` is written last and makes the two files beside it a commit: it names their
checksums, and how long the run's append-only files were. A crash at any moment leaves the
commits before it untouched.
"""

import hashlib
import json
import os
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from transformer.errors import RunError
from transformer.files import sweep, sync, write_atomic

APPEND_ONLY = ("metrics.jsonl", "samples.jsonl", "attention.bin")
"""Files of a run that only grow; going on from a commit cuts them back to what it saw."""
KEPT = 2
"""The newest commits that are kept whole; of older ones, the first and the best keep weights."""
MANIFEST = re.compile(r"step-([0-9]{1,12})\.json")


@dataclass(frozen=True)
class Commit:
    """What a manifest says.

    loss: of the evaluation at this step, in nats a token.
    weights, state: sha256 of the two files.
    lengths: bytes of each append-only file, and 0 for one that was not there.
    """

    step: int
    loss: float
    weights: str
    state: str
    lengths: dict[str, int]


def weights_file(folder: Path, step: int) -> Path:
    return folder / f"step-{step}.safetensors"


def state_file(folder: Path, step: int) -> Path:
    return folder / f"step-{step}.state.safetensors"


def commit(run: Path, step: int, loss: float, weights: bytes, state: bytes) -> Commit:
    """Make a commit of a run, then drop those it makes superfluous.

    Raises:
        OSError: the disk does not take it; the commits before it are as they were.
    """
    folder = run / "checkpoints"
    lengths = {}
    for name in APPEND_ONLY:
        path = run / name
        lengths[name] = path.stat().st_size if path.exists() else 0
        if lengths[name]:
            sync(path)
    made = Commit(step, loss, _sha256(weights), _sha256(state), lengths)
    write_atomic(weights_file(folder, step), weights)
    write_atomic(state_file(folder, step), state)
    write_atomic(folder / f"step-{step}.json", json.dumps(asdict(made)).encode())
    _prune(folder)
    return made


def commits(folder: Path) -> list[Commit]:
    """What the manifests in a folder of checkpoints say, oldest first, without damaged ones."""
    found = [_read(folder / name) for name in _names(folder) if MANIFEST.fullmatch(name)]
    return sorted((made for made in found if made is not None), key=lambda made: made.step)


def newest_sound(run: Path) -> Commit | None:
    """The newest commit whose files are, bit for bit, what was committed; None before the first.

    A flipped bit, a file that is gone, or a metrics file that lost its end, and it is the
    commit before.

    Raises:
        RunError: there are commits, and none of them is sound.
    """
    folder = run / "checkpoints"
    found = commits(folder)
    for made in reversed(found):
        files = {
            weights_file(folder, made.step): made.weights,
            state_file(folder, made.step): made.state,
        }
        if all(_file_sha256(path) == checksum for path, checksum in files.items()) and all(
            _size(run / name) >= length for name, length in made.lengths.items()
        ):
            return made
    if found:
        raise RunError(
            "None of the points this run saved is sound any more, so it cannot go on. Start it "
            "again with the same settings: the same seed gives the same run."
        )
    return None


def go_back(run: Path, made: Commit | None) -> None:
    """Undo in a run's directory all that came after a commit; all, if there is none.

    Only the trainer that holds the run's lock may call it.
    """
    for name in APPEND_ONLY:
        length = made.lengths[name] if made else 0
        if _size(run / name) > length:
            os.truncate(run / name, length)
    folder = run / "checkpoints"
    sweep(folder)
    known = {one.step for one in commits(folder) if made and one.step <= made.step}
    for path in folder.glob("step-*"):
        number = path.name.split(".")[0].removeprefix("step-")
        if number.isdecimal() and int(number) not in known:
            path.unlink()


def _prune(folder: Path) -> None:
    """Drop what nobody goes back to. Manifests go first, so that none names what is gone."""
    found = commits(folder)
    best = min(found, key=lambda made: made.loss)
    whole = {made.step for made in found[-KEPT:]}
    for made in found:
        if made.step in whole:
            continue
        if made.step not in (found[0].step, best.step):
            (folder / f"step-{made.step}.json").unlink(missing_ok=True)
            weights_file(folder, made.step).unlink(missing_ok=True)
        state_file(folder, made.step).unlink(missing_ok=True)


def _names(folder: Path) -> Iterator[str]:
    try:
        yield from os.listdir(folder)
    except OSError:
        return


def _read(path: Path) -> Commit | None:
    try:
        made = Commit(**json.loads(path.read_text("utf-8")))
        numbers = [made.step, *(made.lengths[name] for name in APPEND_ONLY)]
        sound = (
            path.name == f"step-{made.step}.json"
            and all(type(number) is int and number >= 0 for number in numbers)
            and isinstance(made.loss, int | float)
            and isinstance(made.weights, str)
            and isinstance(made.state, str)
        )
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return None
    return made if sound else None


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _file_sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""
