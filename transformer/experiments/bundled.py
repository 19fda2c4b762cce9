"""The bundled models that experiments use, and examples of their tasks."""

from pathlib import Path

from transformer.checkpoint import Checkpoint
from transformer.evaluation.held_out import held_out, task_of
from transformer.tasks import Pair

CHECKPOINTS = Path(__file__).parents[2] / "checkpoints"


def load(name: str) -> Checkpoint:
    """Load a bundled model by its name.

    Raises:
        CheckpointError: its file does not exist.
    """
    return Checkpoint.load(CHECKPOINTS / f"{name}.safetensors")


def examples(checkpoint: Checkpoint, count: int, seed: int) -> list[Pair]:
    """``count`` held-out examples; another seed gives others, if there are enough."""
    found = held_out(checkpoint, task_of(checkpoint), (seed + 1) * count)
    return found[-count:]


def exact_match(checkpoint: Checkpoint, pairs: list[Pair]) -> float:
    """The share of pairs for which the model's output is right, from 0 to 1."""
    task = task_of(checkpoint)
    answers = checkpoint.answers([pair.source for pair in pairs])
    right = sum(task.is_right(pair, one.output) for pair, one in zip(pairs, answers, strict=True))
    return right / len(pairs)
