"""The current model's answer to a word, and numbers for each box of figure 1."""

from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st

from pages.components.shared import inputs
from pages.components.shared.right_answer import known_target, seen_in_training
from pages.components.shell import current, models, session
from pages.components.shell.checkpoint_headers import header_of
from pages.components.shell.loaded import Key, key_of
from pages.components.shell.models import Listed
from pages.components.shell.sidebar import link_to
from pages.components.shell.text import verbatim
from pages.components.widgets.word_map import MapBox, word_map
from transformer.checkpoint.header import Header
from transformer.errors import VocabularyError
from transformer.evaluation.held_out import own_pairs
from transformer.tasks import TASKS, title_of
from transformer.tasks.pronunciation import WORDS

if TYPE_CHECKING:
    from pages.components.shared.inspection import Inspection
    from transformer.checkpoint import Checkpoint

SHOWN = "pronunciation"
MAP = "overview map"
EXPLAINED = 4
MOST_SHOWN = 60
"""Maximum number of tokens of an answer that are drawn; the Decode page has all."""


def word() -> tuple[Listed, str] | None:
    """Draw the field with the current input, which needs no torch; model and text, or None if the
    model has saved nothing yet."""
    entry = models.find(current.model())
    header = None if entry is None else header_of(entry.path)
    if entry is None or header is None:
        st.info("The current model has no checkpoint yet; it answers here after its first one.")
        return None
    examples = header.examples
    known = current.text() or (examples[0].source if examples else "")
    state = st.session_state
    field, shown = state.get("overview input"), state.get("overview shown")
    # Streamlit may end this run of the page anywhere to start the next; keep what was typed since.
    if field is None or (
        shown is not None and field == shown[0] and shown[1:] != (current.model(), known)
    ):
        state["overview input"] = known
    given = inputs.short_enough(st.text_input(_label(header), key="overview input"))
    text = given.strip()
    with suppress(VocabularyError):  # lower the case if the vocabulary has the lower-case letters
        header.source_vocabulary.encode(text.lower())
        text = text.lower()
    inputs.take(header, text)
    state["overview shown"] = state["overview input"], current.model(), text
    return entry, text


def _label(header: Header) -> str:
    if header.data.task == SHOWN:
        return "Type a name or a word, real or made up: the model says how it sounds"
    if header.data.task not in TASKS:
        return "Input"
    title = title_of(header.data.task, (example.source for example in header.examples))
    return f"Input for “{title}”"


@dataclass(frozen=True)
class _Answer:
    """An answer as it is drawn; ``weights`` is [written, source]."""

    sentence: str
    source: list[str]
    written: list[str]
    weights: list[list[float]]
    boxes: list[MapBox]
    layers: dict[str, int]


def answer(entry: Listed, text: str) -> None:
    """Draw the answer, whether it is right, and its attention."""
    said = _answer(entry, key_of(entry.path), text)
    st.markdown(said.sentence)
    word_map(
        said.source, said.written, said.weights, said.boxes, said.layers, key=MAP, on_open=_open
    )


@lru_cache(maxsize=16)
def _answer(entry: Listed, key: Key | None, text: str) -> _Answer:
    """Compute an answer. Cached: most clicks keep the word, and a class starts with the same one.

    Args:
        key: the file's present key, so that a changed file is read again.
    """
    from pages.components.overview.numbers import map_boxes
    from pages.components.shared.inspection import inspect, visible_tokens

    checkpoint = session.load(entry)
    found = inspect(checkpoint, text)
    weights, boxes = map_boxes(checkpoint, found)
    config = checkpoint.config
    return _Answer(
        _sentence(checkpoint, own_pairs(entry.path), text, found),
        visible_tokens(checkpoint.source_vocabulary.tokens, found.source),
        visible_tokens(checkpoint.target_vocabulary.tokens, found.written[:MOST_SHOWN]),
        weights[:MOST_SHOWN],
        boxes,
        {"encoder": config.num_encoder_layers, "decoder": config.num_decoder_layers},
    )


def _sentence(checkpoint: "Checkpoint", pairs: Path | None, text: str, found: "Inspection") -> str:
    says = "It says" if checkpoint.task == SHOWN else "It writes"
    told = f"{says} {verbatim(found.output)}{_as_in(found.output, checkpoint.task)}"
    target = known_target(checkpoint, text, found.output)
    if target is not None:
        told += ", which is right" if target == found.output else f"; right is {verbatim(target)}"
    if not found.complete:
        told += f". It wrote no end, and was cut after {len(found.written)} tokens"
    return f"{told}. {seen_in_training(checkpoint, pairs, text)}".rstrip()


def _as_in(sounds: str, task: str) -> str:
    """Example words for the first sounds with unclear names, in brackets; "" if there are none."""
    known = [sound for sound in dict.fromkeys(sounds.split()) if sound in WORDS][:EXPLAINED]
    told = ", ".join(f"{sound} as in *{WORDS[sound]}*" for sound in known)
    return f" ({told})" if told and task == SHOWN else ""


def next_steps() -> None:
    """Links to other pages, which open on the same model and input."""
    with st.container(horizontal=True, vertical_alignment="center", key="next-steps"):
        st.markdown("**Next**", width="content")
        link_to("Attention", "See every head at work on it", current.query())
        link_to("Decode", "Write it token by token", current.query())
        link_to("Train", "Train a model of your own")


def _open() -> None:
    st.session_state["open box"] = st.session_state[MAP]["open"]


def open_box() -> None:
    """Before the page: if a box of the drawing was clicked, open it on the Learn page."""
    if name := st.session_state.pop("open box", None):
        st.switch_page("pages/learn.py", query_params={**current.query(), "box": name})
