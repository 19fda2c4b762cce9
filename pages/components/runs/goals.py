"""The three goals of a run as three cards, which fill in as evidence arrives."""

import math
from collections.abc import Sequence
from html import escape

import streamlit as st

from pages.components.shell.tables import html_table
from pages.components.shell.text import code, number, percent
from transformer.runs.directory import ACTIVE, Run
from transformer.runs.goals import OverfitCheck, Reload, read_goals
from transformer.runs.metrics import History

STATES = {
    "proven": "✓ proven",
    "not yet": "◔ not yet",
    "refuted": "✗ refuted",
    "waiting": "… waiting for evidence",
}


def goals_panel(run: Run, history: History) -> None:
    """Draw the three cards from the run's files; cheap enough to be drawn every second."""
    st.markdown("**Three goals**: what every run should prove")
    columns = st.columns(3, border=True)
    for column, card in zip(columns, cards(run, history), strict=True):
        column.html(card)
    if reload := read_goals(run.path).reload:
        columns[2].page_link(
            "pages/checkpoints.py",
            label="See this checkpoint",
            icon=":material/inventory_2:",
            query_params={"checkpoint": f"run-{run.id}-{reload.step}"},
        )


def cards(run: Run, history: History) -> list[str]:
    """HTML of the three cards."""
    goals, config = read_goals(run.path), run.config()
    active = run.status().state in ACTIVE
    return [
        _overfit_card(goals.overfit),
        _better_card(
            history,
            config.model.target_vocab_size,
            config.data.evaluates_on_training_pairs,
            active,
        ),
        _reload_card(goals.reload),
    ]


def _card(number: int, title: str, state: str, body: str) -> str:
    return (
        f'<section class="goal {state.replace(" ", "-")}"><h4>{number}. {title}</h4>'
        f'<p class="state">{STATES[state]}</p>{body}</section>'
    )


def _overfit_card(check: OverfitCheck | None) -> str:
    title = "Near-zero loss on a tiny set"
    if check is None:
        return _card(
            1,
            title,
            "waiting",
            "<p>A small twin of this model learns eight of its pairs by heart, right after the "
            "first point of the curve. It takes a second or two.</p>",
        )
    state = "proven" if check.proven else "not yet" if check.cut_short else "refuted"
    end = "is no longer a finite number" if check.loss is None else f"is {number(check.loss)}"
    story = (
        f"A small twin of this model, after {check.steps:,} updates on {check.pairs} of its "
        f"pairs: the loss {end} nats a token, and it writes "
        f"<b>{check.right}&nbsp;of&nbsp;{check.pairs}</b> right."
    )
    if check.cut_short:
        story += f" It was cut short after {check.seconds:.0f} s."
    elif check.near_zero and not check.proven:
        story += " A loss of zero without right answers: it sees what it has to predict."
    elif not check.proven:
        story += " Something in the model stands in the way of learning."
    else:
        story += " The same code and the same masks as this model's: they can learn."
    return _card(1, title, state, f"{_sparkline(check.curve)}<p>{story}</p>")


def _sparkline(curve: Sequence[Sequence[float]]) -> str:
    """The twin's loss by update, from 0 up, with its first and last value below."""
    if len(curve) < 2:
        return ""
    last, highest = curve[-1][0] or 1, max(loss for _, loss in curve) or 1
    # Streamlit lets no SVG through; an area cut out of a box is as good here.
    edge = ", ".join(
        f"{100 * step / last:.1f}% {100 * (1 - loss / highest):.1f}%" for step, loss in curve
    )
    (_, first), (steps, end) = curve[0], curve[-1]
    told = f"The twin's loss, from {number(first)} to {number(end)} in {steps:.0f} updates"
    return (
        f'<div class="spark" role="img" aria-label="{told}">'
        f'<div style="clip-path: polygon(0% 100%, {edge}, 100% 100%)"></div></div>'
        f'<div class="ends"><span>loss {number(first)} untrained</span>'
        f"<span>{number(end)} after {steps:.0f} updates</span></div>"
    )


def _better_card(history: History, size: int, own: bool, active: bool) -> str:
    title = "Better than untrained"
    losses = {int(step): loss for step, loss in history.series("loss")}
    exact = {int(step): share for step, share in history.series("exact_match")}
    where = "the pairs it learns" if own else "held-out pairs"
    if 0 not in losses:
        return _card(
            2, title, "waiting", f"<p>The untrained model is being measured on {where}.</p>"
        )
    unigram = history.evaluations[0].unigram
    rows = [
        ("untrained", losses[0], exact.get(0)),
        ("uniform guess", math.log(size), None),
        *([("guess by frequency", unigram, None)] if unigram is not None else []),
    ]
    step = max(losses)
    if step == 0:
        table = _table(rows)
        return _card(
            2, title, "waiting", f"{table}<p>The first evaluation on {where} is to come.</p>"
        )
    now, right = losses[step], exact[max(exact)] if exact and max(exact) > 0 else None
    better = now < min(loss for _, loss, _ in rows)
    more = right is not None and right > exact.get(0, 0.0)
    if better and more:
        state, story = "proven", f"lower loss, and more answers right in full, on {where}."
    elif now > losses[0] and not active:
        state, story = "refuted", f"the loss on {where} is higher than that of the untrained model."
    elif better:
        state = "not yet"
        story = f"the loss on {where} is lower, but not one more answer is right in full."
    else:
        state, story = "not yet", f"on {where} the loss is not yet below all of these."
    table = _table([("this model", now, right), *rows])
    return _card(2, title, state, f"{table}<p>At step {step:,}: {story}</p>")


def _table(rows: Sequence[tuple[str, float, float | None]]) -> str:
    """Names with their loss and exact match; the model's own row stands out."""
    return html_table(
        "losses",
        ("", "loss (nats)", "exact match"),
        [
            (name, number(loss), "" if exact is None else percent(exact))
            for name, loss, exact in rows
        ],
        kinds=["self" if name.startswith("this") else "" for name, _, _ in rows],
    )


def _reload_card(reload: Reload | None) -> str:
    title = "Reloads exactly, and writes token by token"
    if reload is None:
        return _card(
            3,
            title,
            "waiting",
            "<p>The first checkpoint saved will be loaded afresh: the same logits, and the same "
            "answers, token by token, with and without the cache.</p>",
        )
    # The environment, in brackets, is for the Checkpoints page, unless something failed.
    checks = "".join(
        f'<li><span class="check">{"✓" if ok else "✗"}</span><b>{code(name)}</b>: '
        f"{escape(detail.split(' (')[0] if ok else detail)}</li>"
        for name, ok, detail in reload.checks
    )
    ok = reload.ok and all(ok for _, ok, _ in reload.checks)
    story = f"<p>The checkpoint of step {reload.step:,}, loaded afresh:</p><ul>{checks}</ul>"
    return _card(3, title, "proven" if ok else "refuted", story)
