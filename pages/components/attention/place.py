"""The explorer's state, in the address so that a link opens the same view."""

from typing import TYPE_CHECKING

import streamlit as st

from pages.components.shell import address
from pages.components.shell.address import Message, Place
from transformer.analysis.heads import Head, all_heads, shown_first
from transformer.config import TransformerConfig

if TYPE_CHECKING:
    from transformer.checkpoint import Checkpoint

FIELDS = (
    *("head", "view", "with", "alone", "off", "cell", "hide", "tokens", "show", "shade"),
    "without",
)
"""The values of the state, by their names in the explorer's script, in its order."""
PLACE = Place("place", "explorer", dict(zip(FIELDS, FIELDS, strict=True)))
NONE = "none"


def read(checkpoint: "Checkpoint") -> Message:
    """Before the explorer: its state from the address, as one message to the component."""
    now = {field: st.query_params.get(field, "") for field in FIELDS}
    known = {field: st.session_state.get(f"address {field}") or "" for field in FIELDS}
    # A link from another page sets the whole state: what it leaves out is empty. Without any of
    # the values, the user comes back to the state that they left.
    if address.arrived() and any(now.values()) and now != known:
        for field, value in now.items():
            st.session_state[field] = st.session_state[f"address {field}"] = value
    for field in FIELDS:
        address.read(field, "")
    before, model = st.session_state.get("heads off in"), checkpoint.header.sha256
    linked = now["without"] and (address.arrived() or address.followed())
    if before not in (None, model) and not linked:
        st.session_state["without"] = ""  # these were heads of another model
    st.session_state["heads off in"] = model
    if address.arrived() and st.query_params.get("panel") == "cause" and not now["without"]:
        # Older links open this panel without naming heads, and mean the one on screen.
        st.session_state["without"] = str(chosen_head(checkpoint.config) or "")
    return PLACE.message()


def heads_off(config: TransformerConfig) -> list[Head]:
    """The heads switched off, in the order of the model; unknown names are ignored."""
    named = set(st.session_state["without"].split(" "))
    return [head for head in all_heads(config) if str(head) in named]


def keep_heads_off() -> None:
    """Write the heads that are switched off into the address, or NONE if no head is off: ``read``
    treats an address without this field as an older link."""
    address.write("without", st.session_state["without"] or NONE)


def write() -> None:
    """After the explorer: write its state into the address."""
    for field in FIELDS:
        address.write(field, st.session_state[field])


def remember() -> None:
    """The explorer's callback: store its new state."""
    PLACE.store(st.session_state["explorer"]["place"])


def ask_numbers() -> None:
    """The explorer's callback: open the tab with all numbers of a cell."""
    if text := st.session_state["explorer"]["numbers"]:
        PLACE.store(text)
        st.session_state["panel"] = "number"


def go_to(head: Head) -> None:
    """Show this head large; the rest of the state stays."""
    st.session_state["head"] = str(head)


def chosen_head(config: TransformerConfig) -> Head | None:
    """The head shown large; None if a mean over several heads is shown."""
    name = st.session_state["head"]
    try:
        head = Head.parse(name)
    except ValueError:
        return None if "mean" in name else shown_first(config)
    layers = config.num_encoder_layers if head.kind == "encoder" else config.num_decoder_layers
    if head.layer >= layers or head.head >= config.num_heads:
        return shown_first(config)
    return head


def kept_cell(rows: int, columns: int) -> tuple[int, int] | None:
    """Row and column of the cell that the user clicked, if it is on this map, else None."""
    row, _, column = st.session_state["cell"].partition(".")
    if not (row.isdecimal() and column.isdecimal() and len(row + column) < 10):
        return None
    return (int(row), int(column)) if int(row) < rows and int(column) < columns else None
