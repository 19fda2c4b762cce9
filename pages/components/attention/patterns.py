"""Patterns: every head scored, sorted and labelled, and a picture of all of them."""

from collections.abc import Sequence

import streamlit as st

from pages.components.attention import place
from pages.components.attention.inspected_input import InspectedInput
from pages.components.shell import address
from pages.components.widgets.head_scatter import head_scatter
from transformer.analysis.heads import Head
from transformer.analysis.patterns import HeadScores

MEASURES = {
    "value": "fit to its pattern",
    "entropy": "entropy (bits)",
    "distance": "distance looked (positions)",
    "confidence": "largest weight of a row",
    "uniform": "overlap with an even spread",
}


def measure(scores: HeadScores, name: str) -> float:
    """One number of a head: a measure, or its share on a pattern; 0 if it has no such pattern."""
    if name in MEASURES:
        return float(getattr(scores, name))
    return scores.patterns.get(name, 0.0)


def names(scores: dict[Head, HeadScores]) -> dict[str, str]:
    """Name -> title of all measures of this input's heads: MEASURES, then the patterns."""
    patterns = {name: f"on: {one.labels[name]}" for one in scores.values() for name in one.patterns}
    return {**MEASURES, **patterns}


def panel(sides: Sequence[InspectedInput], head: Head | None) -> None:
    """The sorted list, and a scatter plot whose points open their heads."""
    inspected = sides[0]
    scores = inspected.scores
    options = names(scores)
    chooser, settings = st.columns([3, 1])
    with settings, st.popover("Sort and axes", width="stretch"):
        by = address.option(st.selectbox, "Sort heads by", options, "sort", "value")
        x = address.option(st.selectbox, "Across", options, "across", "distance")
        y = address.option(st.selectbox, "Up", options, "up", "confidence")
    ranked = sorted(scores.values(), key=lambda one: -measure(one, by))
    with chooser:
        st.selectbox(
            "Heads, largest first",
            [one.head for one in ranked],
            index=None,
            format_func=lambda head: (
                f"{head.short}: {scores[head].label} ({measure(scores[head], by):.2f})"
            ),
            key="go to head",
            on_change=_go,
            placeholder=f"Heads by {options[by]}, largest first: choose one to see it",
            label_visibility="collapsed",
        )
    left, right = st.columns(2)
    with left:
        st.dataframe(
            [
                {
                    "head": one.head.short,
                    "what it does here": one.label,
                    options[by]: round(measure(one, by), 3),
                    **{
                        MEASURES[name]: round(measure(one, name), 3)
                        for name in MEASURES
                        if name != by
                    },
                }
                for one in ranked
            ],
            hide_index=True,
            height=min(250, 37 + 35 * len(ranked)),
        )
    with right:
        head_scatter(
            [
                {
                    "head": str(one.head),
                    "kind": one.head.kind,
                    "title": one.head.title,
                    "short": one.head.short,
                    "label": one.label,
                    "x": measure(one, x),
                    "y": measure(one, y),
                }
                for one in ranked
            ],
            options[x],
            options[y],
            chosen=str(head or ""),
            key="head scatter",
            on_choose=_go_to_point,
        )


def _go() -> None:
    head = st.session_state["go to head"]
    if head is not None:
        place.go_to(head)
        st.session_state["go to head"] = None  # so that it can be chosen again later


def _go_to_point() -> None:
    place.go_to(Head.parse(st.session_state["head scatter"]["choose"]))
