"""The nursery starts trainer processes quickly: forks of one process that has imported torch.

Importing torch takes a trainer seconds, and all else in these tests milliseconds. Each child is a
separate process and session that runs the command line like ``python -m transformer``, and can be
killed like any other.

    python -m tests.support.nursery    reads requests from standard input, one JSON object per line
"""

import importlib
import json
import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

from tests.support.places import ROOT
from tests.support.trainers import OFTEN, PATIENCE, spare_overfit_check, tiny, wait_for
from transformer.runs.directory import Run

SEEN = ("status.json", "metrics.jsonl", "manifest", "checkpoint")


class Child:
    """A process that the nursery started."""

    def __init__(self, nursery: "Nursery", pid: int, log: Path) -> None:
        self.nursery = nursery
        self.pid = pid
        self.log = log
        self._code: int | None = None

    def poll(self) -> int | None:
        """The exit status, negative for a signal; None while the process runs."""
        if self._code is None:
            self._code = self.nursery.ask(poll=self.pid)
        return self._code

    def wait(self) -> int:
        wait_for(lambda: self.poll() is not None, f"process {self.pid} to end")
        assert self._code is not None
        return self._code

    def kill(self) -> None:
        """Kill it at once, as the kernel does when memory is short, and wait for its end."""
        if self.poll() is None:
            os.kill(self.pid, signal.SIGKILL)
        self.wait()

    def output(self) -> str:
        return self.log.read_text("utf-8", "replace")


class Nursery:
    """Starts processes that need not import torch."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process
        self.children: list[Child] = []

    def ask(self, **request: Any) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def spawn(
        self,
        words: Sequence[str],
        log: Path,
        environment: Mapping[str, str] = OFTEN,
        file_bytes: int | None = None,
    ) -> Child:
        """Run the command line with these arguments.

        Args:
            file_bytes: largest size of any file it writes (RLIMIT_FSIZE), to simulate a full disk.
        """
        log.touch()
        pid = self.ask(
            words=list(words), log=str(log), environment=dict(environment), file_bytes=file_bytes
        )
        child = Child(self, pid, log)
        self.children.append(child)
        return child

    def submit(self, root: Path, log: Path, environment: Mapping[str, str]) -> Child:
        """A process that submits a run and ends, as a server of the app might."""
        return self.spawn(["submit", str(root)], log, environment)

    def call(self, module: str, function: str, log: Path, environment: Mapping[str, str]) -> Child:
        """A process that calls a function without arguments, and ends."""
        return self.spawn(["call", module, function], log, environment)

    def train(
        self,
        run: Run,
        *words: str,
        environment: Mapping[str, str] = OFTEN,
        file_bytes: int | None = None,
        overfit: bool = False,
    ) -> Child:
        """Start a trainer as from a terminal: it makes a new run or resumes one.

        Args:
            overfit: do the overfit check too, which takes longer than a short run.
        """
        if not overfit:
            spare_overfit_check(run)
        command = ("train", "--run-dir", str(run.path), *words)
        return self.spawn(command, run.path / "trainer.log", environment, file_bytes)

    @contextmanager
    def watched(self, run: Run) -> Iterator[None]:
        """During the block a process keeps reading every file of the run; it must find no fault."""
        stop = run.path.with_name(f"{run.path.name}.stop")
        reader = self.spawn(["watch", str(run.path)], stop.with_suffix(".log"))
        yield
        stop.touch()
        code = reader.wait()
        *faults, looks = reader.output().splitlines()
        assert (code, faults) == (0, [])
        # The reader really read each kind of file.
        assert all(json.loads(looks)["looks"].get(name, 0) for name in SEEN), looks


@contextmanager
def open_nursery() -> Iterator[Nursery]:
    """A nursery; all its children are killed at the end of the block."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.support.nursery"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_WAIT_POLICY": "PASSIVE", "OMP_NUM_THREADS": "1"},
    )
    made = Nursery(process)
    try:
        yield made
    finally:
        for child in psutil.Process(process.pid).children():
            child.kill()
        assert process.stdin is not None
        process.stdin.close()
        process.wait(PATIENCE)
        assert process.stdout is not None
        process.stdout.close()


# --- In the nursery itself --------------------------------------------------------------------


def main() -> None:
    # Import all that a trainer ever imports. Nothing here may start a thread, since forks follow.
    import torch

    from tests.support import watcher
    from transformer import __main__ as command_line
    from transformer.checkpoint.checkpoint import tensor_shapes
    from transformer.runs import queue
    from transformer.trainer import trainer

    assert trainer
    torch.set_num_threads(1)
    tensor_shapes(tiny().model)

    codes: dict[int, int] = {}
    for line in sys.stdin:
        request = json.loads(line)
        if "poll" in request:
            pid = request["poll"]
            if pid not in codes:
                found, status = os.waitpid(pid, os.WNOHANG)
                if found:
                    codes[pid] = os.waitstatus_to_exitcode(status)
            answer = codes.get(pid)
        else:
            if "WORLD_SIZE" in request["environment"]:
                # Distributed training imports this at some point, which takes seconds.
                import torch._dynamo
            answer = os.fork()
            if answer == 0:
                code = 70
                try:
                    _become(request)
                    words = request["words"]
                    if words[0] == "watch":
                        code = watcher.main(Path(words[1]))
                    elif words[0] == "submit":
                        print(queue.submit(tiny(), root=Path(words[1])).id)
                        code = 0
                    elif words[0] == "call":
                        getattr(importlib.import_module(words[1]), words[2])()
                        code = 0
                    else:
                        code = command_line.main(words)
                except SystemExit as end:
                    code = end.code if isinstance(end.code, int) else 1
                except BaseException:
                    code = 1
                    with suppress(OSError):
                        traceback.print_exc()
                finally:
                    for stream in (sys.stdout, sys.stderr):
                        with suppress(OSError):
                            stream.flush()
                    os._exit(code)
        print(json.dumps(answer), flush=True)


def _become(request: dict[str, Any]) -> None:
    """Give a fork of the nursery its own session, output, environment and limits."""
    os.setsid()
    log = os.open(request["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    null = os.open(os.devnull, os.O_RDONLY)
    for old, new in ((null, 0), (log, 1), (log, 2)):
        os.dup2(old, new)
    os.environ.update(request["environment"])
    if request["file_bytes"] is not None:
        import resource

        _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (request["file_bytes"], hard))


if __name__ == "__main__":
    main()
