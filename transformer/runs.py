"""Run directories: the only thing a trainer and those who watch it share.

The trainer writes, everyone else reads, so a run survives page changes, closed browsers and
restarts of the app. This module starts the trainer as a process and imports nothing of it.
"""

import json
import os
import re
import secrets
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil
from filelock import FileLock, Timeout

from transformer.config import RunConfig
from transformer.errors import ConfigError, RunError
from transformer.files import write_atomic

ROOT = Path("runs")
"""Where the app and the command line keep runs, relative to where they were started."""
ACTIVE = ("starting", "running", "stopping")
ENDED = ("finished", "stopped", "failed", "diverged")
COMMANDS = ("stop",)
STEP = re.compile("[0-9]{1,12}")


@dataclass(frozen=True)
class Status:
    """What the trainer last said of itself.

    state: starting, running, stopping; finished, stopped, failed or diverged.
    reason: why it failed or diverged, in a sentence.
    pid, process_started: which process it is; a pid alone may be another's by now.
    """

    state: str
    reason: str = ""
    pid: int = 0
    process_started: float = 0.0
    step: int = 0


LAST_SECOND = 4e9
"""Times of files beyond the year 2096 are damage."""
UNREADABLE = Status("interrupted", "The run's status is missing or unreadable.")


class Run:
    """One run directory."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = FileLock(path / "run.lock", thread_local=False)

    @property
    def id(self) -> str:
        return self.path.name

    @property
    def data_file(self) -> Path | None:
        """The person's own pairs, if the run has any."""
        file = self.path / "data.tsv"
        return file if file.exists() else None

    def config(self) -> RunConfig:
        """
        Raises:
            RunError: the directory holds no valid config.
        """
        try:
            return RunConfig.from_dict(json.loads((self.path / "config.json").read_text("utf-8")))
        except (OSError, ValueError, RecursionError) as error:
            detail = str(error) if isinstance(error, ConfigError) else "config.json is unreadable."
            raise RunError(f"The run {self.id} is damaged: {detail}") from None

    def about(self) -> dict[str, Any]:
        """What a person may change: the name and notes; and when the run was made."""
        try:
            about = json.loads((self.path / "about.json").read_text("utf-8"))
        except (OSError, ValueError, RecursionError):
            about = {}
        about = about if isinstance(about, dict) else {}
        name, created = about.get("name"), about.get("created")
        sound = isinstance(created, int | float) and 0 <= created < LAST_SECOND
        return {
            **about,
            "name": name.encode("utf-8", "replace").decode() if isinstance(name, str) else "",
            "created": created if sound else 0.0,
        }

    def status(self) -> Status:
        """The trainer's last word; "interrupted" if it died without one."""
        status = self._read_status()
        if status.state in ACTIVE and not self._alive(status):
            # It may have ended between the two looks.
            status = self._read_status()
            if status.state in ACTIVE:
                reason = "The trainer ended without a word."
                return Status("interrupted", reason, step=self.last_step())
        return status

    def _read_status(self) -> Status:
        try:
            plain = json.loads((self.path / "status.json").read_text("utf-8"))
            status = Status(**plain)
        except (OSError, ValueError, TypeError, RecursionError):
            return UNREADABLE
        kinds = {"state": str, "reason": str, "pid": int, "step": int}
        if not all(isinstance(getattr(status, name), kind) for name, kind in kinds.items()):
            return UNREADABLE
        if not isinstance(status.process_started, int | float):
            return UNREADABLE
        return status

    def _alive(self, status: Status) -> bool:
        """Whether the trainer lives: it holds the lock, or is on its way to taking it."""
        try:
            process = psutil.Process(status.pid)
            same = abs(process.create_time() - status.process_started) < 1.0
            if same and process.status() != psutil.STATUS_ZOMBIE:
                return True
        except (psutil.Error, ValueError, OverflowError):
            pass
        try:
            with self._lock.acquire(timeout=0):
                return False
        except Timeout:
            return True
        except OSError:  # the directory is being deleted
            return False

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Held by the trainer as long as it lives.

        Raises:
            RunError: another process holds it.
        """
        try:
            self._lock.acquire(timeout=2)
        except Timeout:
            raise RunError(f"The run {self.id} is being trained by another process.") from None
        try:
            yield
        finally:
            self._lock.release()

    def set_status(self, status: Status) -> None:
        write_atomic(self.path / "status.json", json.dumps(asdict(status)).encode())

    def command(self, word: str) -> None:
        """Leave a command for the trainer; it reads it between two updates.

        Raises:
            RunError: there is no such command.
        """
        if word not in COMMANDS:
            raise RunError(f"There is no command {word!r}; use one of {', '.join(COMMANDS)}.")
        write_atomic(self.path / "control", word.encode())

    def wanted(self) -> str:
        """The command left in the directory, empty if none."""
        try:
            return (self.path / "control").read_text("utf-8").strip()
        except (OSError, ValueError):
            return ""

    def checkpoints(self) -> list[Path]:
        """Saved checkpoints, oldest first; files of other names are not ours."""
        steps = {
            file: file.stem.removeprefix("step-")
            for file in (self.path / "checkpoints").glob("step-*.safetensors")
        }
        ours = [file for file, step in steps.items() if STEP.fullmatch(step)]
        return sorted(ours, key=lambda file: int(steps[file]))

    def metrics(self, offset: int = 0) -> tuple[list[dict[str, Any]], int]:
        """Metric lines from a byte offset on, and the offset to go on from."""
        return _read_lines(self.path / "metrics.jsonl", offset)

    def samples(self) -> list[dict[str, Any]]:
        """The fixed held-out examples with their outputs, one entry an evaluation."""
        return _read_lines(self.path / "samples.jsonl", 0)[0]

    def last_step(self) -> int:
        records = self.metrics()[0]
        return int(records[-1].get("step", 0)) if records else 0

    def log_tail(self, characters: int = 2000) -> str:
        """The end of the trainer's own output."""
        try:
            return (self.path / "trainer.log").read_text("utf-8", "replace")[-characters:]
        except OSError:
            return ""


