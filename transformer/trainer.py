"""The trainer process: drains the training loop into a run directory."""

import errno
import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from types import FrameType
from typing import Any

import psutil
import torch

from transformer import commits, run_queue
from transformer.checkpoint import Checkpoint, verify
from transformer.checkpoint_header import Summary
from transformer.distributed import ALONE, World
from transformer.errors import UserError
from transformer.limits import Limits
from transformer.model import Transformer
from transformer.runs import ENDED, RESUMABLE, Run, Status, started
from transformer.tasks import Pair, Task, build_task
from transformer.training import (
    DivergedError,
    Event,
    Loss,
    Outputs,
    StepEnd,
    Training,
    Update,
    evaluate_loss,
    evaluate_outputs,
)
from transformer.training_state import Position, read_state, write_state

SAMPLES = 8
"""Held-out examples shown throughout a run."""
LOGGED_FIRST = 100
"""Updates of which each is put down, so that the curve lives from the first second on."""
LOGGED = 2000
"""Updates put down in all, about: which ones follows from the step alone, so that a resumed run
writes what the unbroken one would have."""
COMMIT_SHARE = 20
"""Saving takes at most one part in so many of the time."""
UNEVALUATED = 6
"""A commit waits so many times longer where it needs an evaluation of its own."""
CLAIM_SECONDS = 5.0

Progress = Callable[[str], None]


