"""The trainer process: runs the training loop and writes its results into a run directory."""

import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from operator import attrgetter
from types import FrameType
from typing import Any

import psutil
import torch

from transformer.checkpoint import Checkpoint
from transformer.checkpoint.header import Summary
from transformer.checkpoint.verification import verify
from transformer.config.limits import Limits
from transformer.errors import UserError
from transformer.faults import plant_of_run
from transformer.model import Transformer
from transformer.runs import queue, snapshots
from transformer.runs.directory import ENDED, RESUMABLE, Run, Status, start_time
from transformer.runs.goals import add_evidence, read_goals
from transformer.runs.launch import CLAIMED
from transformer.runs.metrics import by_step, first_and_last
from transformer.runs.resume import newest_intact_snapshot, rewind
from transformer.runs.verdict import verdict_of
from transformer.tasks import Task, build_task
from transformer.trainer.failures import diagnosis, limit_memory
from transformer.trainer.log import EXAMPLES, RunLog, curve
from transformer.trainer.overfit import run_overfit_check
from transformer.trainer.state import read_state, write_state
from transformer.training import compute
from transformer.training.compute import Compute
from transformer.training.distributed import ALONE, World
from transformer.training.loop import (
    Begin,
    DivergedError,
    Event,
    Loss,
    StepEnd,
    Training,
    Update,
    evaluate_loss,
    evaluate_outputs,
)

SNAPSHOT_SHARE = 20
"""Shortest wait between snapshots, in durations of the last save: saving takes at most 5 %."""
UNEVALUATED = 6
"""A snapshot needs an evaluation; if its step has none yet, it waits this many times longer."""
CLAIM_SECONDS = 5.0

Progress = Callable[[str], None]


