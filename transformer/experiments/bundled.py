"""The bundled models that experiments stand on, and examples of their tasks."""

from pathlib import Path

from transformer.checkpoint import Checkpoint
from transformer.evaluation.held_out import held_out, task_of
from transformer.tasks import Pair

CHECKPOINTS = Path(__file__).parents[2] / "checkpoints"


def load(name: str) -> Checkpoint:
    """A bundled model by its name.

    Raises:
        CheckpointError: its file is not there.
    """
    return Checkpoint.load(CHECKPOINTS / f"{name}.safetensors")


def examples(checkpoint: Checkpoint, count: int, seed: int) -> list[Pair]:
    """So many held-out examples; with another seed, others as far as there are."""
    found = held_out(checkpoint, task_of(checkpoint), (seed + 1) * count)
    return found[-count:]


def exact_match(checkpoint: Checkpoint, pairs: list[Pair]) -> float:
    """The share of pairs that the model answers right, from 0 to 1."""
    task = task_of(checkpoint)
    answers = checkpoint.answers([pair.source for pair in pairs])
    right = sum(task.is_right(pair, one.output) for pair, one in zip(pairs, answers, strict=True))
    return right / len(pairs)