class Trainer:
    """Trains one run, writing everything it learns into the run's directory."""

    def __init__(self, run: Run, progress: Progress, world: World = ALONE) -> None:
        self.run = run
        self.config = run.config()
        self.limits = Limits.from_environment()
        self.progress = progress
        self.world = world
        self.signalled = ""
        self.step = 0
        self.started = time.monotonic()
        self.position = Position()
        self.evaluation: dict[int, dict[str, float]] = {}
        self.committed = time.monotonic()
        self.commit_cost = 0.0

    def train(self) -> None:
        """Run to the end, or until told to stop or pause; leaves a last word either way."""
        if not self.world.leads:
            self._train()
            return
        with self.run.lock():
            if run_queue.CLAIMED in os.environ:
                self._await_claim()
                _limit_memory(self.limits.memory_bytes)
            status = self.run.status()
            if status.state in ENDED:
                self.world.agree("nothing to do")
                return
            if status.state in RESUMABLE:
                self.run.clear_command()  # it was for the process before
            for number, word in ((signal.SIGTERM, "pause"), (signal.SIGINT, "stop")):
                signal.signal(number, self._on_signal(word))
            self._set_state(*self._outcome())
            self.run.clear_command()
        with suppress(UserError, OSError):
            run_queue.advance(self.run.path.resolve().parent)

    def _outcome(self) -> tuple[str, str, str]:
        """Train; how it ended: state, reason, and the kind of a failure."""
        try:
            self._set_state("running")
            return self._train()
        except DivergedError as error:
            return "diverged", str(error), ""
        except UserError as error:
            return "failed", str(error), "data"
        except Exception as error:
            _limit_memory(None)  # a last word takes some, too
            with suppress(OSError):  # the output is on the disk that may be full
                traceback.print_exc()
            return "failed", *_diagnosis(error)

    def _train(self) -> tuple[str, str, str]:
        config, world = self.config, self.world
        if world.agree("train" if world.leads else "") != "train":
            return "stopped", "", ""
        torch.set_num_threads(config.training.threads)
        torch.manual_seed(config.training.seed)
        task = build_task(config.data, self.run.data_file)
        model = Transformer(config.model).to(world.device)
        if not world.leads:  # else every process would drop out the same places of its rows
            torch.manual_seed(config.training.seed + 7919 * world.rank)
        training = Training(model, task, config.training, world)
        ended = self._go_back(training)
        self.started = time.monotonic() - self.position.seconds
        if ended:  # it was killed between its last commit and its last word
            return self._conclude(training.step, ended)
        for event in training.events():
            self.step = event.step
            if world.leads:
                self._write(event, training)
            if isinstance(event, StepEnd):
                word = world.agree(self._wanted(training) if world.leads else "")
                if word == "stop":
                    return self._end(training, "stopped")
                if word == "out of time":
                    return self._end(training, "stopped", self._out_of_time())
                if word in ("commit", "pause", "save"):
                    self._commit(training)
                if word == "pause":
                    return "paused", "", ""
        return self._end(training, "finished")

    # --- Going on from a commit ---------------------------------------------------------------

    def _go_back(self, training: Training) -> str:
        """Put the run's files and the training where the newest sound commit was.

        Returns the state in which the run ended there; empty if it is to go on.
        """
        made = None
        if self.world.leads:
            made = commits.newest_sound(self.run.path)
            commits.go_back(self.run.path, made)
        number, _, ended = self.world.agree(
            f"{made.step} {made.ended}" if made else "-1"
        ).partition(" ")
        step = int(number)
        if step < 0:
            return ""
        folder = self.run.path / "checkpoints"
        checkpoint = Checkpoint.load(commits.weights_file(folder, step))
        parameters = dict(training.model.named_parameters())
        with torch.no_grad():
            for name, weights in checkpoint.tensors.items():
                parameters[name].copy_(weights)
        self.position, tensors = read_state(commits.state_file(folder, step))
        if self.world.size != self.position.processes:
            self.progress(
                f"Saved by {self.position.processes} processes and resumed by {self.world.size}: "
                "the run goes on, but not bit for bit as it would have."
            )
        training.restore(step, self.position.tokens, tensors)
        self.step = step
        self.evaluation[step] = dict(self.position.evaluation)
        self.progress(f"Going on from step {step:,}.")
        return ended

    # --- Commands -----------------------------------------------------------------------------

    def _await_claim(self) -> None:
        """Wait until whoever started this process has named it in the run's status."""
        deadline = time.monotonic() + CLAIM_SECONDS
        while time.monotonic() < deadline:
            if self.run.last_word().pid == os.getpid():
                return
            time.sleep(0.005)

    def _on_signal(self, word: str) -> Callable[[int, FrameType | None], None]:
        def note(number: int, frame: FrameType | None) -> None:
            self.signalled = word

        return note

    def _wanted(self, training: Training) -> str:
        """What to do between two updates: a command, a commit that is due, or nothing."""
        word = self.signalled or self.run.wanted()
        if word == "save":
            self.run.clear_command()
        if word:
            return word
        if self.limits.minutes and self._seconds() > 60 * self.limits.minutes:
            return "out of time"
        wait = self.limits.commit_seconds and max(
            self.limits.commit_seconds, COMMIT_SHARE * self.commit_cost
        )
        if training.step not in self.evaluation:
            wait *= UNEVALUATED
        due = training.step == 0 or time.monotonic() - self.committed > wait
        return "commit" if due and training.step < self.config.training.steps else ""

    def _out_of_time(self) -> str:
        minutes = f"{self.limits.minutes:g}"
        return f"The time limit of {minutes} minutes was reached; what was learned is saved."

    # --- Writing ------------------------------------------------------------------------------

    def _seconds(self) -> float:
        return round(time.monotonic() - self.started, 3)

    def _write(self, event: Event, training: Training) -> None:
        if isinstance(event, Update):
            self._write_update(event)
        elif isinstance(event, Loss):
            self._write_loss(event)
        elif isinstance(event, Outputs):
            self._write_outputs(event, training.task)

    def _write_update(self, event: Update) -> None:
        losses, steps = self.position.losses, self.config.training.steps
        losses.append(event.loss)
        every = max(1, steps // LOGGED)
        if event.step > LOGGED_FIRST and event.step % every and event.step < steps:
            return
        self._append_metric(
            kind="train",
            step=event.step,
            loss=sum(losses) / len(losses),
            learning_rate=event.learning_rate,
            tokens=event.tokens,
        )
        losses.clear()

    def _write_loss(self, event: Loss) -> None:
        if event.step == 0:
            self.position.untrained["loss"] = event.loss
        self._keep(event)
        self._append_metric(
            kind="eval", step=event.step, loss=event.loss, token_accuracy=event.token_accuracy
        )
        self.progress(
            f"step {event.step:,} of {self.config.training.steps:,}: loss {event.loss:.4f}, "
            f"{self._seconds():.1f} s"
        )

    def _write_outputs(self, event: Outputs, task: Task) -> None:
        if event.step == 0:
            self.position.untrained["exact_match"] = event.exact_match
        self._keep(event)
        self._append_metric(
            kind="eval",
            step=event.step,
            exact_match=event.exact_match,
            examples=len(event.outputs),
        )
        self._append_samples(event, task)

    def _keep(self, event: Loss | Outputs) -> None:
        """Remember the newest evaluation, for the checkpoint that is made of its step."""
        known = self.evaluation.get(event.step, {})
        if isinstance(event, Loss):
            found = {"loss": event.loss, "token_accuracy": event.token_accuracy}
        else:
            found = {"exact_match": event.exact_match, "examples": len(event.outputs)}
        self.evaluation = {event.step: {**known, **found}}

    def _append_metric(self, **record: Any) -> None:
        self._append("metrics.jsonl", {**record, "seconds": self._seconds()})

    def _append_samples(self, event: Outputs, task: Task) -> None:
        answers = zip(task.held_out(SAMPLES), event.outputs, event.tokens, strict=False)
        samples = [
            {
                "source": pair.source,
                "target": task.target_vocabulary.cut(pair.target),
                "output": tokens,
                "right": task.is_right(pair, output),
            }
            for pair, output, tokens in answers
        ]
        self._append("samples.jsonl", {"step": event.step, "samples": samples})

    def _append(self, name: str, record: dict[str, Any]) -> None:
        with (self.run.path / name).open("a", encoding="utf-8") as file:
            file.write(json.dumps(record, allow_nan=False, ensure_ascii=False) + "\n")

    # --- Saving -------------------------------------------------------------------------------

    def _commit(self, training: Training, ended: str = "") -> None:
        """Save a point to go on from, or the end. All processes take part, the leader writes."""
        started = time.monotonic()
        state = training.state()
        if not self.world.leads:
            return
        if training.step not in self.evaluation:
            # For the checkpoint alone: a line in the metrics would differ from the unbroken run's.
            pairs = training.task.held_out(self.config.training.eval_examples)
            self._evaluate(training, pairs)
        checkpoint = self._checkpoint(training)
        self.position = Position(
            seconds=self._seconds(),
            tokens=training.tokens,
            processes=self.world.size,
            losses=self.position.losses,
            untrained=self.position.untrained,
            evaluation=self.evaluation[training.step],
        )
        made = commits.commit(
            self.run.path,
            training.step,
            self.evaluation[training.step]["loss"],
            checkpoint.to_bytes(),
            write_state(self.position, state),
            ended,
        )
        if training.step > 0 and "reload" not in self.run.goals():
            self._verify(made.step)
        self.committed = time.monotonic()
        self.commit_cost = self.committed - started

    def _evaluate(self, training: Training, pairs: Sequence[Pair]) -> tuple[Loss, Outputs]:
        loss = evaluate_loss(training.model, training.task, pairs, training.step)
        outputs = evaluate_outputs(training.model, training.task, pairs, training.step)
        self._keep(loss)
        self._keep(outputs)
        return loss, outputs

    def _checkpoint(self, training: Training) -> Checkpoint:
        """
        Raises:
            DivergedError: a weight is not finite; such a file could not be loaded.
        """
        if not all(torch.isfinite(weights).all() for weights in training.model.parameters()):
            raise DivergedError
        task, found = training.task, self.evaluation[training.step]
        summary = Summary(
            preset=self.config.preset,
            steps=training.step,
            seconds=self._seconds(),
            seed=self.config.training.seed,
            loss=found["loss"],
            token_accuracy=found["token_accuracy"],
            exact_match=found["exact_match"],
            examples=int(found["examples"]),
            untrained_loss=self.position.untrained["loss"],
            untrained_exact_match=self.position.untrained["exact_match"],
            evaluated_on_training_pairs=self.config.data.evaluates_on_training_pairs,
            training=self.config.training.to_dict(),
        )
        return Checkpoint.of(
            training.model.eval(),
            task.source_vocabulary,
            task.target_vocabulary,
            self.config.data,
            summary,
            task.held_out(SAMPLES),
        )

    def _end(self, training: Training, state: str, reason: str = "") -> tuple[str, str, str]:
        """Evaluate on more pairs than in between, and save."""
        if self.world.leads:
            self._set_state("stopping")
            pairs = training.task.held_out(self.config.training.final_examples)
            loss, outputs = self._evaluate(training, pairs)
            self._write_loss(loss)
            self._write_outputs(outputs, training.task)
        self._commit(training, ended=state)
        return self._conclude(training.step, state, reason)

    def _conclude(self, step: int, state: str, reason: str = "") -> tuple[str, str, str]:
        """Check what was saved, and sum it up."""
        if self.world.leads:
            path = self._verify(step)
            found, untrained = self.evaluation[step], self.position.untrained
            self.progress(
                f"exact match {found['exact_match']:.1%} of {found['examples']:,} (untrained "
                f"{untrained['exact_match']:.1%}), loss {found['loss']:.2g} (untrained "
                f"{untrained['loss']:.3g}); saved {path}"
            )
        return state, reason, ""

    def _verify(self, step: int) -> str:
        """Load what was saved afresh, and put down whether it behaves as the model in memory."""
        path = commits.weights_file(self.run.path / "checkpoints", step)
        checks = verify(path)
        self.run.add_evidence(
            "reload",
            {
                "step": step,
                "ok": all(check.ok for check in checks),
                "checks": [asdict(check) for check in checks],
            },
        )
        return str(path)

    def _set_state(self, state: str, reason: str = "", kind: str = "") -> None:
        process = psutil.Process()
        self.run.set_status(Status(state, reason, kind, process.pid, started(process), self.step))
        if reason:
            self.progress(reason)


def _limit_memory(limit: int | None) -> None:
    """Let a trainer that grows too large fail by itself, rather than the machine choose whom.

    None lifts the limit.
    """
    if os.name != "posix" or torch.cuda.is_available():  # CUDA reserves more than it uses
        return
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (hard if limit is None else limit, hard))
    with suppress(OSError):  # Linux alone has it
        Path("/proc/self/oom_score_adj").write_text("900")


