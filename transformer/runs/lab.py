"""The break-it lab: settings for a faulty model and its healthy copy, and their results.

The healthy copy learns to reverse 3 to 6 letters in 500 updates. Loads no torch.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from transformer.config import RunConfig
from transformer.files import read_object, write_atomic
from transformer.runs.directory import ACTIVE, Run
from transformer.runs.metrics import by_step, first_and_last
from transformer.tasks.presets import prepare

STEPS = 500
DATA = {"min_letters": 3, "max_letters": 6}
TRAINING = {
    "batch_size": 32,
    "learning_rate": 2e-3,
    "warmup_steps": 100,
    "decay_fraction": 0.4,
    "eval_every": 50,
    "eval_examples": 100,
    "final_examples": 256,
    "precision": "fp32",
    "device": "cpu",
}
MODEL_OF: Mapping[str, Mapping[str, Any]] = {
    "dropout-in-eval": {"dropout": 0.1},
    "no-eval-mode": {"dropout": 0.1},
    "no-warmup": {"norm_first": False, "final_norm": False},
}
"""Model settings, of both copies, without which a fault would have no effect."""
TRAINING_OF: Mapping[str, Mapping[str, Any]] = {"no-warmup": {"learning_rate": 6e-3}}
OUTCOMES = (
    "It learns as well as the healthy copy",
    "It learns, but less of it or later",
    "Its loss falls, and what it writes alone is wrong",
    "It does not learn: its loss stays high",
)
"""Possible results of a faulty model: the user predicts one, :func:`outcome` finds one."""
PREDICTIONS = ("as-well", "less", "wrong-alone", "not-at-all")
"""The names of :data:`OUTCOMES` in addresses and files."""
LEARNED = 0.5
"""Share of right answers below which a healthy copy is no use for comparison."""
HIDDEN_FAULTS = (
    *("no-causal-mask", "causal-mask-off-by-one", "padding-mask-inverted", "mask-after-softmax"),
    *("softmax-over-queries", "softmax-over-heads", "scores-multiplied", "heads-merged-by-view"),
    *("no-positions", "no-residual", "cross-attention-reads-decoder", "no-eval-mode"),
    *("targets-not-shifted", "targets-shifted-twice", "eos-never-taught"),
    *("softmax-before-cross-entropy", "parameters-not-optimized", "learning-rate-too-high"),
    *("wrong-start-token", "decoding-position-zero"),
)
"""Faults with different symptoms in this task; one is planted for the user to find."""


def recipe(
    fault: str, *, healthy: bool = False, hidden_as: str = "", threads: int = 1, steps: int = STEPS
) -> RunConfig:
    """The settings of the run with this fault.

    Args:
        healthy: whether to return those of the healthy copy instead.
        hidden_as: a name to replace the fault's in the settings if the user has to find it.
    """
    training = TRAINING | dict(TRAINING_OF.get(fault, {}))
    training |= {"steps": steps, "threads": threads}
    training["warmup_steps"] = min(100, max(1, steps // 5))
    training["eval_every"] = max(1, steps // 10)
    if not healthy:
        training["fault"] = hidden_as or fault
    model = dict(MODEL_OF.get(fault, {}))
    return prepare("reverse", "small", data=DATA, model=model, training=training)[1]


@dataclass(frozen=True)
class Result:
    """The last scores of a run in the lab; None where not measured.

    loss: in nats per token, with the run's own, perhaps faulty, batches and loss function.
    forced: share of tokens predicted right with teacher forcing.
    alone: share of answers that the model writes right by itself.
    """

    state: str
    loss: float | None
    forced: float | None
    alone: float | None

    @classmethod
    def of(cls, run: Run) -> "Result":
        _, last = first_and_last(by_step(run.metrics(), "eval"))
        return cls(run.status().state, last.loss, last.token_accuracy, last.exact_match)

    @property
    def ended(self) -> bool:
        return self.state not in ("queued", *ACTIVE)


def outcome(faulty: Result, healthy: Result) -> int | None:
    """Index of the result in :data:`OUTCOMES`; None if the healthy copy has not learned either."""
    if healthy.alone is None or healthy.alone < LEARNED or healthy.forced is None:
        return None
    if faulty.state == "diverged" or faulty.alone is None or faulty.forced is None:
        return 3
    share = faulty.alone / healthy.alone
    if share >= 0.95:
        return 0
    if share < 0.5 and faulty.forced >= 0.9 * healthy.forced:
        return 2
    return 1 if share >= 0.25 else 3


# --- What the user guessed about a run ----------------------------------------------------------

FILE = "lab.json"


@dataclass(frozen=True)
class Guesses:
    """The user's guesses about a run in the lab; stored in the run's directory.

    predicted: one of :data:`PREDICTIONS`, or "" before a prediction.
    wrong: faults that were guessed wrongly. found: whether the right one was guessed.
    ended: when it was found or given up, in seconds since 1970; 0 before.
    """

    predicted: str = ""
    wrong: tuple[str, ...] = ()
    found: bool = False
    ended: float = 0.0

    @classmethod
    def of(cls, run_path: Path) -> Self:
        """Read a run's directory; a missing or damaged value counts as no guess."""
        plain = read_object(run_path / FILE)
        predicted, wrong, ended = (plain.get(name) for name in ("predicted", "wrong", "ended"))
        return cls(
            predicted if predicted in PREDICTIONS else "",
            tuple(dict.fromkeys(n for n in wrong if n in HIDDEN_FAULTS))
            if isinstance(wrong, list)
            else (),
            plain.get("found") is True,
            float(ended) if isinstance(ended, int | float) and math.isfinite(ended) else 0.0,
        )

    def keep(self, run_path: Path) -> None:
        """Write it into the run's directory.

        Raises:
            OSError: it could not be written.
        """
        write_atomic(run_path / FILE, json.dumps(asdict(self), indent=1).encode())
