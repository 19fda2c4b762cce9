"""A table of inputs and a model's outputs; each row can be opened in the steps above."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import streamlit as st

from pages.components.shell.mount import Widget
from transformer.vocabulary.vocabulary import printable

WIDGET = Widget("answer_table")
MAX_SHOWN = 300
"""Maximum number of characters, or tokens, in a cell."""
PAGE = 50
"""Number of rows shown at once."""

T = TypeVar("T")


@dataclass(frozen=True)
class Tokens:
    """A cell of tokens.

    marked: index of the marked token, if any. tone: "wrong" or "right", the mark's meaning.
    """

    tokens: Sequence[str]
    marked: int | None = None
    tone: str = "wrong"


@dataclass(frozen=True)
class Row:
    """One input.

    id: sent to ``on_open``. cells: one per column; a click on the first opens the row.
    problem: replaces the cells after the first, if there are none.
    """

    id: int
    cells: Sequence[str | Tokens]
    problem: str = ""


def answer_table(
    label: str,
    columns: Sequence[str],
    rows: Sequence[Row],
    *,
    key: str,
    on_open: Callable[[], None],
) -> None:
    """Draw the table.

    Args:
        label: what the table is, for screen readers.
        on_open: called when the user opens a row; session state under ``key`` then has its id as
            ["open"].
    """
    WIDGET.draw(
        data={
            "label": label,
            "columns": list(columns),
            "rows": [
                {"id": row.id, "cells": list(map(_cell, row.cells)), "problem": row.problem}
                for row in rows
            ],
        },
        key=key,
        on_open_change=on_open,
    )


def _cell(cell: str | Tokens) -> object:
    if isinstance(cell, str):
        return cell if len(cell) <= MAX_SHOWN else cell[: MAX_SHOWN - 1] + "…"
    shown = [printable(token) for token in cell.tokens[:MAX_SHOWN]]
    return {"tokens": shown, "marked": cell.marked, "tone": cell.tone}


def page_of(rows: Sequence[T], key: str) -> tuple[int, Sequence[T]]:
    """Index of a page's first row, and the page's rows; a field chooses the page if there are
    several."""
    pages = max(1, -(-len(rows) // PAGE))
    if pages == 1:
        return 0, rows
    if st.session_state.get(key, 1) > pages:  # there were more rows before
        st.session_state[key] = 1
    page = st.number_input(f"Page (of {pages:,})", min_value=1, max_value=pages, key=key, width=160)
    first = (page - 1) * PAGE
    return first, rows[first : first + PAGE]