def _diagnosis(error: Exception) -> tuple[str, str]:
    """Why a trainer failed, in a sentence for the person who started it; and the kind."""
    if (
        isinstance(error, MemoryError)
        or (isinstance(error, OSError) and error.errno == errno.ENOMEM)
        or "can't allocate memory" in str(error)
        or "out of memory" in str(error)
    ):
        return (
            "Out of memory. Start it again with a smaller batch or model; what was saved is kept.",
            "memory",
        )
    if isinstance(error, OSError) and error.strerror:
        return (
            f"A file could not be written: {error.strerror}. Free some space, then resume the run.",
            "disk",
        )
    return (
        f"The trainer stopped with an error ({type(error).__name__}); its output says more.",
        "error",
    )


def result(run: Run) -> dict[str, Any]:
    """What ``train --json`` prints: the run, its state, and its last evaluation."""
    status, checkpoints = run.status(), run.checkpoints()
    first: dict[str, Any] = {}
    last: dict[str, Any] = {}
    for record in run.metrics()[0]:
        if record["kind"] == "eval":
            last = last | record
            if record["step"] == 0:
                first = first | record
    return {
        "run": str(run.path),
        "state": status.state,
        "reason": status.reason,
        "steps": last.get("step", 0),
        "seconds": last.get("seconds", 0.0),
        "loss": last.get("loss"),
        "exact_match": last.get("exact_match"),
        "untrained": {"loss": first.get("loss"), "exact_match": first.get("exact_match")},
        "checkpoint": str(checkpoints[-1]) if checkpoints else None,
    }


def to_stderr(message: str) -> None:
    with suppress(OSError):  # where the output goes may be full, or gone
        print(message, file=sys.stderr, flush=True)
