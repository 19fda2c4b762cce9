"""Loss and exact match while a model trains; the zoom survives every new point."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import streamlit as st

HERE = Path(__file__).parent


@st.cache_resource
def _component() -> Callable[..., object]:
    return st.components.v2.component(
        "live_curve",
        html='<div class="curves"></div>',
        css=(HERE / "live_curve.css").read_text("utf-8"),
        js=(HERE / "live_curve.js").read_text("utf-8"),
    )


def live_curve(curves: Mapping[str, Any], *, key: str) -> None:
    """Draw the curves of one run.

    Args:
        curves: "train", "evaluation" and "exact": lists of [step, value]; "untrained" and
            "uniform": losses of the baselines or None; "steps": the planned end of the axis;
            "evaluated_on": what the evaluation uses, in a few words.
    """
    _component()(data=dict(curves), key=key)
