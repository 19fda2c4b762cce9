"""Run directories: all that a trainer and the processes that watch it share.

The trainer writes, all others read, so a run survives page changes, closed browsers and
restarts of the app. :mod:`runs.queue` decides which run trains when.
"""

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import psutil
from filelock import FileLock, Timeout

from transformer.config import RunConfig
from transformer.errors import ConfigError, RunError
from transformer.files import (
    change_object,
    read_object,
    write_atomic,
    write_over,
)
from transformer.runs import metrics
from transformer.runs.metrics import Record, Samples
from transformer.runs.snapshots import snapshots, weights_file

ROOT = Path("runs")
"""Folder of the runs of the app and the command line, relative to the working directory."""
ACTIVE = ("starting", "running", "stopping")
"""States in which a process is working on the run."""
RESUMABLE = ("paused", "failed", "interrupted")
ENDED = ("finished", "stopped", "diverged")
ENDED_OR_FAILED = (*ENDED, "failed")
"""States without more updates, unless a person resumes or continues the run."""
STATES = ("queued", *ACTIVE, *RESUMABLE, *ENDED)
COMMANDS = ("pause", "stop", "save")
MAX_CACHED_FILES = 4096
MAX_TIMESTAMP = 4e9
"""Seconds since 1970, in the year 2096: later times in a file count as damage."""


@dataclass(frozen=True)
class Status:
    """The run's state as the queue or the trainer last wrote it.

    state: one of STATES.
    kind: the kind of a failure: memory, disk, data or error.
    reason: why it ended or failed, in a sentence.
    pid, process_started: the process, and its start by :func:`start_time`, since pids are reused.
    ticket: orders the queue; the lowest is the oldest.
    """

    state: str
    reason: str = ""
    kind: str = ""
    pid: int = 0
    process_started: float = 0.0
    step: int = 0
    ticket: int = 0


UNREADABLE = Status("interrupted", "The run's status is missing or unreadable.")
READ_TRIES, READ_PAUSE = 3, 0.001
"""Attempts to read a status, and the seconds between them."""


def failed_to_start(exit_status: int | None = None) -> Status:
    """The status of a run whose trainer died before it wrote one.

    exit_status: the trainer's, if known.
    """
    how = "" if exit_status is None else f" (exit status {exit_status})"
    reason = f"The trainer ended{how} before it began; its output says why."
    return Status("failed", reason, "error")