def _read_lines(path: Path, offset: int) -> tuple[list[dict[str, Any]], int]:
    """Whole JSON lines from an offset on; a torn last line waits for the next call."""
    try:
        with path.open("rb") as file:
            if offset > file.seek(0, os.SEEK_END):
                offset = 0  # the file was cut back: start again
            file.seek(offset)
            content = file.read()
    except OSError:
        return [], 0
    whole = content[: content.rfind(b"\n") + 1]
    records = []
    for line in whole.splitlines():
        try:
            record = json.loads(line, parse_constant=_no_number)
        except (ValueError, RecursionError):
            continue
        if isinstance(record, dict) and isinstance(record.get("step"), int):
            records.append(record)
    return records, offset + len(whole)


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is not a number")


def create_run(
    config: RunConfig,
    *,
    name: str = "",
    pairs: str = "",
    root: Path = ROOT,
    path: Path | None = None,
) -> Run:
    """Make a run directory. Its id is made here; the name is data and never part of a path.

    Args:
        pairs: the person's own pairs as TSV.
        path: a directory to use instead of ``root``/<id>; it must be empty or new.

    Raises:
        RunError: the directory exists and is not empty.
    """
    path = path or root / secrets.token_hex(6)
    try:
        if path.exists() and any(path.iterdir()):
            raise RunError(f"The directory {path} is not empty; choose another for the run.")
        (path / "checkpoints").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(
            f"{path} cannot be made a directory for the run: {error.strerror}."
        ) from None
    if pairs:
        write_atomic(path / "data.tsv", pairs.encode())
    about = {"name": name[:200], "created": time.time()}
    write_atomic(path / "about.json", json.dumps(about).encode())
    run = Run(path)
    run.set_status(
        Status("starting", pid=os.getpid(), process_started=psutil.Process().create_time())
    )
    # The config comes last: a directory is a run once it has one.
    write_atomic(path / "config.json", json.dumps(config.to_dict(), indent=1).encode())
    return run


def start(run: Run) -> None:
    """Start the trainer as a process of its own, which outlives this one."""
    environment = os.environ | {
        # Waiting threads that spin made a step ten times slower on busy cores.
        "OMP_WAIT_POLICY": "PASSIVE",
        "OMP_NUM_THREADS": str(run.config().training.threads),
        "PYTHONPATH": os.pathsep.join(
            [str(Path(__file__).parent.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
        ),
    }
    command = [sys.executable, "-m", "transformer", "train", "--run-dir", str(run.path.resolve())]
    with (run.path / "trainer.log").open("ab") as log:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=environment,
            start_new_session=True,
        )
    # The app must answer while trainers keep every core busy.
    if os.name == "posix":
        with suppress(psutil.Error):
            psutil.Process(process.pid).nice(10)

    def reap() -> None:
        code = process.wait()
        if run.status().state == "starting":
            reason = (
                f"The trainer ended (exit status {code}) before it began; trainer.log says why."
            )
            run.set_status(Status("failed", reason))

    threading.Thread(target=reap, daemon=True).start()


def list_runs(root: Path = ROOT) -> list[Run]:
    """All runs under a root, newest first."""
    if not root.is_dir():
        return []
    runs = [Run(path) for path in root.iterdir() if (path / "config.json").is_file()]
    return sorted(runs, key=lambda run: run.about()["created"], reverse=True)
