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
"""The newest commits that are kept whole; of older ones, some keep their weights alone: the first,
the best, and as many of the newest as one averages."""
AVERAGED = 5
"""Of the newest commits the weights are there to be averaged, as the paper does (section 6.1)."""
MANIFEST = re.compile(r"step-([0-9]{1,12})\.json")


@dataclass(frozen=True)
class Commit:
    """What a manifest says.

    loss: of the evaluation at this step, in nats a token.
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


def commit(
    run: Path, step: int, loss: float, weights: bytes, state: bytes, ended: str = ""
) -> Commit:
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
    history = {name: _file_sha256(run / name, length) for name, length in lengths.items()}
    made = Commit(step, loss, _sha256(weights), _sha256(state), lengths, history, ended)
    write_atomic(weights_file(folder, step), weights)
    write_atomic(state_file(folder, step), state)
    write_manifest(folder, made)
    _prune(folder)
    return made


def write_manifest(folder: Path, made: Commit) -> None:
    """With a checksum of its own: one damaged digit would cut a run's history in its midst."""
    plain = {**asdict(made), "sha256": _manifest_sha256(made)}
    write_atomic(folder / f"step-{made.step}.json", json.dumps(plain).encode())


def commits(folder: Path) -> list[Commit]:
    """What the manifests in a folder of checkpoints say, oldest first, without damaged ones."""
    found = [_read(folder / name) for name in _names(folder) if MANIFEST.fullmatch(name)]
    return sorted((made for made in found if made is not None), key=lambda made: made.step)


def newest_sound(run: Path) -> Commit | None:
    """The newest commit whose files are, bit for bit, what was committed; None before the first.

    A flipped bit, a file that is gone, or a metrics file that lost its end, and it is the
    commit before. Damage to the metrics that every commit saw costs the curve a point and the
    run nothing.

    Raises:
        RunError: there are commits, and none of them is sound.
    """
    folder = run / "checkpoints"
    whole = [made for made in reversed(commits(folder)) if _is_whole(run, made)]
    for made in whole:
        if all(
            _file_sha256(run / name, length) == made.history[name]
            for name, length in made.lengths.items()
        ):
            return made
    if whole:
        return whole[0]
    if any(MANIFEST.fullmatch(name) for name in _names(folder)):
        raise RunError(
            "None of the points this run saved is sound any more, so it cannot go on. Start it "
            "again with the same settings: the same seed gives the same run."
        )
    return None


def _is_whole(run: Path, made: Commit) -> bool:
    folder = run / "checkpoints"
    return (
        _file_sha256(weights_file(folder, made.step)) == made.weights
        and _file_sha256(state_file(folder, made.step)) == made.state
    )


def go_back(run: Path, made: Commit | None) -> None:
    """Undo in a run's directory all that came after a commit; all, if there is none.

    Only the trainer that holds the run's lock may call it.
    """
    for name in APPEND_ONLY:
        length = made.lengths[name] if made else 0
        if _size(run / name) > length:
            os.truncate(run / name, length)
        elif 0 < _size(run / name) < length and name.endswith(".jsonl"):
            os.truncate(run / name, (run / name).read_bytes().rfind(b"\n") + 1)
    folder = run / "checkpoints"
    sweep(folder)
    known = {one.step for one in commits(folder) if made and one.step <= made.step}
    # Manifests go first, as in _prune.
    for path in sorted(folder.glob("step-*"), key=lambda path: path.suffix != ".json"):
        number = path.name.split(".")[0].removeprefix("step-")
        if number.isdecimal() and int(number) not in known:
            path.unlink()


def _prune(folder: Path) -> None:
    """Drop what nobody goes back to. Manifests go first, so that none names what is gone."""
    found = commits(folder)
    best = min(found, key=lambda made: made.loss)
    whole = {made.step for made in found[-KEPT:]}
    weighed = {made.step for made in (found[0], best, *found[-AVERAGED:])}
    for made in found:
        if made.step in whole:
            continue
        if made.step not in weighed:
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
        plain = json.loads(path.read_text("utf-8"))
        checksum = plain.pop("sha256")
        made = Commit(**plain)
        numbers = [made.step, *(made.lengths[name] for name in APPEND_ONLY)]
        sound = (
            path.name == f"step-{made.step}.json"
            and checksum == _manifest_sha256(made)
            and all(type(number) is int and number >= 0 for number in numbers)
            and isinstance(made.loss, int | float)
            and isinstance(made.weights, str)
            and isinstance(made.state, str)
            and isinstance(made.ended, str)
            and made.history.keys() >= made.lengths.keys()
        )
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None
    return made if sound else None


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _manifest_sha256(made: Commit) -> str:
    return _sha256(json.dumps(asdict(made)).encode())


def _file_sha256(path: Path, length: int | None = None) -> str:
    """Of a file, or of its first bytes; empty if it cannot be read."""
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            left = _size(path) if length is None else length
            while left > 0 and (chunk := file.read(min(left, 1 << 20))):
                digest.update(chunk)
                left -= len(chunk)
    except OSError:
        return ""
    return digest.hexdigest()