class Run:
    """One run directory."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @cached_property
    def _lock(self) -> FileLock:
        """Made on first use: a listing of all runs needs few of the locks."""
        return FileLock(self.path / "run.lock", thread_local=False)

    @property
    def id(self) -> str:
        return self.path.name

    @property
    def data_file(self) -> Path | None:
        """The file of the user's own pairs; None if the run has none."""
        file = self.path / "data.tsv"
        return file if file.exists() else None

    def config(self) -> RunConfig:
        """
        Raises:
            RunError: the directory holds no valid config.
        """
        file = self.path / "config.json"
        if not file.is_file():
            raise RunError(
                f"There is no run {self.id or '.'}: it has no folder with a config.json."
            )
        try:
            return RunConfig.from_dict(json.loads(file.read_text("utf-8")))
        except (OSError, ValueError, RecursionError) as error:
            detail = str(error) if isinstance(error, ConfigError) else "config.json is unreadable."
            raise RunError(f"The run {self.id} is damaged: {detail}") from None

    def about(self) -> dict[str, Any]:
        """The contents of ``about.json``, with defaults for what is missing or damaged.

        "name", "notes" and "shared" can be changed. Fixed are when the run was made ("created"),
        the run that it continues ("parent"), the name that its owner gave ("author"), and the hash
        of the owner's token ("owner"; both empty for a run from a terminal).
        """
        about = _read_cached(self.path / "about.json")
        numbers = {}
        for name in ("created", "parent_seconds"):
            value = about.get(name)
            sound = isinstance(value, int | float) and 0 <= value < MAX_TIMESTAMP
            numbers[name] = value if sound else 0.0
        texts = {
            name: about[name].encode("utf-8", "replace").decode()
            if isinstance(about.get(name), str)
            else ""
            for name in ("name", "notes", "owner", "parent", "author")
        }
        return {
            **about,
            **texts,
            **numbers,
            "shared": about.get("shared") is True,
        }

    def change(
        self, *, name: str | None = None, notes: str | None = None, shared: bool | None = None
    ) -> None:
        """Change name, notes or sharing; None leaves a value as it is."""
        given = {
            "name": None if name is None else name[:200],
            "notes": None if notes is None else notes[:10_000],
            "shared": shared,
        }
        changes = {key: value for key, value in given.items() if value is not None}
        change_object(self.path / "about.json", lambda about: about | changes)
        note_change()

    def status(self) -> Status:
        """The run's status. If its trainer died without writing one: "interrupted", or "failed"
        if training had not begun."""
        status = self.recorded_status()
        if status is UNREADABLE and self.is_locked():
            return Status("running", UNREADABLE.reason, step=self.last_step())
        if status.state in ACTIVE and not self._alive(status):
            # Read again: the trainer may have ended properly in between.
            status = self.recorded_status()
            if status.state in ACTIVE and not self._alive(status):
                if status.state == "starting" and not self.has_begun():
                    return failed_to_start()
                return Status(
                    "interrupted",
                    "The trainer ended without a word: it was killed, or the machine went down. "
                    "Resume the run to go on from the last point it saved.",
                    step=self.last_step(),
                )
        return status

    def recorded_status(self) -> Status:
        """The contents of the status file, whether or not its writer is still alive."""
        # On a full disk the file is overwritten in place, so a reader may see half of it.
        for _ in range(READ_TRIES):
            status = self._read_status()
            if status is not UNREADABLE:
                break
            time.sleep(READ_PAUSE)
        return status

    def _read_status(self) -> Status:
        plain = _read_cached(self.path / "status.json")
        try:
            status = Status(**plain)
        except TypeError:
            return UNREADABLE
        kinds = {"state": str, "reason": str, "kind": str, "pid": int, "step": int, "ticket": int}
        if not all(isinstance(getattr(status, name), kind) for name, kind in kinds.items()):
            return UNREADABLE
        if status.state not in STATES or not isinstance(status.process_started, int | float):
            return UNREADABLE
        return status

    def _alive(self, status: Status) -> bool:
        """Whether the trainer is alive: its process exists, or the run's lock is held."""
        if process_of(status) is not None:
            return True
        return self.is_locked()

    def is_locked(self) -> bool:
        """Whether a trainer holds the run's lock, which is more reliable than pids and clocks."""
        if not (self.path / "run.lock").exists():  # reading must create nothing, not even a folder
            return False
        try:
            with self._lock.acquire(timeout=0):
                return False
        except Timeout:
            return True
        except OSError:  # the directory is being deleted
            return False

    @contextmanager
    def lock(self) -> Iterator[None]:
        """The run's lock, which its trainer holds until it ends.

        Raises:
            RunError: another process holds it, or the run was deleted.
        """
        try:
            self._check_exists()
            self._lock.acquire(timeout=2)
        except Timeout:
            raise RunError(f"The run {self.id} is being trained by another process.") from None
        try:
            self._check_exists()
            yield
        finally:
            self._lock.release()

    def _check_exists(self) -> None:
        if not (self.path / "config.json").is_file():
            raise RunError(f"The run {self.id} is not there any more: it was deleted.")

    def set_status(self, status: Status) -> None:
        content = json.dumps(asdict(status)).encode()
        try:
            write_atomic(self.path / "status.json", content)
        except OSError:
            # On a full disk, too, a trainer must be able to write why it ended.
            write_over(self.path / "status.json", content)
        note_change()

    def command(self, word: str) -> None:
        """Leave a command for the trainer, which reads it between two updates.

        Raises:
            RunError: there is no such command.
        """
        if word not in COMMANDS:
            raise RunError(f"There is no command {word!r}; use one of {', '.join(COMMANDS)}.")
        write_atomic(self.path / "control", word.encode())

    def pending_command(self) -> str:
        """The command left in the directory, empty if none."""
        try:
            return (self.path / "control").read_text("utf-8").strip()
        except (OSError, ValueError):
            return ""

    def clear_command(self) -> None:
        (self.path / "control").unlink(missing_ok=True)

    def checkpoints(self) -> list[Path]:
        """Weights of the saved snapshots, oldest first: the untrained, the best, the last five."""
        folder = self.path / "checkpoints"
        return [weights_file(folder, snapshot.step) for snapshot in snapshots(folder)]

    def metrics(self) -> list[Record]:
        """All measurements, in the order in which they were made."""
        return metrics.read_metrics(self.path)[0]

    def has_begun(self) -> bool:
        """Whether the trainer has written any metrics."""
        return metrics.has_metrics(self.path)

    def last_step(self) -> int:
        """The last step in the metrics; only their end is read."""
        return metrics.last_step(self.path)

    def samples(self) -> list[Samples]:
        """The fixed held-out examples with their outputs, one entry per evaluation."""
        return metrics.read_samples(self.path)[0]

    def log_tail(self, characters: int = 2000) -> str:
        """The end of the trainer's own output."""
        try:
            with (self.path / "trainer.log").open("rb") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - 4 * characters))
                return file.read().decode("utf-8", "replace")[-characters:]
        except OSError:
            return ""


