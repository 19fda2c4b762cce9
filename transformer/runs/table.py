"""All runs at a glance: settings and results of each, for a table, a search and a CSV file.

A summary of a long run costs no more than that of a short one: of the metrics only the start (the
untrained model), the end and a few places between are read, and no memory use grows with the run.
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
from transformer.runs.metrics import METRICS, read_first_and_last, sampled_losses
from transformer.runs.snapshots import snapshots
from transformer.tasks import read_pairs, title_of

SUMMARY_FILES = ("config.json", "about.json", "status.json", "checkpoints", METRICS)
"""Files from which a summary is made; it is valid until one changes. The metrics come last."""
DAMAGED = "damaged"
MAX_RECOGNISED_BYTES = 10_000
"""Largest file of pairs, in bytes, that is read to recognise the sentences the app comes with."""

Stamp = tuple[tuple[int, int, int] | None, ...]


@dataclass(frozen=True)
class Summary:
    """One row of the table. A number is None if nothing was measured yet or it cannot be read.

    parameters, layers: size of the model; layers as "encoder + decoder".
    step, steps: updates made and planned.
    loss, exact_match: of the last evaluation; ``untrained_*`` of the one before any update.
    seconds: wall time, evaluations included.  tokens: source and target positions trained on.
    curve: (step, loss) of some updates from the first to the last, for a small chart.
    created: seconds since 1970; 0 if unknown.
    saved: (step, loss) of its snapshots, oldest first.
    parent: id of the run that this one continues, or "".
    owner: the hash of its owner's token, which no table shows; "" for a run from a terminal.
    on_training_pairs: whether it is evaluated on its own training pairs.
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
        """Whether only its owner may see it, on a server where runs have owners."""
        return self.own_pairs and not self.shared

    @property
    def title(self) -> str:
        """What the run is called: its name, else its task, else its id."""
        return self.name or self.task or self.id


@dataclass(frozen=True)
class _CachedSummary:
    """A summary in the cache, and when it was read, by the monotonic clock."""

    stamp: Stamp
    run: Run
    summary: Summary
    read: float


class Summaries:
    """A cache of run summaries, each made again only when one of the run's files has changed.

    All sessions of the app share one, from several threads. Threads that call :meth:`of` during
    a scan of the runs wait for the next scan, and all of them get its result.

    live_max_age: seconds for which the metrics of an active run are not read again, nor whether its
        trainer is alive: a class of thirty asks about a hundred times a second.
    min_interval: seconds without a new scan, unless this process has changed a run. A scan checks
        about a hundred files, and at each of them all other threads may run first.
    """

    def __init__(self, live_max_age: float = 0.0, min_interval: float = 0.0) -> None:
        self.live_max_age, self.min_interval = live_max_age, min_interval
        self._cached: dict[Path, _CachedSummary] = {}
        self._newest: list[tuple[Run, Summary]] = []
        self._last_scan = (Path(), 0.0, last_change())
        self._lock = threading.Lock()

    def of(self, root: Path) -> list[tuple[Run, Summary]]:
        """All runs under a root with their summaries, newest first.

        ``list_runs`` is not used, since it would read names and times of 500 runs at every scan
        to sort them. A damaged run has a summary that says so.
        """
        asked, root = time.monotonic(), root.absolute()
        with self._lock:
            where, began, change = self._last_scan
            recent = asked - began < self.min_interval and change is last_change()
            # A scan by another thread that began after this call is as good as a new one.
            if where == root and (began > asked or recent):
                return self._newest
            began, change, fresh = time.monotonic(), last_change(), {}
            for path in root.iterdir() if root.is_dir() else ():
                stamp = _stamp(path)
                if stamp[0] is None or path.name.startswith("."):
                    continue  # not a run, or one that is still being made
                fresh[path] = self._refresh(path, stamp)
            self._cached = fresh  # without the runs that are gone
            newest = sorted(fresh.values(), key=lambda known: known.summary.created, reverse=True)
            self._newest = [(known.run, known.summary) for known in newest]
            self._last_scan = root, began, change
            return self._newest

    def _refresh(self, path: Path, stamp: Stamp) -> _CachedSummary:
        now, known = time.monotonic(), self._cached.get(path)
        if known is None or known.stamp[:-1] != stamp[:-1]:
            run = Run(path)
            return _CachedSummary(stamp, run, summarise(run), now)
        if now - known.read < self.live_max_age:
            return known
        if known.stamp != stamp:
            return _CachedSummary(stamp, known.run, summarise(known.run), now)
        if known.summary.state not in ACTIVE:
            return known
        status = known.run.status()  # the trainer may have died without writing a status
        summary = replace(known.summary, state=status.state, reason=status.reason)
        return _CachedSummary(stamp, known.run, summary, now)


def _stamp(path: Path) -> Stamp:
    found: list[tuple[int, int, int] | None] = []
    for name in SUMMARY_FILES:
        try:
            stat = os.stat(f"{path}/{name}")
            found.append((stat.st_mtime_ns, stat.st_size, stat.st_ino))
        except OSError:
            found.append(None)
    return tuple(found)


def summarise(run: Run) -> Summary:
    """Read one run's summary. What cannot be read is left out; a damaged config is its reason."""
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
    untrained, latest = read_first_and_last(run.path)
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
        curve=sampled_losses(run.path),
        saved=tuple((one.step, one.loss) for one in snapshots(run.path / "checkpoints")),
    )


def task_of(run: Run, config: RunConfig) -> str:
    """The title on screen of what the run learns."""
    file, sources = run.data_file, []
    try:
        if file is not None and file.stat().st_size <= MAX_RECOGNISED_BYTES:
            sources = [pair.source for pair in read_pairs(file).pairs]
    except (OSError, TaskError):  # missing or damaged: reported where the run is opened
        pass
    return title_of(config.data.task, sources)


# --- search and order -----------------------------------------------------------------------


def search(summaries: Iterable[Summary], text: str) -> list[Summary]:
    """The summaries with every word of the text in name, author, task, state, notes or id."""
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
"""The columns by which a table of runs can be sorted."""


def ordered(summaries: Iterable[Summary], order: str) -> list[Summary]:
    """Sorted by a key of :data:`ORDERS`, descending if it begins with "-"; missing values last.

    An unknown key sorts as "-when": newest first.
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
    """The table as CSV: one row per run, fields of :class:`Summary`, times in UTC."""

    def value(summary: Summary, name: str) -> object:
        if name == "created":
            made = time.gmtime(summary.created)
            return time.strftime("%Y-%m-%dT%H:%M:%SZ", made) if summary.created else ""
        return getattr(summary, name)

    return write_csv(TABLE, ([value(summary, name) for name in TABLE] for summary in summaries))
