"""A Streamlit script that draws one run, for the time slider's test and benchmark.

It draws the newest run in runs/, or the one named by ``?run=``. With ``?live`` it is drawn again
every second, as the Train page is while a run is active.
"""

import sys
from pathlib import Path

import streamlit as st

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from pages.components.runs.samples import answers_view
from pages.components.shell.frame import STYLE
from pages.components.widgets.attention_timeline import attention_timeline
from pages.components.widgets.live_curve import live_curve
from transformer.runs.directory import ROOT, Run, list_runs
from transformer.runs.metrics import History
from transformer.tasks import find_task


def draw(run: Run) -> None:
    config = run.config()
    history = History(run.path)
    history.update()
    curves = history.curves(config)
    live_curve(curves, key="curve")
    attention_timeline(
        run,
        curves,
        history.samples,
        find_task(config.data.task).look_for,
        key=f"attention {run.id}",
    )
    answers_view(history.samples)


st.set_page_config(layout="wide")
st.html(STYLE)
st.title("One run")
chosen = Run(ROOT / st.query_params["run"]) if "run" in st.query_params else list_runs()[0]
st.fragment(draw, run_every=1.0 if "live" in st.query_params else None)(chosen)
