"""The card's parts below its first glance; the address names the one that is open."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import streamlit as st

from pages.components.checkpoints import (
    averaging,
    comparison,
    examples,
    parameters,
    training,
    vocabulary,
)
from pages.components.shared.panels import open_panel
from pages.components.shell import address
from pages.components.shell.models import Listed

if TYPE_CHECKING:
    from transformer.checkpoint import Checkpoint

PANELS: "dict[str, tuple[str, Callable[[Listed, Checkpoint], None]]]" = {
    "examples": ("Examples", examples.panel),
    "training": ("Training", training.panel),
    "parameters": ("Parameters", parameters.panel),
    "vocabulary": ("Vocabulary", vocabulary.panel),
    "average": ("Average", averaging.panel),
    "compare": ("Compare", comparison.panel),
}


@st.fragment
def panels(entry: Listed, checkpoint: "Checkpoint") -> None:
    """The chooser, and the part chosen. A fragment: the card above it stays as it is."""
    averaging.follow_kept()
    if "compare" in st.query_params and "card" not in st.query_params:
        st.session_state["card"] = "compare"  # a link to a comparison opens it
    chosen = open_panel("More about this checkpoint", PANELS, "card", entry, checkpoint)
    if chosen != "compare":
        address.write("compared card", "")
        # Nothing is kept: the next comparison begins with the one that is proposed.
        for name in ("compared card", "kept compared card"):
            st.session_state.pop(name, None)