def start_time(process: psutil.Process) -> float:
    """Start time of a process in seconds, unaffected by changes of the system clock.

    Linux counts from boot. psutil adds its estimate of the boot time, which is subtracted again.
    """
    moment = process.create_time()
    return moment - psutil.boot_time() if psutil.LINUX else moment


def process_of(status: Status) -> psutil.Process | None:
    """The running process that a status names; None if it has ended, even if its pid is reused."""
    try:
        process = psutil.Process(status.pid)
        same = abs(start_time(process) - status.process_started) < 0.1
        return process if same and process.status() != psutil.STATUS_ZOMBIE else None
    except (psutil.Error, ValueError, OverflowError):
        return None


_last_change = object()


def last_change() -> object:
    """An object that is replaced whenever this process makes, changes or moves a run."""
    return _last_change


def note_change() -> None:
    """Record that a run was made, changed or moved, so that the list of runs is read again."""
    global _last_change
    _last_change = object()


_cached_objects: dict[Path, tuple[tuple[int, int, int], dict[str, Any]]] = {}


def _read_cached(path: Path) -> dict[str, Any]:
    """A JSON object from a small file; empty if there is none that can be read.

    Cached until inode, time or size of the file change, since the queue reads the files of all
    runs. These files are replaced, not changed in place.
    """
    try:
        stat = path.stat()
        signature = (stat.st_ino, stat.st_mtime_ns, stat.st_size)
        known = _cached_objects.get(path)
        if known is not None and known[0] == signature:
            return known[1]
    except OSError:
        return {}
    plain = read_object(path)
    if plain:  # an unreadable file may be half written, and complete a moment later
        if len(_cached_objects) >= MAX_CACHED_FILES:
            _cached_objects.clear()
        _cached_objects[path] = signature, plain
    return plain


def runs_in(root: Path = ROOT) -> list[Run]:
    """All runs under a root, in no order."""
    if not root.is_dir():
        return []
    return [
        Run(path)
        for path in root.iterdir()
        if not path.name.startswith(".") and (path / "config.json").is_file()
    ]


def list_runs(root: Path = ROOT) -> list[Run]:
    """All runs under a root, newest first."""
    return sorted(runs_in(root), key=lambda run: run.about()["created"], reverse=True)
