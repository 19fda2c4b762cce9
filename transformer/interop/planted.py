"""Models with a planted fault: no format of others can say what they compute."""

from transformer.checkpoint import Checkpoint
from transformer.errors import CheckpointError
from transformer.model import Transformer


def refuse_planted(checkpoint: Checkpoint, what: str) -> None:
    """
    Args:
        what: what it cannot be, such as "an nn.Transformer".

    Raises:
        CheckpointError: a fault was planted in the model, or in how it writes.
    """
    if type(checkpoint.model) is not Transformer:
        raise CheckpointError(
            f"This model has a fault that was planted on purpose, so it cannot be {what}: that "
            "would compute the paper's model, without the fault. Export the healthy copy instead."
        )
