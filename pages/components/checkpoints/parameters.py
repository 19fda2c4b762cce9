"""Where a model's parameters are: bars by part, and a table with the formulas."""

from typing import TYPE_CHECKING

import pandas as pd
import streamlit as st

from pages.components.shell.models import Listed
from pages.components.shell.text import compact, percent
from transformer.config import TransformerConfig
from transformer.config.architecture import parameters_by_part

if TYPE_CHECKING:
    from transformer.checkpoint import Checkpoint


def chart(config: TransformerConfig) -> None:
    """Draw one bar for each part, in the order in which data passes through the parts."""
    from transformer.figures.curves import bars

    parts, total = parameters_by_part(config), config.num_parameters
    st.plotly_chart(
        bars(
            [part.title for part in parts],
            [part.count for part in parts],
            [f"{compact(part.count)}, {percent(part.count / total)}" for part in parts],
            title=f"{total:,} parameters by part",
            value_title="parameters",
        ),
        key="parameters bars",
        config={"displayModeBar": False},
    )


def panel(entry: Listed, checkpoint: "Checkpoint") -> None:
    """Draw the bars and the table."""
    config = checkpoint.config
    chart(config)
    total = config.num_parameters
    rows = [
        {
            "Part": part.title,
            "Parameters": f"{part.count:,}",
            "Share": percent(part.count / total),
            "How it comes about": part.formula,
        }
        for part in parameters_by_part(config)
    ]
    rows.append(
        {"Part": "Together", "Parameters": f"{total:,}", "Share": "", "How it comes about": ""}
    )
    st.table(pd.DataFrame(rows).set_index("Part"), border="horizontal")
