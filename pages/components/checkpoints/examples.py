"""The examples in a checkpoint's file, with its outputs from when it was saved."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pandas as pd
import streamlit as st

from pages.components.shell.models import Listed
from transformer.checkpoint.header import Example
from transformer.config import DataConfig
from transformer.errors import UserError
from transformer.tasks import Pair, Task, build_task
from transformer.vocabulary.vocabulary import visible

if TYPE_CHECKING:
    from transformer.checkpoint import Checkpoint


@st.cache_resource(max_entries=8)
def _judge(data: DataConfig) -> Task | None:
    """The task, which judges outputs; None if it cannot be built without its own pairs."""
    try:
        return build_task(data)
    except UserError:
        return None


def panel(entry: Listed, checkpoint: "Checkpoint") -> None:
    """Draw the table of examples."""
    found, summary = checkpoint.header.examples, checkpoint.summary
    if not found:
        st.info("This file brings no examples. Try an input of your own on the Decode page.")
        return
    kind = "Examples"
    if summary is not None:
        training = "Training" if summary.evaluated_on_training_pairs else "Held-out"
        kind = f"{training} examples"
    st.markdown(f"{kind}, as the model answered them when it was saved.")
    columns = {
        "Input": [visible(one.source) for one in found],
        "Target": [visible(one.target) for one in found],
        "Output": [visible(one.output) for one in found],
        "Right": _right(found, _judge(checkpoint.header.data)),
    }
    if not any(one.target for one in found):  # an imported model, whose targets are not known
        del columns["Target"], columns["Right"]
    st.dataframe(pd.DataFrame(columns), hide_index=True)


def _right(found: Sequence[Example], task: Task | None) -> list[str]:
    return [
        "✓"
        if (
            task.is_right(Pair(one.source, one.target), one.output)
            if task is not None
            else one.target == one.output
        )
        else "✗"
        for one in found
    ]
