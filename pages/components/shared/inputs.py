"""The input field of a model, with examples to choose from."""

from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

import streamlit as st

from pages.components.shell import address, current, session
from pages.components.shell.text import verbatim
from transformer.checkpoint.header import Header
from transformer.errors import VocabularyError
from transformer.tasks import out_of_form
from transformer.vocabulary.vocabulary import printable, visible

if TYPE_CHECKING:
    from transformer.checkpoint import Checkpoint

MAX_CHARACTERS = 10_000


def checkpoint_and_text() -> "tuple[Checkpoint, str] | None":
    """Draw the first row of Attention and Decode; None until there are a model and an input.

    Raises:
        CheckpointError: the chosen file is damaged or gone.
        VocabularyError: the text is too long for the field.
    """
    with st.container(key="model-and-input"):
        left, middle, right = st.columns([4, 4, 3])
    with left:
        entry = session.choose_checkpoint()
    if entry is None:
        return None
    checkpoint = session.load(entry)
    with right:
        example_field(checkpoint)
    with middle:
        text = source_text(checkpoint)
    unknown_note(checkpoint, text)
    if not text:
        _ask(checkpoint)
        return None
    return checkpoint, text


def _ask(checkpoint: "Checkpoint") -> None:
    """Ask for an input: an imported model has no example to start with."""
    vocabulary = checkpoint.source_vocabulary
    special = set(vocabulary.special)
    known = [token for number, token in enumerate(vocabulary.tokens) if number not in special]
    named = " ".join(verbatim(printable(token)) for token in known[:8])
    more = " …" if len(known) > 8 else ""
    st.info(f"Type an input above, from tokens that this model knows: {named}{more}")


def source_text(checkpoint: "Checkpoint") -> str:
    """The input field, which opens on one of the checkpoint's own examples."""
    examples = [example.source for example in checkpoint.header.examples]
    # An input for one checkpoint rarely suits another: start from its own example.
    owner = checkpoint.header.sha256
    known = st.session_state.get("input belongs to")
    if known not in (None, owner) and not _passes_on(checkpoint):
        # Set in both: else it would seem typed by the user, and override an input in the address.
        st.session_state["input"] = st.session_state["kept input"] = examples[0] if examples else ""
    address.read("input", examples[0] if examples else "")
    # No `max_chars` for text fields: Streamlit would ignore a longer paste without a message.
    text = short_enough(st.text_input("Input", key="input"))
    address.write("input", text)
    take(checkpoint.header, text)
    return text


def short_enough(text: str) -> str:
    """The text, unchanged.

    Raises:
        VocabularyError: it has more than MAX_CHARACTERS.
    """
    if len(text) > MAX_CHARACTERS:
        raise VocabularyError(
            f"This text has {len(text):,} characters; at most {MAX_CHARACTERS:,} are read here. "
            "Shorten it."
        )
    return text


def take(header: Header, text: str) -> None:
    """Make a text the current input of a model, on every page that shows this model."""
    st.session_state["kept input"] = text
    st.session_state["input belongs to"] = header.sha256
    st.session_state["input is of"] = _kind(header)
    current.set_input(text)


def _passes_on(checkpoint: "Checkpoint") -> bool:
    """Whether the current input suits this model, too, as another snapshot of the same run."""
    return bool(st.session_state.get("input is of") == _kind(checkpoint.header))


def _kind(header: Header) -> tuple[object, object]:
    return header.data, header.source_vocabulary


def place_box(label: str, tokens: Sequence[str], key: str, usual: int = 0) -> int:
    """A field that chooses one of the tokens, counted from 1 on screen and in the address.

    Returns:
        the token's index, from 0.
    """
    options = [str(number) for number in range(1, len(tokens) + 1)]
    address.read(key, options[usual], options)
    chosen: str = st.selectbox(
        label, options, format_func=lambda number: f"{number}: {tokens[int(number) - 1]}", key=key
    )
    address.write(key, chosen)
    return int(chosen) - 1


def unknown_note(checkpoint: "Checkpoint", text: str) -> None:
    """Say what the model reads differently from what was typed, and if no text of its task has
    this form."""
    if text and (unusual := out_of_form(checkpoint.header.data, text)):
        st.caption(unusual)
    if checkpoint.source_vocabulary.as_trained(text) not in (text, " ".join(text.split())):
        st.caption(
            "Some letters are read as the code points that this model knows; they look the same."
        )
    with suppress(VocabularyError):  # reported where the text is encoded
        names = checkpoint.source_vocabulary.unknown(text)
        if names:
            listed = ", ".join(verbatim(printable(name)) for name in names[:5])
            more = f" and {len(names) - 5} more" if len(names) > 5 else ""
            vocabulary = checkpoint.source_vocabulary
            token = verbatim(vocabulary.tokens[vocabulary.special.unk])
            st.caption(f"This model does not know {listed}{more}, and reads {token} instead.")


def example_field(checkpoint: "Checkpoint") -> None:
    """A few held-out examples; the one chosen goes into the input field."""
    examples = [example.source for example in checkpoint.header.examples[:5]]
    if not examples:
        return

    def fill() -> None:
        st.session_state["input"] = examples[st.session_state["example"]]
        st.session_state["example"] = None  # so that it can be chosen again later

    st.selectbox(
        "Examples",
        range(len(examples)),
        index=None,
        format_func=lambda number: visible(examples[number])[:200],
        key="example",
        on_change=fill,
        placeholder="Try one",
    )
