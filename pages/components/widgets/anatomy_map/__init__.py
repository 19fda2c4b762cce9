"""Figure 1 as a map: boxes are chosen by click or arrow keys, at any decoding step."""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

from pages.components.shell.address import Message
from pages.components.shell.mount import Widget
from transformer.anatomy.boxes import boxes
from transformer.anatomy.drawing import anatomy_svg
from transformer.config import TransformerConfig

WIDGET = Widget("anatomy_map")


def anatomy_map(
    config: TransformerConfig,
    written: Sequence[str],
    *,
    absent: str,
    message: Message,
    key: str,
    on_place: Callable[[], None],
) -> None:
    """Draw the map.

    Args:
        written: the tokens of the output, one per decoding step.
        absent: the id of the box that is taken out; empty if none is.
        message: the state to show, ``box=decoder.0.self.softmax&step=2``; steps count from 1.
        on_place: called when the user chooses a box or step; session state under ``key`` then has
            the new state as ``["place"]``.
    """
    WIDGET.draw(data=map_data(config, written, absent, message), key=key, on_place_change=on_place)


def map_data(
    config: TransformerConfig, written: Sequence[str], absent: str, message: Message
) -> dict[str, object]:
    """The data that the script reads."""
    return {
        **_drawn(config),
        "written": list(written),
        "absent": absent,
        "told": message.value,
        "turn": message.turn,
    }


@lru_cache(maxsize=16)
def _drawn(config: TransformerConfig) -> dict[str, Any]:
    """The data that is the same for all boxes of a model. Cached, so that a click is fast."""
    every = boxes(config)
    return {
        "svg": anatomy_svg(config),
        "order": [
            {"id": box.id, "place": box.place, "stack": box.stack, "layer": box.layer}
            for box in every
        ],
        "titles": [f"{box.where}: {box.about.title}" for box in every],
    }
