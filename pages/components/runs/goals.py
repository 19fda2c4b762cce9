"""The three goals of a run as three cards, which fill in as evidence arrives."""

import math
from collections.abc import Sequence
from html import escape

import streamlit as st

from pages.components.shell.sidebar import link_to
from pages.components.shell.tables import html_table
from pages.components.shell.text import code, number, percent
from transformer.runs.directory import Run
from transformer.runs.facts import RunFacts
from transformer.runs.goals import FAILED, PASSED, PENDING, UNMEASURED, OverfitCheck, Reload
from transformer.runs.metrics import Record
from transformer.runs.verdict import beats_untrained

MARKS = {PASSED: "✓", PENDING: "…", FAILED: "✗", UNMEASURED: "○"}
GOAL_NAMES = ("Near-zero loss on a tiny set", "Better than untrained", "Reloads exactly")
"""Short names of the three goals; the cards explain them in full."""


def goals_panel(run: Run, facts: RunFacts) -> None:
    """Draw the three cards from the run's files; fast enough to be drawn every second."""
    st.markdown("**Three goals**: what every run should show")
    columns = st.columns(3, border=True)
    for column, card in zip(columns, cards(facts), strict=True):
        column.html(card)
    if reload := facts.goals.reload:
        with columns[2]:
            query = {"checkpoint": f"run-{run.id}-{reload.step}"}
            link_to("Checkpoints", "See this checkpoint", query)


def states(facts: RunFacts) -> list[tuple[str, str]]:
    """State and reason of each of the three goals; the reason is "" if the state says enough."""
    better, why = beats_untrained(facts, [loss for _, loss, _ in _baselines(facts)])
    explained = better in (FAILED, UNMEASURED)
    return [
        facts.goals.first(facts.ended),
        (better, why.rstrip(".") if explained else ""),
        facts.goals.third(facts.ended),
    ]


def cards(facts: RunFacts) -> list[str]:
    """HTML of the three cards."""
    return [
        _overfit_card(facts.goals.overfit, *facts.goals.first(facts.ended)),
        _better_card(facts),
        _reload_card(facts.goals.reload, *facts.goals.third(facts.ended)),
    ]


def _card(number: int, title: str, state: str, body: str) -> str:
    return (
        f'<section class="goal {state}"><h4>{number}. {title}</h4>'
        f'<p class="state">{MARKS[state]} {state}</p>{body}</section>'
    )


def _as_sentence(why: str) -> str:
    return f"{why[0].upper()}{why[1:]}."


def _overfit_card(check: OverfitCheck | None, state: str, why: str) -> str:
    title = GOAL_NAMES[0]
    if check is None:
        story = (
            "A small copy of this model memorises eight of its pairs, right after the first point "
            "of the curve. It takes a second or two."
        )
        return _card(1, title, state, f"<p>{story if state == PENDING else _as_sentence(why)}</p>")
    end = "is no longer a finite number" if check.loss is None else f"is {number(check.loss)}"
    story = (
        f"A small copy of this model, with the run's own learning rate and warm-up, after "
        f"{check.steps:,} updates on {check.pairs} of its pairs: the loss {end} nats per token, "
        "and it writes "
        f"<b>{check.right}&nbsp;of&nbsp;{check.pairs}</b> right."
    )
    if check.cut_short:
        story += f" It was cut short after {check.seconds:.0f} s."
    elif check.still_falling:
        story += " It was still falling: at this learning rate it needs more updates."
    elif check.near_zero and not check.proven:
        story += " A loss of zero without right answers: it sees what it has to predict."
    elif not check.proven:
        story += " Something prevents learning: the learning rate, or the model."
    else:
        story += " It has the same code and masks as this model: they can learn."
    return _card(1, title, state, f"{_sparkline(check.curve)}<p>{story}</p>")


def _sparkline(curve: Sequence[Sequence[float]]) -> str:
    """HTML of the small copy's loss by update, from 0 up, with first and last value below."""
    if len(curve) < 2:
        return ""
    last, highest = curve[-1][0] or 1, max(loss for _, loss in curve) or 1
    # Streamlit removes SVG from HTML; a box with a clip-path draws the same area.
    edge = ", ".join(
        f"{100 * step / last:.1f}% {100 * (1 - loss / highest):.1f}%" for step, loss in curve
    )
    (_, first), (steps, end) = curve[0], curve[-1]
    label = f"The small copy's loss, from {number(first)} to {number(end)} in {steps:.0f} updates"
    return (
        f'<div class="spark" role="img" aria-label="{label}">'
        f'<div style="clip-path: polygon(0% 100%, {edge}, 100% 100%)"></div></div>'
        f'<div class="ends"><span>loss {number(first)} untrained</span>'
        f"<span>{number(end)} after {steps:.0f} updates</span></div>"
    )


def _baselines(facts: RunFacts) -> list[tuple[str, float, float | None]]:
    """Name, loss and exact match of each baseline; empty while nothing is measured."""
    first: Record = facts.first
    if first.loss is None:
        return []
    return [
        ("untrained", first.loss, first.exact_match),
        ("uniform guess", math.log(facts.config.model.target_vocab_size), None),
        *([("guess by frequency", first.unigram, first.guess)] if first.unigram else []),
    ]


def _better_card(facts: RunFacts) -> str:
    title = GOAL_NAMES[1]
    rows = _baselines(facts)
    if not rows:
        state, story = PENDING, "The untrained model is not measured yet."
        if facts.ended:
            state, story = UNMEASURED, "The run ended before anything was measured."
        return _card(2, title, state, f"<p>{story}</p>")
    state, story = beats_untrained(facts, [loss for _, loss, _ in rows])
    if not facts.trained or facts.last.loss is None:
        return _card(2, title, state, f"{_table(rows)}<p>{story[0].upper()}{story[1:]}</p>")
    table = _table([("this model", facts.last.loss, facts.last.exact_match), *rows])
    return _card(2, title, state, f"{table}<p>At step {facts.last.step:,}: {story}</p>")


def _table(rows: Sequence[tuple[str, float, float | None]]) -> str:
    """HTML of names with loss and exact match; the model's own row is highlighted."""
    return html_table(
        "losses",
        ("", "loss (nats)", "exact match"),
        [
            (name, number(loss), "" if exact is None else percent(exact))
            for name, loss, exact in rows
        ],
        kinds=["self" if name.startswith("this") else "" for name, _, _ in rows],
    )


def _reload_card(reload: Reload | None, state: str, why: str) -> str:
    title = f"{GOAL_NAMES[2]}, and writes token by token"
    if reload is None:
        story = (
            "The first checkpoint saved will be loaded afresh: the same logits, and the same "
            "answers, token by token, with and without the cache."
        )
        return _card(3, title, state, f"<p>{story if state == PENDING else _as_sentence(why)}</p>")
    # Details in brackets, the environment, are left to the Checkpoints page unless a check failed.
    checks = "".join(
        f'<li><span class="check">{"✓" if ok else "✗"}</span><b>{code(name)}</b>: '
        f"{escape(detail.split(' (')[0] if ok else detail)}</li>"
        for name, ok, detail in reload.checks
    )
    story = f"<p>The checkpoint of step {reload.step:,}, loaded afresh:</p><ul>{checks}</ul>"
    return _card(3, title, state, story)
