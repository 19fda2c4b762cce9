"""A word and its answer: each token of the answer highlights what it looked at, and figure 1 beside
it shows the numbers of that token, box by box."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from pages.components.shell.mount import Widget
from transformer.figures.figure_1 import COLOURS

WIDGET = Widget("word_map")


@dataclass(frozen=True)
class MapBox:
    """A box of the drawing.

    side: "encoder" or "decoder", each drawn from the bottom up.
    kind: sets its colour: embedding, attention, feed-forward or output.
    numbers: its text for each token of the answer.
    name: id of the box on the Learn page.
    """

    side: str
    kind: str
    title: str
    numbers: Sequence[str]
    name: str


def word_map(
    source: Sequence[str],
    written: Sequence[str],
    weights: Sequence[Sequence[float]],
    boxes: Sequence[MapBox],
    layers: Mapping[str, int],
    *,
    key: str,
    on_open: Callable[[], None],
) -> None:
    """Draw the word, its answer and figure 1.

    Args:
        weights: [written, source], how much each token of the answer looked at each of the word.
        layers: side -> its number of layers, of which one is drawn.
        on_open: called when the user clicks a box; session state under ``key`` then has its name
            as ``["open"]``.
    """
    data = {
        "source": list(source),
        "written": list(written),
        "weights": [[round(float(weight), 4) for weight in row] for row in weights],
        "boxes": [
            vars(box) | {"numbers": list(box.numbers), "colour": COLOURS[box.kind]} for box in boxes
        ],
        "layers": dict(layers),
    }
    WIDGET.draw(data=data, key=key, on_open_change=on_open)
