"""The right answer to an input if it is known, whether the input is too long for the model, and
whether it was trained on."""

from pathlib import Path
from typing import TYPE_CHECKING

from transformer.tasks import TASKS, in_training, longest_trained, right_answer

if TYPE_CHECKING:
    from transformer.checkpoint import Checkpoint


def known_target(checkpoint: "Checkpoint", text: str, written: str) -> str | None:
    """The right answer if it can be computed or is among the checkpoint's examples, else None.

    Args:
        written: the model's output, which is returned if it is one of several right answers.
    """
    computed = right_answer(checkpoint.header.data, text, written)
    if computed is not None:
        return computed
    for example in checkpoint.header.examples:
        if example.source == text and example.target:
            return example.target
    return None


def unlike_training(checkpoint: "Checkpoint", text: str, target_tokens: int) -> str:
    """A sentence if the input or its true target is longer than any in training; else "".

    Args:
        target_tokens: number of tokens of the true target, without <eos>; 0 if it is not known.
    """
    longest = longest_trained(checkpoint.header.data)
    if longest is None:
        return ""
    vocabulary = checkpoint.source_vocabulary
    length = len(vocabulary.encode(vocabulary.as_trained(text)))
    if length > longest[0]:
        return (
            f"The input has {length} tokens; its training inputs had at most {longest[0]}. It has "
            "never seen the later positions."
        )
    if target_tokens > longest[1]:
        return (
            f"The true target has {target_tokens} tokens; its training targets had at most "
            f"{longest[1]}: it never learned to write more."
        )
    return ""


def seen_in_training(checkpoint: "Checkpoint", pairs: Path | None, text: str) -> str:
    """Whether the model was trained on this input, in a sentence; "" for a model trained elsewhere.

    Args:
        pairs: file of its run's own pairs, if there is one.
    """
    header = checkpoint.header
    if header.summary is None:
        return ""
    seen = in_training(header.data, text, pairs) if header.summary.steps else False
    if seen is None and header.data.evaluates_on_training_pairs:
        # Then its examples are training pairs.
        seen = any(example.source == text for example in header.examples) or None
    if seen is not None:
        return "A training pair." if seen else "Not seen in training."
    if pairs is not None:  # too many to look one up, or the input differs from one only in spaces
        why = ""
    elif header.data.task in TASKS and header.data.task != "pairs":
        why = ", which draws at random"
    else:
        why = ": its pairs are not here"
    return f"Perhaps in training{why}."
