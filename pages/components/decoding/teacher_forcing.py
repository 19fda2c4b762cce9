"""Teacher forcing beside free-running decoding: three tests of one model on the true target."""

import html
import math
from collections.abc import Sequence

import streamlit as st

from pages.components.decoding.paths import PathSpec, decode_path
from pages.components.decoding.view import View
from pages.components.shared.inspection import visible_tokens
from pages.components.shell.tables import Cell, Row, html_table
from pages.components.shell.text import Html, code, probability
from transformer.analysis.first_error import common_prefix_length

ROWS = (
    "1 · the whole target at once",
    "2 · the true tokens one by one",
    "3 · its own tokens one by one",
)


def panel(view: View) -> None:
    """Draw what the model would write at each position, given the true tokens or its own."""
    from transformer.analysis.forcing import true_tokens, whole_target

    if not view.wanted:
        st.info("The true target is not known here. Type it above to give it to the model.")
        return
    checkpoint, wanted = view.checkpoint, view.wanted
    source = checkpoint.encode(view.text)
    whole = whole_target(checkpoint.model, source, wanted)
    single = true_tokens(checkpoint.model, source, wanted)
    free = decode_path(checkpoint, view.text, PathSpec())
    forced = whole.argmax(dim=-1).tolist()
    stepped = single.argmax(dim=-1).tolist()
    st.markdown(
        "The model is given the true target (**1** in one pass, as in training; **2** token by "
        "token) or goes on from its own tokens (**3**, free-running). The table shows its most "
        "probable token, with the probability; **✗** marks a token that is not the true one, "
        "**≠** the first where 3 parts from the target. A long table scrolls sideways."
    )
    rows = [
        (ROWS[0], forced, whole.max(dim=-1).values.exp().tolist(), -1),
        (ROWS[1], stepped, single.max(dim=-1).values.exp().tolist(), -1),
        (
            ROWS[2],
            free.written,
            [math.exp(value) for value in free.log_probs],
            common_prefix_length(free.written, wanted),
        ),
    ]
    st.html(_table(view, rows))
    difference = float((whole - single).abs().max())
    wrong = [i + 1 for i, (a, b) in enumerate(zip(forced, wanted, strict=True)) if a != b]
    parts = common_prefix_length(free.written, wanted)
    st.markdown(
        f"- **1 and 2 agree**: their log-probabilities differ by at most {difference:.1e}. The "
        "causal mask hides what comes later, so one pass gives the same as step by step.\n"
        f"- {_given_truth(wrong, len(wanted))}\n"
        f"- {_left_alone(parts, free.written, wanted, wrong)}"
    )


def _given_truth(wrong: Sequence[int], steps: int) -> str:
    if not wrong:
        return "Given the true tokens, it is **right at every step**."
    named = ", ".join(map(str, wrong[:8])) + (" …" if len(wrong) > 8 else ".")
    return f"Given the true tokens, it is wrong at **{len(wrong)} of {steps} steps**: {named}"


def _left_alone(
    parts: int, written: Sequence[int], wanted: Sequence[int], wrong: Sequence[int]
) -> str:
    if tuple(written) == tuple(wanted):
        return "Free-running, it **never parts** from the true target."
    after = sum(1 for step in wrong if step > parts + 1)
    rest = len(wanted) - parts - 1
    said = f"Free-running, it **parts from the true target at step {parts + 1}**"
    if rest <= 0:
        return f"{said}."
    own = sum(
        1 for i in range(parts + 1, len(wanted)) if i >= len(written) or written[i] != wanted[i]
    )
    return (
        f"{said}: of the {rest} steps after that, {own} are wrong, and {after} if the true tokens "
        "are given. The difference is the cost of its own mistake."
    )


def _table(view: View, rows: Sequence[tuple[str, Sequence[int], Sequence[float], int]]) -> str:
    tokens = view.checkpoint.target_vocabulary.tokens
    steps = max(len(view.wanted), *(len(ids) for _, ids, _, _ in rows))
    body: list[Row] = [
        (
            title,
            *(
                _cell(
                    visible_tokens(tokens, [ids[i]])[0],
                    share[i],
                    i,
                    ids[i],
                    view.wanted,
                    i == parts,
                )
                for i in range(len(ids))
            ),
        )
        for title, ids, share, parts in rows
    ]
    truth = ("true target", *map(code, visible_tokens(tokens, view.wanted)))
    head = ("step", *(str(i + 1) for i in range(steps)))
    return html_table("forcing", head, [truth, *body], label="Three tests")


def _cell(name: str, share: float, i: int, token: int, wanted: Sequence[int], parts: bool) -> Cell:
    wrong = i >= len(wanted) or token != wanted[i]
    classes = " ".join(filter(None, ["wrong" if wrong else "", "parts" if parts else ""]))
    mark = "≠ " if parts else "✗ " if wrong else ""
    said = f"{mark}{html.escape(probability(share))}"
    return Cell(Html(f"{code(name)}<small>{said}</small>"), classes)
