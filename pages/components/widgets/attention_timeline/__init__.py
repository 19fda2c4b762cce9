"""The time slider: drag along the loss curve and watch every head form.

All moments of one example are sent once, as bytes, so that moving between them needs no server.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import streamlit as st

from pages.components.shell import address, mount
from pages.components.shell.loaded import Key, key_of
from pages.components.shell.mount import Widget
from pages.components.shell.sidebar import link_to
from pages.components.shell.text import plain
from transformer.errors import UserError
from transformer.runs.attention import KINDS, RECORDS, AttentionHistory
from transformer.runs.directory import ACTIVE, Run
from transformer.runs.metrics import EARLY, Samples, early_axis, thinned
from transformer.vocabulary.vocabulary import printable

WIDGET = Widget("attention_timeline", ("charts", "colours", "maps"))
TITLES = {
    "encoder": "Encoder self-attention",
    "decoder": "Decoder self-attention",
    "cross": "Cross-attention",
}
CURVE_POINTS = 300
LABEL = 40
"""Maximum number of characters of an example's text in the list of examples."""


def attention_timeline(
    run: Run,
    curves: Mapping[str, Any],
    samples: Sequence[Samples],
    look_for: str,
    *,
    key: str,
) -> None:
    """Draw the slider, and links to the checkpoints, which give exact values.

    Args:
        curves: from ``History.curves``: "train", "evaluation", "untrained", "uniform", "unigram",
            "steps", "evaluated_on".
        samples: the entries of samples.jsonl.
        look_for: which pattern to look for, in a sentence.
    """
    try:
        history = _history(str(run.path.resolve()), key_of(run.path / RECORDS))
    except UserError as error:
        st.warning(plain(str(error)))
        return
    if history is None:
        if run.status().state in ("queued", *ACTIVE):
            st.caption("The first attention maps appear when the untrained model is measured.")
        else:
            st.caption("No attention was recorded while this model trained.")
        return
    if history.note:
        st.info(plain(history.note))
        return
    if not len(history.steps):
        st.caption("The first attention maps appear when the untrained model is measured.")
        return
    state = st.session_state.get(key) or {}
    chosen = state.get("example", 0)
    example = chosen if type(chosen) is int and 0 <= chosen < len(history.examples) else 0
    drawn = sum(entry["step"] <= history.steps[-1] for entry in samples)
    WIDGET.draw(
        data=_packed(
            str(run.path.resolve()),
            key_of(run.path / RECORDS),
            example,
            drawn,
            _history=history,
            _run_id=run.id,
            _curves=curves,
            _samples=samples,
            look_for=look_for,
        ),
        key=key,
        on_example_change=lambda: None,
        default={"example": example},
    )
    _links(run, history.examples[example].text)


@st.cache_resource(max_entries=8, show_spinner=False)
def _history(folder: str, records: Key | None) -> AttentionHistory | None:
    """The recorded attention of a run, read again when its file has changed; None without one."""
    return AttentionHistory.load(Path(folder))


@st.cache_data(max_entries=16, show_spinner=False)
def _packed(
    folder: str,
    records: Key | None,
    example: int,
    drawn: int,
    *,
    _history: AttentionHistory,
    _run_id: str,
    _curves: Mapping[str, Any],
    _samples: Sequence[Samples],
    look_for: str,
) -> bytes:
    """The message to the browser, made again only after a new moment or evaluation.

    drawn: the number of evaluations up to the last moment.
    """
    return pack(_history, example, _run_id, _curves, _samples, look_for)


def pack(
    history: AttentionHistory,
    example: int,
    run_id: str,
    curves: Mapping[str, Any],
    samples: Sequence[Samples],
    look_for: str,
) -> bytes:
    """The message to the browser: a header, then bytes.

    The bytes are, for all moments: each target token's probability and whether it is right, then
    the weights of each kind. The curves end at the last moment, so that the message changes, and is
    sent again, only when there is a new moment.
    """
    steps, tokens = history.steps.tolist(), history.examples[example]
    sides = {
        "encoder": (tokens.source, tokens.source),
        "decoder": (tokens.written, tokens.read),
        "cross": (tokens.written, tokens.source),
    }
    weights = {kind: history.weights(example, kind) for kind in KINDS}
    header = {
        "run": run_id,
        "example": example,
        "examples": [_label(one.text) for one in history.examples],
        "target": _shown(tokens.written),
        "steps": steps,
        "losses": [
            round(loss, 4) if math.isfinite(loss) else None
            for loss in history.loss(example).tolist()
        ],
        "kinds": [
            {
                "id": kind,
                "title": TITLES[kind],
                "shape": weights[kind].shape[1:],
                "queries": _shown(sides[kind][0]),
                "keys": _shown(sides[kind][1]),
                "causal": kind == "decoder",
            }
            for kind in KINDS
        ],
        "written": _written(samples, tokens.text, steps[-1]),
        "curves": {
            name: thinned(
                [point[:2] for point in curves[name] if point[0] <= steps[-1]],
                CURVE_POINTS,
                lambda point: early_axis(point[0]),
            )
            for name in ("train", "evaluation")
        },
        "baselines": {name: curves.get(name) for name in ("untrained", "uniform", "unigram")},
        "planned": curves["steps"],
        "early": EARLY,
        "evaluated_on": curves["evaluated_on"],
        "look_for": look_for,
    }
    parts = [history.probability(example), history.right(example), *weights.values()]
    return mount.pack(header, (part.astype(np.uint8, copy=False) for part in parts))


def _shown(tokens: Sequence[str]) -> list[str]:
    return [printable(token) for token in tokens]


def _label(text: str) -> str:
    shown = " ".join(printable(word) for word in text.split(" "))
    return shown if len(shown) <= LABEL else shown[: LABEL - 1] + "…"


def _written(samples: Sequence[Samples], text: str, last: int) -> list[tuple[int, list[str], bool]]:
    """The model's own output for an example at each evaluation: step, tokens, whether right."""
    return [
        (entry["step"], _shown(sample["output"]), sample["right"])
        for entry in samples
        if entry["step"] <= last
        for sample in entry["samples"]
        if sample["source"] == text
    ]


def _links(run: Run, text: str) -> None:
    """Draw links to the run's checkpoints, whose attention is exact."""
    steps = [int(path.stem.removeprefix("step-")) for path in run.checkpoints()]
    if not steps:
        return
    with st.container(horizontal=True, vertical_alignment="center", gap="xsmall"):
        st.markdown(
            "**Exact maps** of what it writes:",
            width="content",
            help="The maps above are rounded, to 1/255, and read the true target.",
        )
        for step in steps:
            query = {"checkpoint": f"run-{run.id}-{step}"}
            query |= {"input": text} if len(text) <= address.LIMIT else {}
            link_to("Attention", f"step {step:,}" if step else "step 0, untrained", query)
