"""The form of the Train page: what to learn, how large a model, every setting on demand."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st

from pages.components import address
from pages.components.config_form import config_form
from pages.components.frame import problem
from pages.components.text import plain
from transformer import run_queue
from transformer.config import DataConfig, TrainingConfig, TransformerConfig
from transformer.errors import TaskError
from transformer.limits import Limits
from transformer.presets import PRESETS, prepare
from transformer.runs import Run
from transformer.tasks import SEVEN_PAIRS, TASKS
from transformer.tasks.pairs import parse_pairs, write_pairs

MODEL_FIELDS = [
    *("d_model", "num_heads", "d_ff", "num_encoder_layers", "num_decoder_layers", "dropout"),
    *("activation", "norm_first", "final_norm", "tie_embeddings", "share_embeddings"),
    *("scale_embeddings", "position_layout", "output_bias", "layer_norm_eps", "max_length"),
]
TRAINING_FIELDS = list(TrainingConfig.__dataclass_fields__)


FEW_PAIRS = 100


@dataclass(frozen=True)
class Request:
    """What a person asks to be trained; ``pairs`` is their own text, if any."""

    task: str
    preset: str
    name: str
    data: dict[str, Any] = field(default_factory=dict)
    model: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    pairs: bytes = b""
    comma: bool = False


SEVEN_SENTENCES = Request(
    "pairs",
    "overfit",
    "Seven sentences",
    training={"until_loss": 1e-3},
    pairs=SEVEN_PAIRS.read_bytes(),
)


def start(request: Request, owner: str) -> Run:
    """Create the run, and start its trainer or let it wait for its turn.

    Args:
        owner: the hash of the browser's token.

    Raises:
        ConfigError, TaskError, RunError: something in the request does not fit, or there is no
            room for another run.
    """
    training = {"threads": Limits.from_environment().threads} | request.training
    if not request.pairs:
        _, config = prepare(
            request.task,
            request.preset,
            data=request.data,
            model=request.model,
            training=training,
        )
        return run_queue.submit(config, name=request.name, owner=owner)
    text = write_pairs(parse_pairs(request.pairs, comma=request.comma).pairs)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "data.tsv")
        file.write_text(text, "utf-8")
        _, config = prepare(
            request.task,
            request.preset,
            pairs=file,
            data=request.data,
            model=request.model,
            training=training,
        )
    return run_queue.submit(config, name=request.name, pairs=text, owner=owner)


def form(begin: Callable[[Request], None]) -> None:
    """Draw the form; ``begin`` is called with what a person asks for."""
    first, second, third = st.columns([2, 2, 3], vertical_alignment="top")
    with first:
        address.read("task", next(iter(TASKS)))
        if st.session_state["task"] not in TASKS:
            st.session_state["task"] = next(iter(TASKS))
        task = st.selectbox(
            "Task", list(TASKS), format_func=lambda name: TASKS[name].title, key="task"
        )
        address.write("task", task)
    kind = TASKS[task]
    with second:
        names = [name for name in PRESETS if task == "pairs" or not PRESETS[name].only_pairs]
        preset = st.selectbox(
            "Preset",
            names,
            index=names.index(kind.default_preset),
            format_func=lambda name: (
                name + (" (recommended)" if name == kind.default_preset else "")
            ),
            key=f"preset {task}",
        )
    buttons = third.container(horizontal=True, vertical_alignment="bottom", height=70, border=False)
    trouble = st.container()
    st.caption(
        f"{kind.description} Example: {plain(kind.example.source)} → "
        f"{plain(kind.example.target)}. {PRESETS[preset].description} *Seven sentences* learns "
        "seven English-German pairs by heart, to see that the loss can reach zero."
    )
    pairs, comma = _own_pairs() if task == "pairs" else (b"", False)
    with st.expander("All settings"):
        data, model, training = _settings(task, preset)
    request = Request(task, preset, _name(task, preset), data, model, training, pairs, comma)
    with buttons:
        st.button(
            "Train",
            type="primary",
            on_click=begin,
            args=(request,),
            key="train",
            disabled=task == "pairs" and not pairs,
        )
        st.button(
            "Seven sentences: learn them by heart",
            on_click=begin,
            args=(SEVEN_SENTENCES,),
            key="seven",
        )
    # Shown until what it is about has changed.
    refused = st.session_state.get("training problem")
    if refused is not None and refused[0] in (request, SEVEN_SENTENCES):
        with trouble:
            problem(refused[1])


def _name(task: str, preset: str) -> str:
    return f"{TASKS[task].title} ({preset})"


def _settings(task: str, preset: str) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Every field of the configs, with the preset's values."""
    chosen, kind = PRESETS[preset], TASKS[task]
    recipe = kind.default_training if preset == kind.default_preset else {}
    key = f"{task}.{preset}"
    st.caption("Each setting has its explanation behind the question mark.")
    st.markdown("**Data**")
    data = config_form(DataConfig, chosen.data, list(kind.data_fields), key=key)
    st.markdown("**Model**")
    model = config_form(TransformerConfig, chosen.model, MODEL_FIELDS, key=key)
    st.markdown("**Training**")
    defaults = {**chosen.training, **recipe}
    training = config_form(TrainingConfig, defaults, TRAINING_FIELDS, key=key)
    return data, model, training


def _own_pairs() -> tuple[bytes, bool]:
    """Pairs typed or uploaded, and whether they are CSV; empty while they cannot be used."""
    st.markdown("One pair a line: source, then a tab or `->`, then target. Or a CSV file.")
    uploaded = st.file_uploader("File of pairs (.tsv, .csv or .txt)", key="pairs file")
    typed = st.text_area(
        "Or type or paste pairs here",
        key="pairs text",
        height=140,
        placeholder="good morning -> guten Morgen",
        persist_state="session",
    )
    if uploaded is not None and typed.strip():
        st.caption("The file is used; remove it to use the typed pairs.")
    content = uploaded.getvalue() if uploaded is not None else typed.encode("utf-8", "replace")
    comma = uploaded is not None and uploaded.name.lower().endswith(".csv")
    if not content.strip():
        st.info("The file is empty." if uploaded is not None else "Give some pairs to train on.")
        return b"", False
    try:
        read = parse_pairs(content, comma=comma)
    except TaskError as error:
        problem(error)
        return b"", False
    st.caption(f"Pairs read: {len(read.pairs):,}. Lines left out: {len(read.refused):,}.")
    for line, reason in read.refused[:5]:
        st.caption(f"Line {line}: {plain(reason)}.")
    st.dataframe(pd.DataFrame(read.pairs[:5], columns=["Source", "Target"]), hide_index=True)
    if len(read.pairs) < FEW_PAIRS:
        st.caption(
            "So few pairs can be learned by heart, but not generalised from: choose the preset "
            "*overfit* to train and test on all of them."
        )
    return content, comma
