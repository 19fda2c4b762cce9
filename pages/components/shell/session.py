"""Loading torch once per server, and the models of a browser session."""

import gc
import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st

from pages.components.shell import address, current, model_warnings
from pages.components.shell.loaded import give_back_soon, loaded
from pages.components.shell.models import Listed, first, listed_checkpoints

if TYPE_CHECKING:
    from transformer.checkpoint import Checkpoint

# Before numpy is imported: a second OpenBLAS thread would take a core from trainers, and its busy
# waiting costs ten times what it saves.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


# --- torch -------------------------------------------------------------------------------


@st.cache_resource
def _torch_lock() -> threading.Lock:
    return threading.Lock()


@st.cache_resource
def _torch_ready() -> threading.Event:
    return threading.Event()


def use_torch() -> None:
    """Import torch and what needs it, once per server; one thread, as trainers need the others."""
    with _torch_lock():
        if _torch_ready().is_set():
            return
        import torch

        import transformer.checkpoint.checkpoint  # noqa: F401

        torch.set_num_threads(1)
        # So that garbage collections no longer scan torch's hundreds of thousands of objects.
        gc.collect()
        gc.freeze()
        _torch_ready().set()


def wait_for_torch() -> None:
    """Block until torch is imported; call it once the page has drawn all it can without torch."""
    if not torch_is_ready():
        with st.spinner("Loading PyTorch, once after the start of the app: about 3 s…"):
            use_torch()


def torch_is_ready() -> bool:
    return _torch_ready().is_set()


@st.cache_resource
def _warm_up_once() -> threading.Thread:
    thread = threading.Thread(target=use_torch, name="import-torch", daemon=True)
    thread.start()
    return thread


def warm_up() -> None:
    """Import torch in the background, so that the next page has it already."""
    # Created on the script's thread, because st.cache_resource needs its context.
    _torch_lock(), _torch_ready()
    _warm_up_once()


# --- checkpoints ------------------------------------------------------------------------


def choose_checkpoint() -> Listed | None:
    """Draw the field that chooses a checkpoint; None while no existing one is chosen."""
    entries = listed_checkpoints()
    if not entries:
        st.info("There is no checkpoint yet. Train a model first, or upload a checkpoint.")
        return None
    address.read("checkpoint", current.model() or first(entries) or "")
    current.open_run()
    labels = {name: entry.label for name, entry in entries.items()}
    run, _, step = str(st.session_state["checkpoint"]).rpartition("-")
    why_gone = address.GONE
    if step.isdecimal() and any(name.startswith(f"{run}-") for name in entries):
        why_gone = "Its run keeps the untrained model, the best and the last five."
    chosen = address.choose("Checkpoint", labels, "checkpoint", why_gone)
    if chosen is None:
        return None
    current.follow_shown_model(chosen)
    model_warnings.note_of(entries[chosen].path)
    return entries[chosen]


def remember(path: Path, checkpoint: "Checkpoint") -> None:
    """Cache a checkpoint that was just written, for sessions that open its file."""
    loaded().put(path, checkpoint)


def load(entry: Listed, slot: str = "own") -> "Checkpoint":
    """A listed checkpoint: this session's own module objects over weights that all sessions share.

    Args:
        slot: which of the session's models it becomes: its "own", or the one "compared" with it.

    Raises:
        CheckpointError: the file is damaged or gone.
    """
    wait_for_torch()
    own: tuple[Checkpoint, Checkpoint] | None = st.session_state.get(f"{slot} checkpoint")
    shared = loaded().load(entry.path)
    if own is None or own[0] is not shared:
        st.session_state[f"{slot} checkpoint"] = (shared, shared.view())
        if own is not None:
            size = 4 * own[0].config.num_parameters
            own = None
            st.session_state.pop("untrained model", None)
            give_back_soon(size)
    return st.session_state[f"{slot} checkpoint"][1]


def untrained_model(checkpoint: "Checkpoint") -> "Checkpoint":
    """A checkpoint's model before training; the last one is cached in the session."""
    from transformer.checkpoint.untrained import untrained

    made: tuple[Checkpoint, Checkpoint] | None = st.session_state.get("untrained model")
    if made is None or made[0] is not checkpoint:
        made = (checkpoint, untrained(checkpoint))
        st.session_state["untrained model"] = made
    return made[1]
