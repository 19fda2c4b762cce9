"""The panels below a checkpoint's card; the address names the open one."""

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
    """Draw the chooser and the chosen panel; a fragment, so that the card is not redrawn."""
    averaging.follow_kept()
    if "compare" in st.query_params and "card" not in st.query_params:
        st.session_state["card"] = "compare"  # a link to a comparison opens it
    chosen = open_panel("More about this checkpoint", PANELS, "card", entry, checkpoint)
    if chosen != "compare":
        address.write("compared card", "")
        # The choice is dropped: the next comparison starts with the proposed checkpoint.
        for name in ("compared card", "kept compared card"):
            st.session_state.pop(name, None)
