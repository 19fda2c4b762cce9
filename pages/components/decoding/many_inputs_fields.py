"""Fields for many inputs, typed or in a file, and the inputs entered last."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import streamlit as st

from pages.components.shell.frame import problem
from pages.components.shell.text import plain, verbatim
from pages.components.shell.uploaded import in_field
from transformer.errors import TaskError, UserError
from transformer.tasks.own_pairs.encodings import NAMES
from transformer.tasks.own_pairs.inputs import MAX_BYTES, MAX_INPUTS, Inputs, parse_inputs
from transformer.tasks.own_pairs.layout import ARROW, as_line

if TYPE_CHECKING:
    from transformer.checkpoint import Checkpoint

ENTERED, TYPED, FILE = "batch inputs", "batch text", "batch file"
"""Keys in session state: the last inputs, as :class:`EnteredInputs` or a UserError; the two
fields."""


@dataclass(frozen=True)
class EnteredInputs:
    """Inputs, and the name of their file; empty if they were typed."""

    name: str
    inputs: Inputs


def input_fields(checkpoint: "Checkpoint") -> None:
    """Draw the fields for inputs; :func:`entered` returns what is in them."""
    example = _example(checkpoint)
    st.markdown(
        f"One input a line, up to {MAX_INPUTS:,}. Where you know the right output, write it after "
        f"{verbatim(ARROW)} with a space on either side, or after a tab: outputs are then compared "
        f"with it.{f' For example: {verbatim(example)}' if example else ''}"
    )
    left, right = st.columns(2)
    with left:
        st.text_area(
            "Type or paste inputs here",
            key=TYPED,
            height=140,
            placeholder=example or "one input a line",
            persist_state="session",
            on_change=_typed,
        )
    with right:
        st.file_uploader(
            "Or a file of inputs (.txt or .tsv, in UTF-8)",
            type=["txt", "tsv", "tab"],
            key=FILE,
            max_upload_size=MAX_BYTES // 1_000_000,
            on_change=_uploaded,
        )


def entered() -> EnteredInputs | UserError | None:
    """The last inputs, or the error in them; None if there are none yet."""
    found: EnteredInputs | UserError | None = st.session_state.get(ENTERED)
    return found


def draw_summary(found: EnteredInputs | UserError | None) -> None:
    """Draw what was read. Call it below all buttons: when this line appears, no button may move
    away while it is being clicked."""
    if isinstance(found, UserError):
        problem(found)
    elif found is not None:
        st.caption(_summary(found.name, found.inputs))


def _example(checkpoint: "Checkpoint") -> str:
    """A line that could be typed: the model's first example with a target; "" without one."""
    pairs = ((one.source, one.target) for one in checkpoint.header.examples)
    return next((f"{source} {ARROW} {target}" for source, target in pairs if target), "")


def restore_inputs(last: EnteredInputs) -> None:
    """Before :func:`input_fields`, in a new session: restore inputs as if entered in it."""
    if ENTERED in st.session_state:
        return
    st.session_state[ENTERED] = last
    if not last.name:
        lines = (as_line(one.text, one.target) for one in last.inputs.inputs)
        st.session_state[TYPED] = "\n".join(lines)


def _typed() -> None:
    text = st.session_state[TYPED]
    if text.strip():
        _enter("", text.encode("utf-8", "replace"))
    else:
        st.session_state.pop(ENTERED, None)


def _uploaded() -> None:
    file = in_field(FILE)
    if file is None:  # removed: the typed inputs count again
        _typed()
    elif file.size > MAX_BYTES:
        sentence = f"{file.name} is larger than {MAX_BYTES // 1_000_000} MB; bring it in parts."
        st.session_state[ENTERED] = TaskError(sentence)
    else:
        _enter(file.name, file.getvalue())


def _enter(name: str, content: bytes) -> None:
    try:
        st.session_state[ENTERED] = EnteredInputs(name, parse_inputs(content))
    except UserError as error:
        st.session_state[ENTERED] = error


def _summary(name: str, inputs: Inputs) -> str:
    """What was read, in a sentence or two."""
    count, unusable = len(inputs.inputs), sum(bool(one.problem) for one in inputs.inputs)
    said = [
        f"{count:,} {'input' if count == 1 else 'inputs'}"
        + (f" from {plain(name)}" if name else "")
        + (f", {inputs.targets:,} with a target." if inputs.targets else ".")
    ]
    if inputs.extra:
        said.append(f"Lines with more than two cells: {inputs.extra:,}; only two cells are used.")
    if unusable:
        said.append(f"Of these too long to be read: {unusable:,}.")
    if inputs.encoding != "utf-8":
        said.append(f"Read as {NAMES[inputs.encoding]}; if letters look wrong, save it as UTF-8.")
    return " ".join(said)
