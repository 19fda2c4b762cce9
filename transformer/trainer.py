"""The trainer process: drains the training loop into a run directory."""

import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from types import FrameType
from typing import Any

import psutil
import torch

from transformer.checkpoint import Checkpoint
from transformer.checkpoint_header import Summary
from transformer.errors import RunError, UserError
from transformer.model import Transformer
from transformer.runs import ENDED, Run, Status
from transformer.tasks import Task, build_task
from transformer.training import (
    DivergedError,
    Event,
    Loss,
    Outputs,
    Update,
    evaluate_loss,
    evaluate_outputs,
    train,
)

SAMPLES = 8
"""Held-out examples shown throughout a run."""
LOG_SECONDS = 0.25
"""Time between two training points in the metrics: fine enough for a live curve."""

Progress = Callable[[str], None]


class Trainer:
    """Trains one run, writing everything it learns into the run's directory."""

    def __init__(self, run: Run, progress: Progress) -> None:
        self.run = run
        self.config = run.config()
        self.progress = progress
        self.stop_signal = False
        self.started = time.monotonic()
        self.last_logged = 0.0
        self.step = 0
        self.losses: list[float] = []
        self.untrained: dict[str, float] = {}

    def train(self) -> None:
        """Run to the end, or until told to stop; leaves a final status either way."""
        with self.run.lock():
            if self.run.status().state in ENDED:
                return
            if self.run.metrics()[0]:
                raise RunError(
                    "This run was interrupted and cannot go on. Start a new one with its settings."
                )
            signal.signal(signal.SIGTERM, self._on_signal)
            signal.signal(signal.SIGINT, self._on_signal)
            self._set_state("running")
            try:
                state = self._train()
            except DivergedError as error:
                self._set_state("diverged", str(error))
            except UserError as error:
                self._set_state("failed", str(error))
            except MemoryError:
                self._set_state("failed", "Out of memory. Choose a smaller batch or model.")
            except Exception as error:
                traceback.print_exc()
                self._set_state("failed", _reason(error))
            else:
                self._set_state(state)

    def _train(self) -> str:
        config = self.config
        torch.set_num_threads(config.training.threads)
        torch.manual_seed(config.training.seed)
        task = build_task(config.data, self.run.data_file)
        model = Transformer(config.model)
        if torch.cuda.is_available():
            model.cuda()
        self.started = time.monotonic()
        for event in train(model, task, config.training):
            self.step = event.step
            self._write(event, task)
            # Not before the baseline is complete: whatever is kept is compared with it.
            if "exact_match" in self.untrained and self._stop_wanted():
                self._set_state("stopping")
                self._finish(model, task)
                return "stopped"
        self._finish(model, task)
        return "finished"

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self.stop_signal = True

    def _stop_wanted(self) -> bool:
        return self.stop_signal or self.run.wanted() == "stop"

    def _seconds(self) -> float:
        return round(time.monotonic() - self.started, 3)

    def _write(self, event: Event, task: Task) -> None:
        if isinstance(event, Update):
            self.losses.append(event.loss)
            now = time.monotonic()
            if now - self.last_logged < LOG_SECONDS and event.step < self.config.training.steps:
                return
            self.last_logged = now
            mean = sum(self.losses) / len(self.losses)
            self.losses.clear()
            self._append_metric(
                kind="train",
                step=event.step,
                loss=mean,
                learning_rate=event.learning_rate,
                tokens=event.tokens,
            )
        elif isinstance(event, Loss):
            if event.step == 0:
                self.untrained["loss"] = event.loss
            self._append_metric(
                kind="eval", step=event.step, loss=event.loss, token_accuracy=event.token_accuracy
            )
            self.progress(
                f"step {event.step:,} of {self.config.training.steps:,}: loss {event.loss:.4f}, "
                f"{self._seconds():.1f} s"
            )
        else:
            if event.step == 0:
                self.untrained["exact_match"] = event.exact_match
            self._append_metric(kind="eval", step=event.step, exact_match=event.exact_match)
            self._append_samples(event, task)

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

    def _finish(self, model: Transformer, task: Task) -> None:
        """Evaluate on more pairs than in between, and save."""
        training = self.config.training
        pairs = task.held_out(training.final_examples)
        loss = evaluate_loss(model, task, pairs, self.step)
        # A loss can be finite over weights that are not; such a file could not be loaded.
        if not all(torch.isfinite(weights).all() for weights in model.parameters()):
            raise DivergedError
        outputs = evaluate_outputs(model, task, pairs, self.step)
        for event in (loss, outputs):
            self._write(event, task)
        summary = Summary(
            preset=self.config.preset,
            steps=self.step,
            seconds=self._seconds(),
            seed=training.seed,
            loss=loss.loss,
            token_accuracy=loss.token_accuracy,
            exact_match=outputs.exact_match,
            examples=len(pairs),
            untrained_loss=self.untrained["loss"],
            untrained_exact_match=self.untrained["exact_match"],
            evaluated_on_training_pairs=self.config.data.evaluates_on_training_pairs,
            training=training.to_dict(),
        )
        checkpoint = Checkpoint.of(
            model.eval(),
            task.source_vocabulary,
            task.target_vocabulary,
            self.config.data,
            summary,
            pairs[:SAMPLES],
        )
        path = self.run.path / "checkpoints" / f"step-{self.step}.safetensors"
        checkpoint.save(path)
        self.progress(
            f"exact match {outputs.exact_match:.1%} of {len(pairs):,} (untrained "
            f"{summary.untrained_exact_match:.1%}), loss {loss.loss:.2g} (untrained "
            f"{summary.untrained_loss:.3g}); saved {path}"
        )

    def _set_state(self, state: str, reason: str = "") -> None:
        process = psutil.Process()
        self.run.set_status(Status(state, reason, os.getpid(), process.create_time(), self.step))
        if reason:
            self.progress(reason)


def _reason(error: Exception) -> str:
    """Why a trainer failed, in a sentence for the person who started it."""
    if "can't allocate memory" in str(error):
        return "Out of memory. Choose a smaller batch or model."
    if isinstance(error, OSError) and error.strerror:
        return f"A file could not be written: {error.strerror}."
    return f"The trainer stopped with an error ({type(error).__name__}); trainer.log says more."


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
    print(message, file=sys.stderr, flush=True)
