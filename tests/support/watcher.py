"""Reads every file of a run over and over, and reports whatever is inconsistent.

It reads the files directly, not through :class:`Run`, which tolerates damage. It prints one line
per fault, and ends when it finds a file ``RUN.stop`` beside the run.
"""

import hashlib
import json
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

from transformer.checkpoint import Checkpoint
from transformer.errors import CheckpointError

GROWING = ("metrics.jsonl", "samples.jsonl")


class Watcher:
    def __init__(self, run: Path) -> None:
        self.run = run
        self.faults: Counter[str] = Counter()
        self.looks: Counter[str] = Counter()
        self.before: dict[str, tuple[int, bytes]] = {}
        self.cuts: Counter[tuple[str, int]] = Counter()
        self.loaded: set[str] = set()

    def look(self) -> None:
        for name in ("status.json", "about.json", "config.json", "goals.json"):
            self.whole_object(self.run / name)
        for name in GROWING:
            self.only_grows(name)
        for path in (self.run / "checkpoints").glob("step-*.json"):
            self.committed(path)

    def fault(self, text: str) -> None:
        if not self.faults[text]:
            print(text, flush=True)
        self.faults[text] += 1

    def whole_object(self, path: Path) -> None:
        with suppress(FileNotFoundError):
            content = path.read_bytes()
            self.looks[path.name] += 1
            try:
                if not isinstance(json.loads(content), dict):
                    self.fault(f"{path.name} is no object: {content!r}")
            except ValueError:
                self.fault(f"{path.name} cannot be parsed: {content!r}")

    def pid(self) -> int:
        """The trainer's process id; 0 while none is running."""
        try:
            status = json.loads((self.run / "status.json").read_bytes())
        except (OSError, ValueError):
            return 0
        return int(status["pid"]) if status["state"] in ("running", "stopping") else 0

    def only_grows(self, name: str) -> None:
        """A file may be truncated at most once by each trainer: when that trainer starts."""
        pid = self.pid()
        try:
            content = (self.run / name).read_bytes()
        except FileNotFoundError:
            content = b""
        if not pid or self.pid() != pid:
            return
        self.looks[name] += 1
        last = -1
        for line in content[: content.rfind(b"\n") + 1].splitlines():
            try:
                step = json.loads(line)["step"]
            except (ValueError, KeyError, TypeError):
                self.fault(f"{name} has a line that cannot be parsed: {line[:200]!r}")
                continue
            if step < last:
                self.fault(f"{name} goes back from step {last} to {step}")
            last = step
        before_pid, before = self.before.get(name, (0, b""))
        self.before[name] = (pid, content)
        if before_pid == pid and not content.startswith(before):
            self.cuts[name, pid] += 1
            if self.cuts[name, pid] > 1:
                self.fault(f"{name} was changed behind what was read: {before[-200:]!r}")

    def committed(self, manifest: Path) -> None:
        """As long as a manifest exists, the files that it names exist and are complete."""
        weights = manifest.with_suffix(".safetensors")
        state = manifest.with_suffix(".state.safetensors")
        try:
            made = json.loads(manifest.read_bytes())
        except FileNotFoundError:
            return
        except ValueError:
            self.fault(f"{manifest.name} cannot be parsed")
            return
        self.looks["manifest"] += 1
        for path, checksum in ((weights, made["weights"]), (state, made["state"])):
            try:
                content = path.read_bytes()
            except FileNotFoundError:
                if path == weights and manifest.exists():
                    self.fault(f"{path.name} is not there, its manifest is")
                continue
            if hashlib.sha256(content).hexdigest() != checksum:
                self.fault(f"{path.name} is not what its manifest says")
            elif path == weights and checksum not in self.loaded:
                self.loaded.add(checksum)
                self.looks["checkpoint"] += 1
                try:
                    Checkpoint.load(content)
                except CheckpointError as error:
                    self.fault(f"{path.name}: {error}")


def main(run: Path) -> int:
    watcher = Watcher(run)
    while not (run.parent / f"{run.name}.stop").exists():
        watcher.look()
        time.sleep(0.002)
    print(json.dumps({"looks": watcher.looks}), flush=True)
    return 1 if watcher.faults else 0
