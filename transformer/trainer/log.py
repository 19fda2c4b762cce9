"""What a trainer records during training: metrics, samples, attention.

Whether a step is recorded depends on its number alone, never on the clock, so that a resumed run
writes what an uninterrupted one would. Only times differ.
"""

import json
import time
from collections import Counter
from collections.abc import Mapping
from typing import Any

from transformer.checkpoint.header import MAX_CURVE
from transformer.config import RunConfig
from transformer.model import Transformer
from transformer.runs.attention import moments
from transformer.runs.directory import Run
from transformer.runs.metrics import LARGEST, METRICS, SAMPLES, by_step, series, thinned
from transformer.tasks import Task
from transformer.tasks.baselines import guessed_share, unigram_loss
from transformer.trainer.attention import AttentionRecorder
from transformer.trainer.state import Position
from transformer.training.loop import Event, Loss, Outputs, Update

EXAMPLES = 8
"""Held-out examples shown throughout a run."""
LOGGED_FIRST = 100
"""Number of first updates that are all recorded, so that the curve moves from the first second."""
LOGGED = 2000
"""Approximate number of updates recorded in a run."""
SAMPLED = 500
"""Approximate number of evaluations whose samples are recorded in a run."""


def curve(run: Run, step: int, last: Mapping[str, float]) -> list[list[float]]:
    """[step, loss, exact_match] of a run's evaluations up to a step, as a checkpoint keeps them.

    Args:
        last: the evaluation at that step, which the metrics may lack.
    """
    before = (record for record in run.metrics() if record.step < step)
    points = series(by_step(before, "eval"), "loss", "exact_match")
    if last["loss"] <= LARGEST:
        points.append([step, last["loss"], last["exact_match"]])
    return list(thinned(points, MAX_CURVE))


class RunLog:
    """The append-only files of one run.

    Attributes:
        untrained: scores of the untrained model.
        evaluation: scores of the newest evaluation, by its step.
    """

    def __init__(self, run: Run, config: RunConfig, task: Task) -> None:
        self.run = run
        self.steps = config.training.steps
        # A multiple of the steps between two evaluations.
        evaluations = self.steps // config.training.eval_every
        self.sampled_every = config.training.eval_every * max(1, evaluations // SAMPLED)
        self.task = task
        self.recorder = AttentionRecorder(run.path, config.model, task)
        self.moments = set(moments(self.steps))
        self.started = time.monotonic()
        self.losses: list[float] = []
        self.untrained: dict[str, float] = {}
        self.evaluation: dict[int, dict[str, float]] = {}

    @property
    def seconds(self) -> float:
        """Seconds of training so far, those before a pause included."""
        return round(time.monotonic() - self.started, 3)

    def resume(self, step: int, position: Position) -> None:
        """Restore the log's state at a snapshot."""
        self.started = time.monotonic() - position.seconds
        self.losses = list(position.losses)
        self.untrained = dict(position.untrained)
        self.evaluation = {step: dict(position.evaluation)}

    def position(
        self, step: int, tokens: int, processes: int, precision: str, threads: int = 0
    ) -> Position:
        """The state that :meth:`resume` restores."""
        return Position(
            self.seconds,
            tokens,
            processes,
            self.losses,
            self.untrained,
            self.evaluation[step],
            precision,
            threads,
        )

    def write(self, event: Event, model: Transformer, *, last: bool = False) -> None:
        """Write an event, if its step is to be recorded or it is the run's last evaluation."""
        if isinstance(event, Update):
            self._write_update(event)
            if event.step in self.moments:
                self.recorder.record(event.step, model)
        elif isinstance(event, Loss):
            self.remember(event)
            self._append_metric(
                kind="eval", step=event.step, loss=event.loss, token_accuracy=event.token_accuracy
            )
        elif isinstance(event, Outputs):
            self.remember(event)
            self._write_outputs(event, last)
            if event.step == 0 or last:
                self.recorder.record(event.step, model)

    def _write_update(self, event: Update) -> None:
        self.losses.append(event.loss)
        every = max(1, self.steps // LOGGED)
        if event.step > LOGGED_FIRST and event.step % every and event.step < self.steps:
            return
        self._append_metric(
            kind="train",
            step=event.step,
            loss=sum(self.losses) / len(self.losses),
            learning_rate=event.learning_rate,
            tokens=event.tokens,
        )
        self.losses.clear()

    def _write_outputs(self, event: Outputs, last: bool) -> None:
        pairs = self.task.held_out(len(event.outputs))
        kinds = map(self.task.error_kind, pairs, event.outputs)
        record = {
            "kind": "eval",
            "step": event.step,
            "exact_match": event.exact_match,
            "errors": dict(Counter(kind for kind in kinds if kind)),
            "examples": len(event.outputs),
        }
        if event.step == 0:
            record["unigram"] = unigram_loss(self.task, pairs)
            record["guess"] = guessed_share(self.task, pairs)
        self._append_metric(**record)
        if event.step % self.sampled_every and not last:
            return
        answers = zip(pairs[:EXAMPLES], event.outputs, event.tokens, strict=False)
        samples = [
            {
                "source": pair.source,
                "target": self.task.target_vocabulary.cut(pair.target),
                "output": tokens,
                "right": self.task.is_right(pair, output),
            }
            for pair, output, tokens in answers
        ]
        self._append(SAMPLES, {"step": event.step, "samples": samples})

    def remember(self, event: Loss | Outputs) -> None:
        """Keep an evaluation in memory only, for the checkpoint of its step."""
        known = self.evaluation.get(event.step, {})
        found: dict[str, float]
        if isinstance(event, Loss):
            found = {"loss": event.loss, "token_accuracy": event.token_accuracy}
        else:
            found = {"exact_match": event.exact_match, "examples": len(event.outputs)}
        self.evaluation = {event.step: {**known, **found}}
        if event.step == 0 and not self.untrained.keys() >= found.keys():
            self.untrained |= found

    def _append_metric(self, **record: Any) -> None:
        self._append(METRICS, {**record, "seconds": self.seconds})

    def _append(self, name: str, record: dict[str, Any]) -> None:
        with (self.run.path / name).open("a", encoding="utf-8") as file:
            file.write(json.dumps(record, allow_nan=False, ensure_ascii=False) + "\n")
