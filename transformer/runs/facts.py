"""The facts about a run from which its verdict follows. Loads no torch."""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from transformer.config import RunConfig
from transformer.runs.chance import is_significant
from transformer.runs.directory import ENDED_OR_FAILED, Status
from transformer.runs.goals import Goals
from transformer.runs.health import HealthCheck
from transformer.runs.metrics import Record, first_and_last, series
from transformer.tasks import TASKS


@dataclass(frozen=True)
class RunFacts:
    """The facts about a run.

    first, last: the evaluation of the untrained model, and the latest value of each quantity.
    evaluations, train: [step, loss] of all evaluations, and of the updates.
    """

    config: RunConfig
    status: Status
    first: Record
    last: Record
    evaluations: Sequence[Sequence[float]]
    train: Sequence[Sequence[float]]
    goals: Goals
    health: HealthCheck | None

    @classmethod
    def of(
        cls,
        config: RunConfig,
        status: Status,
        train: Mapping[int, Record],
        evaluations: Mapping[int, Record],
        goals: Goals,
        health: HealthCheck | None,
    ) -> "RunFacts":
        """From the metrics by step; a health check older than the last recorded step is ignored."""
        newest = max([0, *evaluations, *train])
        return cls(
            config,
            status,
            *first_and_last(evaluations),
            series(evaluations, "loss"),
            series(train, "loss"),
            goals,
            health if health is not None and health.step >= newest else None,
        )

    @property
    def trained(self) -> bool:
        """Whether anything was measured after the first update."""
        return self.last.step > 0 and self.last.exact_match is not None

    @property
    def ended(self) -> bool:
        return self.status.state in ENDED_OR_FAILED

    @property
    def on_training_pairs(self) -> bool:
        """Whether it is evaluated on its own training pairs."""
        return self.config.data.evaluates_on_training_pairs

    @property
    def inputs(self) -> str:
        return "of its training pairs" if self.on_training_pairs else "unseen inputs"

    @property
    def examples(self) -> int:
        """Number of inputs in the last score; from the settings for older runs without a record."""
        return self.last.examples or self.config.training.eval_examples

    @property
    def right(self) -> int:
        return round((self.last.exact_match or 0.0) * self.examples)

    @property
    def reach(self) -> float:
        """The share of right answers that the best known model of the task gets."""
        task = TASKS.get(self.config.data.task)
        return task.reachable if task is not None else 1.0

    def is_significant_score(self, right: int, of: int) -> bool:
        """Whether neither the untrained model nor a guess explains ``right`` of ``of`` right."""
        of_before = self.first.examples or self.config.training.final_examples
        before = round((self.first.exact_match or 0.0) * of_before)
        return is_significant(right, of, before, of_before, self.first.guess or 0.0)

    @property
    def better_than_chance(self) -> bool:
        return self.trained and self.is_significant_score(self.right, self.examples)

    @property
    def needed(self) -> int | None:
        """The fewest right answers that chance does not explain; None if it could explain all."""
        if not self.is_significant_score(self.examples, self.examples):
            return None
        # More right answers are never more likely to be luck.
        return bisect_left(
            range(self.examples + 1),
            True,
            key=lambda right: self.is_significant_score(right, self.examples),
        )

    @property
    def too_few(self) -> bool:
        """Whether, with so few inputs, even all answers right could be luck."""
        return not self.on_training_pairs and self.needed is None
