"""All runs at a glance: what each was and what it came to, for a table, a search and a CSV file.

A summary costs the same for a short run and a long one: of the metrics only the beginning (the
untrained model) and the end are read, and nothing is kept that grows with the run.
"""

import os
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from transformer.config import RunConfig
from transformer.errors import RunError, TaskError
from transformer.files import write_csv
from transformer.runs.directory import ACTIVE, Run, last_change
from transformer.runs.metrics import METRICS, ends, some_losses
from transformer.runs.snapshots import snapshots
from transformer.tasks import read_pairs, title_of

FILES = ("config.json", "about.json", "status.json", "checkpoints", METRICS)
"""A summary is made of these and stands until one of them changes; the metrics come last."""
DAMAGED = "damaged"
MOST_LOOKED_INTO = 10_000
"""Bytes of a file of pairs that is looked into for the sentences that come with the app."""

Stamp = tuple[tuple[int, int, int] | None, ...]


@dataclass(frozen=True)
class Summary:
    """One run in a row. A number is None where nothing was measured yet, or it cannot be read.

    parameters, layers: size of the model; layers as "encoder + decoder".
    step, steps: updates made and planned.
    loss, exact_match: of the last evaluation; ``untrained_*`` of the one before any update.
    seconds: wall time, evaluations included.  tokens: source and target positions trained on.
    curve: (step, loss) of some updates from the first to the last, for a small picture.
    created: seconds since 1970; 0 if unknown.
    saved: (step, loss) of its snapshots, oldest first.
    parent: id of the run that this one was trained on from, or "".
    owner: the hash of its owner's token, which no table shows; "" for a run from a terminal.
    on_training_pairs: whether what is measured is measured on the pairs it learns.
    """

    id: str
    name: str = ""
    task: str = ""
    preset: str = ""
    parameters: int | None = None
    layers: str = ""
    d_model: int | None = None
    step: int = 0
    steps: int | None = None
    loss: float | None = None
    exact_match: float | None = None
    untrained_loss: float | None = None
    untrained_exact_match: float | None = None
    seconds: float | None = None
    tokens: int | None = None
    curve: tuple[tuple[int, float], ...] = ()
    saved: tuple[tuple[int, float], ...] = ()
    state: str = ""
    reason: str = ""
    created: float = 0.0
    seed: int | None = None
    own_pairs: bool = False
    on_training_pairs: bool = False
    shared: bool = False
    parent: str = ""
    notes: str = ""
    author: str = ""
    owner: str = ""

    @property
    def private(self) -> bool:
        """Whether it is its owner's alone, where runs have owners."""
        return self.own_pairs and not self.shared

    @property
    def title(self) -> str:
        """What the run is called: its name, else its task, else its id."""
        return self.name or self.task or self.id


@dataclass(frozen=True)
class _Known:
    """What was read of a run, and when, by the monotonic clock."""

    stamp: Stamp
    run: Run
    summary: Summary
    read: float


class Summaries:
    """Summaries of runs, each made again only when one of its files has changed.

    All who look at the app share one, so it may be asked from several threads: those that ask
    while another looks get what the next look finds, which all of them share.

    patience: seconds for which the metrics of a run that trains, and whether its trainer lives,
        are left as they were read last: a class of thirty asks some hundred times a second.
    rest: seconds for which nothing is looked at again unless this process has changed a run.
        Each of the hundred files that a look asks for lets all other threads go first.
    """

    def __init__(self, patience: float = 0.0, rest: float = 0.0) -> None:
        self.patience, self.rest = patience, rest
        self._known: dict[Path, _Known] = {}
        self._newest: list[tuple[Run, Summary]] = []
        self._looked = (Path(), 0.0, last_change())
        self._lock = threading.Lock()

    def of(self, root: Path) -> list[tuple[Run, Summary]]:
        """The runs of ``runs.list_runs`` with their summaries, newest first.

        It lists the directory itself: to order 500 runs again, their names and times would be
        read at every look. A damaged run has a summary that says so.
        """
        asked, root = time.monotonic(), root.absolute()
        with self._lock:
            where, began, change = self._looked
            rested = asked - began < self.rest and change is last_change()
            # Or somebody else's look began after this one was asked for: it is as good.
            if where == root and (began > asked or rested):
                return self._newest
            began, change, fresh = time.monotonic(), last_change(), {}
            for path in root.iterdir() if root.is_dir() else ():
                stamp = _stamp(path)
                if stamp[0] is None or path.name.startswith("."):
                    continue  # no run, or one that is just being made
                fresh[path] = self._look(path, stamp)
            self._known = fresh  # those that are gone are forgotten
            newest = sorted(fresh.values(), key=lambda known: known.summary.created, reverse=True)
            self._newest = [(known.run, known.summary) for known in newest]
            self._looked = root, began, change
            return self._newest

    def _look(self, path: Path, stamp: Stamp) -> _Known:
        now, known = time.monotonic(), self._known.get(path)
        if known is None or known.stamp[:-1] != stamp[:-1]:
            run = Run(path)
            return _Known(stamp, run, summarise(run), now)
        if now - known.read < self.patience:
            return known
        if known.stamp != stamp:
            return _Known(stamp, known.run, summarise(known.run), now)
        if known.summary.state not in ACTIVE:
            return known
        status = known.run.status()  # the trainer may have died without a word
        summary = replace(known.summary, state=status.state, reason=status.reason)
        return _Known(stamp, known.run, summary, now)