class Trainer:
    """Trains one run, and writes all that it measures and saves into the run's directory."""

    def __init__(self, run: Run, progress: Progress, world: World = ALONE) -> None:
        self.run = run
        self.config = run.config()
        self.limits = Limits.from_environment()
        self.progress = progress
        self.world = world
        self.signalled = ""
        self.inherited = run.about()["parent_seconds"]
        self.step = 0
        self.saved = time.monotonic()
        self.seconds_to_save = 0.0

    def train(self) -> None:
        """Train to the end, or until a command to stop or pause; the status then says which."""
        if not self.world.is_main:
            for number in (signal.SIGTERM, signal.SIGINT):
                # The main process reacts for all: if another ended first, it would wait forever.
                signal.signal(number, signal.SIG_IGN)
            self._train()
            return
        with self.run.lock():
            if CLAIMED in os.environ:
                self._await_claim()
                limit_memory(self.limits.memory_bytes, self.config.training.device)
            status = self.run.status()
            if status.state in ENDED:
                self.world.broadcast("nothing to do")
                return
            if status.state in RESUMABLE:
                self.run.clear_command()  # it was for the previous trainer
            for number, word in ((signal.SIGTERM, "pause"), (signal.SIGINT, "stop")):
                signal.signal(number, self._on_signal(word))
            self._set_state(*self._outcome())
            self.run.clear_command()
        with suppress(UserError, OSError):
            queue.advance(self.run.path.resolve().parent)

    def _outcome(self) -> tuple[str, str, str]:
        """Train, and return how it ended: state, reason, and the kind of a failure."""
        try:
            self._set_state("running")
            return self._train()
        except DivergedError as error:
            return "diverged", str(error), ""
        except UserError as error:
            return "failed", str(error), "data"
        except Exception as error:
            limit_memory(None, self.config.training.device)  # reporting the error needs memory, too
            with suppress(OSError):  # the output is on a disk that may be full
                traceback.print_exc()
            return "failed", *diagnosis(error)

    def _train(self) -> tuple[str, str, str]:
        config, world = self.config, self.world
        if world.broadcast("train" if world.is_main else "") != "train":
            return "stopped", "", ""
        world = self.world = world.on(config.training.device)
        torch.set_num_threads(config.training.threads or 1)  # until a trial has chosen
        torch.manual_seed(config.training.seed)
        task = build_task(config.data, self.run.data_file)
        model = Transformer(config.model)
        plant_of_run(model, config.training.fault)
        model = model.to(world.device)
        if not world.is_main:  # else dropout would draw the same numbers in every process
            torch.manual_seed(config.training.seed + 7919 * world.rank)
        most = self.limits.most_threads
        training = Training(model, task, config.training, world, most_threads=most)
        step, ended = self._rewind()
        log = RunLog(self.run, config, task) if world.is_main else None
        checked = read_goals(self.run.path).overfit is not None
        if step >= 0:
            self._restore(step, training, log)
        if ended:  # it was killed between its last snapshot and its last status
            return self._conclude(log, ended)
        for event in training.events():
            self.step = event.step
            if log is not None:
                log.write(event, model)
                self._report(event, log)
                if isinstance(event, Update) and not checked:
                    # Only now, so that it does not delay the first point of the curve.
                    checked = True
                    self._run_overfit_check(task)
            if isinstance(event, StepEnd):
                word = world.broadcast(self._next_action(training, log) if log is not None else "")
                if word == "stop":
                    return self._end(training, log, "stopped")
                if word == "out of time":
                    return self._end(training, log, "stopped", self._out_of_time())
                if word in ("snapshot", "pause", "save"):
                    self._save_snapshot(training, log)
                if word == "pause":
                    return "paused", "", ""
        return self._end(training, log, "finished")

    def _run_overfit_check(self, task: Task) -> None:
        """Add the evidence for goal 1. An error in the check must not end the run."""
        try:
            check = run_overfit_check(self.config, task)
        except Exception:
            traceback.print_exc()
        else:
            add_evidence(self.run.path, "twin", check.to_dict())

    def _report(self, event: Event, log: RunLog) -> None:
        """Report the progress on the trainer's output."""
        if isinstance(event, Loss):
            self.progress(
                f"step {event.step:,} of {self.config.training.steps:,}: loss {event.loss:.4f}, "
                f"{log.seconds:.1f} s"
            )
        elif isinstance(event, Begin):
            compute.write(self.run.path, event.compute)
            self.progress(event.compute.sentence)

    # --- Resuming from a snapshot --------------------------------------------------------------

    def _rewind(self) -> tuple[int, str]:
        """Restore the run's files to the newest intact snapshot.

        Returns its step, or -1 if there is none; and the run's final state if it ended there,
        else empty.
        """
        found = ""
        if self.world.is_main:
            snapshot = newest_intact_snapshot(self.run.path)
            rewind(self.run.path, snapshot)
            found = f"{snapshot.step} {snapshot.ended}" if snapshot else "-1"
        step, _, ended = self.world.broadcast(found).partition(" ")
        return int(step), ended

    def _restore(self, step: int, training: Training, log: RunLog | None) -> None:
        """Restore model, optimizer and random state from a snapshot."""
        folder = self.run.path / "checkpoints"
        checkpoint = Checkpoint.load(snapshots.weights_file(folder, step))
        # By all its names, since a planted fault may make several layers share a parameter.
        parameters = dict(training.model.named_parameters(remove_duplicate=False))
        with torch.no_grad():
            for name, weights in checkpoint.tensors.items():
                parameters[name].copy_(weights)
        position, tensors = read_state(snapshots.state_file(folder, step))
        training.restore(step, position.tokens, tensors, position.precision, position.threads)
        self.step = step
        if log is not None:
            log.resume(step, position)
            self.progress(f"Going on from step {step:,}.")
            self._keep_compute(training)
            if self.world.size != position.processes:
                self.progress(
                    f"It was saved by {position.processes} processes and goes on with "
                    f"{self.world.size}: not bit for bit as it would have."
                )

    def _keep_compute(self, training: Training) -> None:
        """Write device, precision and threads for the run's page, if its file lacks them or has
        others, such as the parent run's."""
        device, precision = self.world.device.type, training.precision
        why, threads = "as the run began", self._tried_threads(training)
        now = Compute(device, precision, why, threads=threads, threads_why=why if threads else "")
        known = compute.read(self.run.path)
        said = attrgetter("device", "precision", "threads")
        if precision and (known is None or said(known) != said(now)):
            compute.write(self.run.path, now)

    def _tried_threads(self, training: Training) -> int:
        """The updates' number of threads if a trial chose it, else 0."""
        return 0 if self.config.training.threads else training.threads

    # --- Commands -----------------------------------------------------------------------------

    def _await_claim(self) -> None:
        """Wait until the process that started this one has written its pid into the status."""
        deadline = time.monotonic() + CLAIM_SECONDS
        while time.monotonic() < deadline:
            if self.run.recorded_status().pid == os.getpid():
                return
            time.sleep(0.005)

    def _on_signal(self, word: str) -> Callable[[int, FrameType | None], None]:
        def note(number: int, frame: FrameType | None) -> None:
            self.signalled = word

        return note

    def _next_action(self, training: Training, log: RunLog) -> str:
        """What to do between two updates: a command, a snapshot that is due, or nothing."""
        word = self.signalled or self.run.pending_command()
        if word == "save":
            self.run.clear_command()
        if word:
            return word
        if self.limits.minutes and log.seconds - self.inherited > 60 * self.limits.minutes:
            return "out of time"
        wait = self.limits.snapshot_seconds and max(
            self.limits.snapshot_seconds, SNAPSHOT_SHARE * self.seconds_to_save
        )
        if training.step not in log.evaluation:
            wait *= UNEVALUATED
        due = training.step == 0 or time.monotonic() - self.saved > wait
        return "snapshot" if due and training.step < self.config.training.steps else ""

    def _out_of_time(self) -> str:
        minutes = f"{self.limits.minutes:g}"
        return f"The time limit of {minutes} minutes was reached; what was learned is saved."

    # --- Saving -------------------------------------------------------------------------------

    def _save_snapshot(self, training: Training, log: RunLog | None, ended: str = "") -> None:
        """Save a snapshot, the last if ``ended``. All processes take part, the main one writes."""
        started = time.monotonic()
        state = training.state()
        if log is None:
            return
        step = training.step
        if step not in log.evaluation:
            # Not for the metrics, which must equal those of an uninterrupted run.
            pairs = training.task.held_out(self.config.training.eval_examples)
            found = evaluate_loss(training.model, training.task, pairs, step, training.practice)
            log.remember(found)
            log.remember(evaluate_outputs(training.model, training.task, pairs, step))
        checkpoint = self._checkpoint(training, log)
        threads = self._tried_threads(training)
        position = log.position(step, training.tokens, self.world.size, training.precision, threads)
        snapshots.save_snapshot(
            self.run.path,
            step,
            log.evaluation[step]["loss"],
            checkpoint.to_bytes(),
            write_state(position, state),
            ended,
        )
        # The last snapshot is verified in _conclude, not twice.
        if step > 0 and not ended and read_goals(self.run.path).reload is None:
            self._verify(step)
        self.saved = time.monotonic()
        self.seconds_to_save = self.saved - started

    def _checkpoint(self, training: Training, log: RunLog) -> Checkpoint:
        """
        Raises:
            DivergedError: a weight is not finite; such a file could not be loaded.
        """
        if not all(torch.isfinite(weights).all() for weights in training.model.parameters()):
            raise DivergedError
        task, found = training.task, log.evaluation[training.step]
        summary = Summary(
            preset=self.config.preset,
            steps=training.step,
            seconds=log.seconds,
            seed=self.config.training.seed,
            loss=found["loss"],
            token_accuracy=found["token_accuracy"],
            exact_match=found["exact_match"],
            examples=int(found["examples"]),
            untrained_loss=log.untrained["loss"],
            untrained_exact_match=log.untrained["exact_match"],
            evaluated_on_training_pairs=self.config.data.evaluates_on_training_pairs,
            training=self.config.training.to_dict() | self._resolved(training),
            curve=curve(self.run, training.step, found),
        )
        return Checkpoint.of(
            training.model.eval(),
            task.source_vocabulary,
            task.target_vocabulary,
            self.config.data,
            summary,
            task.held_out(EXAMPLES),
        )

    def _resolved(self, training: Training) -> dict[str, str | int]:
        """The values that were chosen for settings that may be left open."""
        precision = {"precision": training.precision} if training.precision else {}
        return {"device": self.world.device.type, "threads": training.threads, **precision}

    def _end(
        self, training: Training, log: RunLog | None, state: str, reason: str = ""
    ) -> tuple[str, str, str]:
        """Evaluate on more pairs than during training, and save."""
        if log is not None:
            self._set_state("stopping")
            pairs = training.task.held_out(self.config.training.final_examples)
            loss = evaluate_loss(
                training.model, training.task, pairs, training.step, training.practice
            )
            log.write(loss, training.model, last=True)
            outputs = evaluate_outputs(training.model, training.task, pairs, training.step)
            log.write(outputs, training.model, last=True)
        self._save_snapshot(training, log, ended=state)
        return self._conclude(log, state, reason)

    def _conclude(self, log: RunLog | None, state: str, reason: str = "") -> tuple[str, str, str]:
        """Verify the saved model, and report its scores."""
        if log is not None:
            path = self._verify(self.step)
            found, untrained = log.evaluation[self.step], log.untrained
            self.progress(
                f"exact match {found['exact_match']:.1%} of {found['examples']:,} (untrained "
                f"{untrained['exact_match']:.1%}), loss {found['loss']:.2g} (untrained "
                f"{untrained['loss']:.3g}); saved {path}"
            )
        return state, reason, ""

    def _verify(self, step: int) -> str:
        """Load the saved model again, and record whether it behaves as it did in memory."""
        path = snapshots.weights_file(self.run.path / "checkpoints", step)
        checks = verify(path)
        add_evidence(
            self.run.path,
            "reload",
            {
                "step": step,
                "ok": all(check.ok for check in checks),
                "checks": [check.verdict() for check in checks],
            },
        )
        return str(path)

    def _set_state(self, state: str, reason: str = "", kind: str = "") -> None:
        process = psutil.Process()
        ticket = self.run.recorded_status().ticket
        self.run.set_status(
            Status(state, reason, kind, process.pid, start_time(process), self.step, ticket)
        )
        if reason:
            self.progress(reason)


def result(run: Run) -> dict[str, Any]:
    """What ``train --json`` prints: the run, its state, its last evaluation, and the verdict."""
    status, checkpoints = run.status(), run.checkpoints()
    first, last = first_and_last(by_step(run.metrics(), "eval"))
    return {
        "run": str(run.path),
        "state": status.state,
        "reason": status.reason,
        "steps": last.step,
        "seconds": last.seconds or 0.0,
        "loss": last.loss,
        "exact_match": last.exact_match,
        "untrained": {"loss": first.loss, "exact_match": first.exact_match},
        "checkpoint": str(checkpoints[-1]) if checkpoints else None,
        "verdict": verdict_of(run).to_dict(),
    }


def to_stderr(message: str) -> None:
    with suppress(OSError):  # the output's disk may be full, or its reader gone
        print(message, file=sys.stderr, flush=True)
