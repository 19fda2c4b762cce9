"""Three cards with pictures above the Train form: common choices of what to learn."""

from collections.abc import Callable
from dataclasses import dataclass

import streamlit as st

from pages.components.shell.text import Html


@dataclass(frozen=True)
class Card:
    """One card.

    id: its name in the code and in session state.
    title: on its button. picture: HTML that shows what is learned; hidden from screen readers.
    story: what happens, and how long it takes.
    """

    id: str
    title: str
    picture: Html
    story: str


def _row(source: str, target: str) -> str:
    cells = [
        "".join(f"<i>{letter}</i>" for letter in source),
        "<b>→</b>",
        "".join(f'<i class="to">{letter}</i>' for letter in target),
    ]
    return f"<p>{''.join(f'<span>{cell}</span>' for cell in cells)}</p>"


def _said(source: str, target: str) -> str:
    return f'<p class="said"><span>{source}</span><b>→</b><span class="to">{target}</span></p>'


REVERSE, SEVEN, OWN = "reverse", "seven", "own"
CARDS = (
    Card(
        REVERSE,
        "Reverse letters",
        Html(_row("abcde", "edcba") + _row("train", "niart")),
        "Learns a rule, and gets words right that it has never seen. In less than half a minute.",
    ),
    Card(
        SEVEN,
        "Seven sentences in seconds",
        Html(_said("good morning", "guten Morgen") + _said("thank you", "danke")),
        "Memorises seven English-German pairs: the loss goes to zero before your eyes.",
    ),
    Card(
        OWN,
        "Your own pairs",
        Html(_said("anything", "you like") + _said("one pair", "a line")),
        "Type or paste them, or give a file: a few to memorise, or thousands to learn from.",
    ),
)


def cards(chosen: str, choose: Callable[[str], None]) -> None:
    """Draw the cards; ``choose`` is called with the id of the card that is pressed.

    Args:
        chosen: the id of the chosen card, or another text for none.
    """
    with st.container(key="task-cards"):
        for column, card in zip(st.columns(len(CARDS)), CARDS, strict=True):
            on = card.id == chosen
            with column.container(border=True, key=f"card-{card.id}{'-chosen' if on else ''}"):
                st.html(f'<div class="card-picture" aria-hidden="true">{card.picture}</div>')
                st.button(
                    card.title,
                    key=f"choose {card.id}",
                    icon=":material/check_circle:" if on else ":material/radio_button_unchecked:",
                    type="tertiary",
                    on_click=choose,
                    args=(card.id,),
                )
                st.caption(card.story)
