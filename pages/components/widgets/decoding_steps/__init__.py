"""The output token by token: candidates, their arithmetic, and the source each step looked at.

All steps are sent at once with the model's logits, so that moving through them, and temperature,
top-k and top-p, need no server; writing another token does, since the model must continue from
it. Page and script exchange the state (``place``) in the format of the address:
``step=3&temperature=0.8``.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pages.components.shell import mount
from pages.components.shell.address import Message
from pages.components.shell.mount import Widget

WIDGET = Widget("decoding_steps", ("help",))
MOST_LOGITS = 4_000_000
"""Maximum number of logits sent to a browser: 16 MB. Of more, only the highest of each step."""
MOST_WEIGHTS = 4_000_000
"""Maximum number of a side's attention weights sent; of more, each layer's mean over its heads."""


@dataclass(frozen=True)
class Side:
    """One path through the decoding: the path shown, or the path it is compared with.

    label: its name on screen.
    ids: the token that each step wrote.
    log_probs: the model's log-probability of each.
    forced: the number of first steps that were given, not written by the model.
    logits: [step, vocabulary]
    attention: over the source, [step, layer, head, source]
    """

    label: str
    ids: Sequence[int]
    log_probs: Sequence[float]
    forced: int
    logits: NDArray[np.float32]
    attention: NDArray[np.float32]


def pack(
    vocabulary: Sequence[str],
    source: Sequence[str],
    sides: Sequence[Side],
    wanted: Sequence[int],
    message: Message,
    seed: int,
) -> bytes:
    """The message to the browser: a header, then all numbers.

    For each side its logits [step, candidate], the candidates' ids if not all are sent, and
    its attention [step, layer, head, source].
    """
    most = MOST_LOGITS // max(1, sum(len(side.ids) for side in sides))
    headers: list[dict[str, object]] = []
    numbers: list[NDArray[np.generic]] = []
    for side in sides:
        logits, ids = _highest(side.logits, most)
        attention = side.attention
        if attention.size > MOST_WEIGHTS:
            attention = attention.mean(axis=2, keepdims=True)
        headers.append(
            {
                "label": side.label,
                "ids": list(side.ids),
                "logProbs": list(side.log_probs),
                "forced": side.forced,
                "candidates": logits.shape[1],
                "listed": ids is not None,
                "layers": attention.shape[1],
                "heads": attention.shape[2],
            }
        )
        numbers.append(logits.astype("<f4", copy=False))
        if ids is not None:
            numbers.append(ids.astype("<i4", copy=False))
        numbers.append(attention.astype("<f4", copy=False))
    header = {
        "vocabulary": list(vocabulary),
        "source": list(source),
        "sides": headers,
        "wanted": list(wanted),
        "place": message.value,
        "turn": message.turn,
        "seed": seed,
    }
    return mount.pack(header, numbers)


def _highest(
    logits: NDArray[np.float32], most: int
) -> tuple[NDArray[np.float32], NDArray[np.int32] | None]:
    """The ``most`` highest logits of each step, sorted by id, and their ids; None for all ids."""
    if logits.shape[1] <= most:
        return logits, None
    ids = np.sort(np.argpartition(-logits, most, axis=1)[:, :most], axis=1)
    return np.take_along_axis(logits, ids, axis=1), ids.astype(np.int32)


def decoding_steps(
    vocabulary: Sequence[str],
    source: Sequence[str],
    sides: Sequence[Side],
    *,
    wanted: Sequence[int],
    message: Message,
    seed: int,
    key: str,
    on_place: Callable[[], None],
    on_choice: Callable[[], None],
) -> None:
    """Draw the steps.

    Args:
        vocabulary: every token of the target side as shown, by its id.
        source: the source tokens as shown.
        sides: one path, or two to compare.
        wanted: the true target's ids; empty if it is not known.
        message: the state to show, as ``step=…&temperature=…``; applied when its turn is new.
        seed: the seed field's value while the model decodes greedily.
        on_place, on_choice: called when the user changes the state, or writes another token;
            session state under ``key`` then has ``["place"]``, in the format of ``message``, or
            ``["choice"]``, the ids of the output up to that token.
    """
    WIDGET.draw(
        data=pack(vocabulary, source, sides, wanted, message, seed),
        key=key,
        on_place_change=on_place,
        on_choice_change=on_choice,
        default={"place": message.value},
    )
