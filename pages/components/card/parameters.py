"""Where the parameters of a model are: bars, and the same as a table with how each comes about."""

from typing import TYPE_CHECKING

import pandas as pd
import streamlit as st

from pages.components.session import Listed
from pages.components.text import compact, percent
from transformer.parameters import parameters_by_part

if TYPE_CHECKING:
    from transformer.checkpoint import Checkpoint


def panel(entry: Listed, checkpoint: "Checkpoint") -> None:
    """Bars and table."""
    from transformer.checkpoint_figures import bars

    config = checkpoint.config
    parts, total = parameters_by_part(config), config.num_parameters
    left, right = st.columns(2, gap="large")
    with left:
        st.plotly_chart(
            bars(
                [part.title for part in parts],
                [part.count for part in parts],
                [f"{compact(part.count)}, {percent(part.count / total)}" for part in parts],
                title=f"{total:,} parameters",
                value_title="parameters",
            ),
            key="parameters bars",
            config={"displayModeBar": False},
        )
    with right:
        rows = [
            {
                "Part": part.title,
                "Parameters": f"{part.count:,}",
                "How it comes about": part.formula,
            }
            for part in parts
        ]
        rows.append({"Part": "Together", "Parameters": f"{total:,}", "How it comes about": ""})
        st.table(pd.DataFrame(rows).set_index("Part"), border="horizontal")