def _stamp(path: Path) -> Stamp:
    found: list[tuple[int, int, int] | None] = []
    for name in FILES:
        try:
            stat = os.stat(f"{path}/{name}")
            found.append((stat.st_mtime_ns, stat.st_size, stat.st_ino))
        except OSError:
            found.append(None)
    return tuple(found)


def summarise(run: Run) -> Summary:
    """Read one run's summary; what cannot be read is left out, and named if it is the config."""
    about = run.about()
    summary = Summary(
        run.id,
        name=about["name"],
        notes=about["notes"],
        author=about["author"],
        owner=about["owner"],
        parent=about["parent"],
        created=float(about["created"]),
        shared=about["shared"],
        own_pairs=run.data_file is not None,
    )
    try:
        config = run.config()
    except RunError as error:
        return replace(summary, state=DAMAGED, reason=str(error))
    status, model = run.status(), config.model
    untrained, latest = ends(run.path)
    return replace(
        summary,
        task=task_of(run, config),
        preset=config.preset,
        parameters=model.num_parameters,
        layers=f"{model.num_encoder_layers} + {model.num_decoder_layers}",
        d_model=model.d_model,
        steps=config.training.steps,
        seed=config.training.seed,
        on_training_pairs=config.data.evaluates_on_training_pairs,
        state=status.state,
        reason=status.reason,
        step=latest.step,
        loss=latest.loss,
        exact_match=latest.exact_match,
        untrained_loss=untrained.loss,
        untrained_exact_match=untrained.exact_match,
        seconds=latest.seconds,
        tokens=latest.tokens,
        curve=some_losses(run.path),
        saved=tuple((one.step, one.loss) for one in snapshots(run.path / "checkpoints")),
    )


def task_of(run: Run, config: RunConfig) -> str:
    """What the run learns, as it is called on screen."""
    file, sources = run.data_file, []
    try:
        if file is not None and file.stat().st_size <= MOST_LOOKED_INTO:
            sources = [pair.source for pair in read_pairs(file).pairs]
    except (OSError, TaskError):  # gone, or damaged: said where the run is opened
        pass
    return title_of(config.data.task, sources)


# --- search and order -----------------------------------------------------------------------


def search(summaries: Iterable[Summary], text: str) -> list[Summary]:
    """Those that have every word of the text in their name, author, task, state, notes or id."""
    words = text.casefold().split()

    def matches(summary: Summary) -> bool:
        parts = (summary.name, summary.author, summary.task, summary.state, summary.notes)
        searched = "\n".join((*parts, summary.id)).casefold()
        return all(word in searched for word in words)

    return [summary for summary in summaries if matches(summary)]


ORDERS: dict[str, Callable[[Summary], Any]] = {
    "name": lambda summary: summary.title.casefold(),
    "task": lambda summary: summary.task.casefold() or None,
    "size": lambda summary: summary.parameters,
    "step": lambda summary: summary.step,
    "loss": lambda summary: summary.loss,
    "exact": lambda summary: summary.exact_match,
    "time": lambda summary: summary.seconds,
    "tokens": lambda summary: summary.tokens,
    "state": lambda summary: summary.state,
    "when": lambda summary: summary.created,
}
"""By what a table of runs can be sorted."""


def ordered(summaries: Iterable[Summary], order: str) -> list[Summary]:
    """Sorted by a key of :data:`ORDERS`, falling if it begins with "-"; the unknown come last.

    A key that is not there sorts as "-when": newest first.
    """
    name = order.removeprefix("-")
    if name not in ORDERS:
        order, name = "-when", "when"
    key = ORDERS[name]
    known: list[Summary] = []
    unknown: list[Summary] = []
    for summary in summaries:
        (unknown if key(summary) is None else known).append(summary)
    return sorted(known, key=key, reverse=order.startswith("-")) + unknown


# --- export ---------------------------------------------------------------------------------


TABLE = (
    *("id", "name", "task", "preset", "parameters", "layers", "d_model", "seed", "step", "steps"),
    *("loss", "exact_match", "untrained_loss", "untrained_exact_match", "seconds", "tokens"),
    *("state", "reason", "created", "private", "parent", "notes", "author"),
)


def table_csv(summaries: Iterable[Summary]) -> bytes:
    """The table as CSV: one row a run, the fields of :class:`Summary`, the time in UTC."""

    def value(summary: Summary, name: str) -> object:
        if name == "created":
            made = time.gmtime(summary.created)
            return time.strftime("%Y-%m-%dT%H:%M:%SZ", made) if summary.created else ""
        return getattr(summary, name)

    return write_csv(TABLE, ([value(summary, name) for name in TABLE] for summary in summaries))
