"""The models that can be chosen: the user's own, the bundled ones, and those of other users."""

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import streamlit as st

from pages.components.shell import browser
from pages.components.shell.checkpoint_headers import facts_of
from pages.components.shell.clock import when
from pages.components.shell.known_runs import known_runs
from pages.components.shell.text import number
from pages.components.stores import uploads
from pages.components.stores.uploads import Upload
from transformer.runs.directory import Run
from transformer.runs.snapshots import snapshots, weights_file
from transformer.runs.table import Summary
from transformer.runs.verdict import score_in_words
from transformer.tasks import title_of

BUNDLED = Path(__file__).parents[3] / "checkpoints"
FIRST = "reverse"
"""Model shown until the user chooses one: the simplest, whose attention is easiest to read."""


@dataclass(frozen=True)
class Listed:
    """A model that can be chosen, and its file.

    id: its name in the address.
    name: what it is called, such as "Reverse letters, step 1,500".
    score: such as "99.9 % right" or, on the pairs it was trained on, "100 % memorised"; "" if it
        was not measured.
    where: when it was made or uploaded, in the browser's time zone, or "bundled".
    own: whether this browser trained or uploaded it.
    """

    id: str
    name: str
    path: Path
    score: str = ""
    where: str = ""
    own: bool = False

    @property
    def detail(self) -> str:
        return " · ".join(filter(None, (self.score, self.where)))

    @property
    def label(self) -> str:
        """Name, score and origin in one line, to tell it from others."""
        return " · ".join(filter(None, (self.name, self.score, self.where)))


def listed_checkpoints() -> dict[str, Listed]:
    """Id -> model: the user's own, newest first, then the bundled ones, then those of others."""
    mine: list[tuple[float, list[Listed]]] = []
    others: list[Listed] = []
    is_mine = browser.owner_check()
    for run, summary in known_runs().values():
        own = is_mine(summary.owner)
        of_run = _of_run(run, summary, own=own)
        if own:
            mine.append((summary.created, of_run))
        else:
            others += of_run
    for upload in _uploads():
        mine.append((upload.changed, [_of_upload(upload)]))
    mine.sort(key=lambda made: made[0], reverse=True)  # a stable sort, for equal times
    found = [entry for _, entries in mine for entry in entries]
    return {entry.id: entry for entry in _told_apart([*found, *bundled(), *others])}


def find(name: str) -> Listed | None:
    """The model with an id; that of a run, ``run-<id>``, is its newest. None if it is not here."""
    if name.startswith("upload-"):
        return next((_of_upload(one) for one in _uploads(name) if one.id == name), None)
    if (run := run_of(name)) is not None:
        of_run = _of_run(*run, own=browser.owns(run[1].owner))
        if name == f"run-{run[0].id}":
            return next(iter(of_run), None)
        return next((entry for entry in of_run if entry.id == name), None)
    path = next((path for path in _bundled_files() if path.stem == name), None)
    return None if path is None else _of_bundled(path)


def run_of(name: str) -> tuple[Run, Summary] | None:
    """The run of a model's id: of the run itself or of one of its snapshots; else None."""
    if not name.startswith("run-"):
        return None
    known, rest = known_runs(), name.removeprefix("run-")
    return known.get(rest) or known.get(rest.rpartition("-")[0])


def bundled() -> Iterator[Listed]:
    """The models that ship with the app, sorted by file name."""
    yield from map(_of_bundled, _bundled_files())


def _bundled_files() -> list[Path]:
    return sorted(BUNDLED.glob("*.safetensors"))


def _of_bundled(path: Path) -> Listed:
    facts = facts_of(path)
    if facts is None:
        return Listed(path.stem, path.stem, path, where="bundled")
    return Listed(path.stem, title_of(facts.data.task), path, _saved_score(path), "bundled")


def _of_run(run: Run, summary: Summary, *, own: bool) -> list[Listed]:
    """A run's snapshots, the newest first. own: whether this browser may control it."""
    folder, found = run.path / "checkpoints", []
    for step, loss in reversed(summary.saved):
        score = f"loss {number(loss)}"
        if step == 0:
            score = _score(summary.untrained_exact_match, summary.on_training_pairs) or score
        elif step == summary.step:
            score = _score(summary.exact_match, summary.on_training_pairs) or score
        entry = Listed(
            f"run-{run.id}-{step}",
            f"{summary.title}, {f'step {step:,}' if step else 'untrained'}",
            weights_file(folder, step),
            score,
            when(summary.created),
            own=own,
        )
        found.append(entry)
    return found


def _uploads(named: str = "") -> list[Upload]:
    """This browser's uploads, and the one that ``named`` or else the address names."""
    named = named or st.query_params.get("checkpoint", "")
    # Anyone with the link may open it: its checksum cannot be guessed.
    return [one for one in uploads.kept() if browser.owns(*one.owners) or one.id == named]


def _of_upload(upload: Upload) -> Listed:
    return Listed(
        upload.id,
        upload.name,
        upload.path,
        "" if upload.score is None else _saved_score(upload.path),
        f"uploaded {when(upload.changed)}",
        own=browser.owns(*upload.owners),
    )


def _score(share: float | None, own: bool) -> str:
    return "" if share is None else score_in_words(share, own)


def _saved_score(path: Path) -> str:
    """The score that is stored in a checkpoint's file, in words."""
    facts = facts_of(path)
    if facts is None or facts.summary is None:
        return ""
    return score_in_words(facts.summary.exact_match, facts.summary.evaluated_on_training_pairs)


def _told_apart(entries: list[Listed]) -> Iterator[Listed]:
    """Add a number to the names of models with equal labels, as people cannot tell ids apart."""
    count, seen = Counter(entry.label for entry in entries), Counter[str]()
    for entry in entries:
        if count[entry.label] > 1:
            seen[entry.label] += 1
            entry = replace(entry, name=f"{entry.name} ({seen[entry.label]})")
        yield entry


def identical(path: Path) -> Listed | None:
    """Another listed model whose file is equal byte for byte; None if there is none."""
    wanted, size = _sha256(path), path.stat().st_size
    for entry in bundled():
        alike = entry.path != path and entry.path.stat().st_size == size
        if alike and _sha256(entry.path) == wanted:
            return entry
    for run, summary in known_runs().values():
        folder = run.path / "checkpoints"
        for snapshot in snapshots(folder):
            if snapshot.weights == wanted and weights_file(folder, snapshot.step) != path:
                return find(f"run-{summary.id}-{snapshot.step}")
    return None


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def first(entries: Mapping[str, Listed]) -> str | None:
    """The id of the model that a page opens on if none was chosen or linked."""
    return FIRST if FIRST in entries else next(iter(entries), None)
