"""The panel "This number": every step from query and key to a weight, and to the head's output."""

from collections.abc import Iterable, Sequence

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from pages.components.attention import place
from pages.components.attention.inspected_input import InspectedInput
from pages.components.shell.tables import Cell, Row, html_table
from pages.components.shell.text import code, decimal, verbatim
from transformer.analysis.heads import Head

MOST_VALUES = 512
"""Maximum number of numbers of a vector that are shown; longer vectors are cut."""


def panel(sides: Sequence[InspectedInput], head: Head | None) -> None:
    """The steps for the cell that was clicked."""
    inspected = sides[0]
    if head is None:
        st.info("A mean over several heads has no query and key to show. Choose one head.")
        return
    kind = next(kind for kind in inspected.inspection.kinds if kind.id == head.kind)
    cell = place.kept_cell(len(kind.query_tokens), len(kind.key_tokens))
    if cell is None:
        st.info("Click a cell of the large map (or walk to it and press Enter).")
        return
    import torch

    from transformer.analysis.one_weight import one_weight

    row, column = cell
    found = one_weight(
        inspected.checkpoint.model,
        torch.tensor([inspected.inspection.source]),
        torch.tensor([inspected.inspection.read]),
        head,
        row,
    )
    query, key = kind.query_tokens[row], kind.key_tokens[column]
    st.markdown(
        f"{head.title}: how much {verbatim(query)} (row {row + 1}) looks at {verbatim(key)} "
        f"(column {column + 1})."
    )
    with st.container(horizontal=True, horizontal_alignment="center", gap="large"):
        for formula in (
            r"\mathrm{weight} = \mathrm{softmax}\left(\frac{q \cdot k}{\sqrt{d_k}} + "
            r"\mathrm{mask}\right)",
            r"\mathrm{output} = \sum_{\mathrm{keys}} \mathrm{weight} \cdot v",
        ):
            st.latex(formula, width="content")
    d_k = len(found.query)
    allowed = bool(found.allowed[column])
    product, score = float(found.products[column]), float(found.scores[column])
    st.markdown(
        f"**1. Query times key.** Dimension by dimension, then summed: "
        f"q·k = **{decimal(product)}**. Bright products pull the two together, or push them "
        "apart."
    )
    vectors = {
        "q": found.query,
        "k": found.keys[column],
        "q × k": found.query * found.keys[column],
    }
    _vectors(vectors, range(1, d_k + 1))
    st.markdown(
        f"**2. Divide by √d_k** = √{d_k} = {found.sqrt_d_k:.4f}: "
        f"the score is **{decimal(score)}**.  \n"
        "**3. Mask.** "
        + (
            "The query may look at this key: the score stays."
            if allowed
            else "This key is not written yet: its score becomes −∞, and its weight exactly 0."
        )
    )
    st.markdown(
        "**4. Softmax over the row.** e to the power of each score, divided by the sum of these "
        "powers. Below is the whole row; the marked line is the cell."
    )
    _row(found.scores, found.allowed, found.weights, kind.key_tokens, column)
    weight = float(found.weights[column])
    added, stream = (float(np.linalg.norm(vector)) for vector in (found.written, found.stream))
    st.markdown(
        "**5. What the head writes.** Weight times value, summed over all keys (this one gives "
        f"{weight:.4f} of its value), then times this head's part of W^O. It adds a vector of "
        f"length {added:.3f} to the residual stream, whose vector there has length {stream:.3f}: "
        f"{added / max(stream, 1e-12):.2f} times that length."
    )
    _vectors(
        {
            "v of the key": found.values[column],
            "weight × v": weight * found.values[column],
            "output": found.output,
        },
        range(1, d_k + 1),
    )
    with st.expander(f"The vector it adds to the residual stream, {len(found.written)} numbers"):
        _vectors(
            {"written": found.written, "stream before": found.stream},
            range(1, len(found.written) + 1),
        )
    with st.expander("Queries and keys of this head in one picture"):
        from transformer.figures.attention import query_key_map

        st.plotly_chart(
            query_key_map(
                found.queries, found.keys, kind.query_tokens, kind.key_tokens, title=head.title
            )
        )
        st.caption(
            "The two directions in which this head's queries and keys differ most. A query looks "
            "at keys that lie far out in its own direction from the origin; how close the two "
            "points are says little."
        )


def _vectors(rows: dict[str, NDArray[np.float32]], columns: Iterable[int]) -> None:
    """Draw vectors as lines of numbers; a stronger colour means a larger absolute value."""
    numbers = list(columns)[:MOST_VALUES]
    lines: list[Row] = []
    for name, vector in rows.items():
        most = float(np.abs(vector).max()) or 1.0
        cells = []
        for value in vector[: len(numbers)].tolist():
            colour = "86,180,233" if value >= 0 else "230,159,0"
            ground = f"background: rgba({colour},{0.45 * abs(value) / most:.2f})"
            cells.append(Cell(decimal(value, ".3f"), style=ground))
        lines.append([name, *cells])
    head: Row = ["dimension", *(Cell(str(number), tag="td") for number in numbers)]
    st.html(html_table("steps", head, lines, label="Numbers"))


def _row(
    scores: NDArray[np.float32],
    allowed: NDArray[np.bool_],
    weights: NDArray[np.float32],
    keys: Sequence[str],
    here: int,
) -> None:
    """Draw the softmax of a row, key by key."""
    highest = float(scores[allowed].max())
    powers = np.where(allowed, np.exp(scores.astype(np.float64) - highest), 0.0)
    total = powers.sum()
    head = (
        *(
            "key",
            "q·k / √d_k",
            "after the mask",
            f"e^(score − {decimal(highest)})",
            f"÷ {total:.4f}",
        ),
        "weight in the model",
    )
    lines = [
        (
            code(key),
            decimal(scores[i]),
            decimal(scores[i]) if allowed[i] else "−∞",
            f"{powers[i]:.6f}",
            f"{powers[i] / total:.6f}",
            f"{weights[i]:.6f}",
        )
        for i, key in enumerate(keys)
    ]
    kinds = ["here" if i == here else "" for i in range(len(keys))]
    st.html(html_table("steps", head, lines, label="Numbers", kinds=kinds))
