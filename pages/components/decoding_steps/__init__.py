"""The output token by token: candidates, probabilities, and the source each step looked at.

All steps travel at once, so walking through them needs no server; choosing another
candidate does, since the model must go on from there.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pages.components.mount import component

HERE = Path(__file__).parent


def decoding_steps(
    source: Sequence[str],
    steps: Sequence[Mapping[str, Any]],
    *,
    key: str,
    selected: int,
    turn: int,
    on_step: Callable[[], None],
    on_choice: Callable[[], None],
) -> None:
    """Draw the steps.

    Args:
        source: the source tokens as shown.
        steps: for each position "token", "probability", "forced", "candidates" (lists of
            token, id, probability) and "attention" (layer -> weights over the source).
        selected: the step to show, from 0; obeyed when ``turn`` is a new one.
        on_step, on_choice: called when a person walks to a step, or chooses a candidate; session
            state under ``key`` then has ``["step"]``, or ``["choice"]`` as [position, id].
    """
    component(HERE)(
        data={"source": list(source), "steps": list(steps), "selected": selected, "turn": turn},
        key=key,
        on_step_change=on_step,
        on_choice_change=on_choice,
        default={"step": selected},
    )
