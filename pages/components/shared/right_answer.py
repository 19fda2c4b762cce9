"""What is the right answer to an input, where one can know, whether it is a fair question, and
whether it was learned."""

from pathlib import Path
from typing import TYPE_CHECKING

from transformer.tasks import TASKS, in_training, longest_trained, right_answer

if TYPE_CHECKING:
    from transformer.checkpoint import Checkpoint


def known_target(checkpoint: "Checkpoint", text: str, written: str) -> str | None:
    """The right answer, where it can be computed or came with the checkpoint.

    Args:
        written: what the model writes; it is the answer where several are right and it is one.
    """
    computed = right_answer(checkpoint.header.data, text, written)
    if computed is not None:
        return computed
    for example in checkpoint.header.examples:
        if example.source == text and example.target:
            return example.target
    return None


def unlike_training(checkpoint: "Checkpoint", text: str, target_tokens: int) -> str:
    """How an input, or its true target, is longer than any the model has learned from; else "".

    Args:
        target_tokens: of the true target, without <eos>; 0 if it is not known.
    """
    longest = longest_trained(checkpoint.header.data)
    if longest is None:
        return ""
    vocabulary = checkpoint.source_vocabulary
    length = len(vocabulary.encode(vocabulary.as_trained(text)))
    if length > longest[0]:
        return (
            f"The input has {length} tokens; those it learned from had at most {longest[0]}. "
            "It has never seen the positions beyond."
        )
    if target_tokens > longest[1]:
        return (
            f"The true target has {target_tokens} tokens; those it learned from had at most "
            f"{longest[1]}: it has never written one so long."
        )
    return ""


def seen_in_training(checkpoint: "Checkpoint", pairs: Path | None, text: str) -> str:
    """Whether the model has learned from this very input, in a sentence; "" of a model that was
    trained elsewhere.

    Args:
        pairs: of its run, if it has its own.
    """
    header = checkpoint.header
    if header.summary is None:
        return ""
    seen = in_training(header.data, text, pairs) if header.summary.steps else False
    if seen is None and header.data.evaluates_on_training_pairs:
        # Its examples are of the pairs it learned.
        seen = any(example.source == text for example in header.examples) or None
    if seen is not None:
        return "A training pair." if seen else "Not seen in training."
    if pairs is not None:  # they are too many to look one up, or one differs in its spaces alone
        why = ""
    elif header.data.task in TASKS and header.data.task != "pairs":
        why = ", which draws at random"
    else:
        why = ": its pairs are not here"
    return f"Perhaps in training{why}."
