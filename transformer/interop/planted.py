"""Models with a planted fault cannot be exported: no other format can express the fault."""

from transformer.checkpoint import Checkpoint
from transformer.errors import CheckpointError
from transformer.model import Transformer


def refuse_planted(checkpoint: Checkpoint, what: str) -> None:
    """Refuse to export a model with a planted fault.

    Args:
        what: the target of the export, such as "an nn.Transformer".

    Raises:
        CheckpointError: a fault was planted in the model, or in how it decodes.
    """
    if type(checkpoint.model) is not Transformer:
        raise CheckpointError(
            f"This model has a fault that was planted on purpose, so it cannot be {what}: that "
            "would compute the paper's model, without the fault. Export the healthy copy instead."
        )
