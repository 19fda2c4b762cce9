"""What one browser session holds: its own model, its choice of checkpoint, its address."""

import gc
import threading
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st

from pages.components import uploads
from pages.components.text import plain
from transformer import runs

if TYPE_CHECKING:
    from transformer.checkpoint import Checkpoint

BUNDLED = Path(__file__).parents[2] / "checkpoints"
CACHE_BYTES = 1_000_000_000
"""Weights kept in memory for all sessions together."""
ADDRESS_LIMIT = 400
"""Longer values stay out of the address, which browsers and mail programs would cut."""


# --- torch -------------------------------------------------------------------------------


@st.cache_resource
def _torch_lock() -> threading.Lock:
    return threading.Lock()


@st.cache_resource
def _torch_ready() -> threading.Event:
    return threading.Event()


def use_torch() -> None:
    """Import what needs torch, once a server. One thread: trainers want the other cores."""
    with _torch_lock():
        if _torch_ready().is_set():
            return
        import torch

        import transformer.checkpoint  # noqa: F401

        torch.set_num_threads(1)
        # Streamlit collects garbage after every script run; torch's hundreds of thousands of
        # objects would make that the slowest part of each click.
        gc.collect()
        gc.freeze()
        _torch_ready().set()


def torch_is_ready() -> bool:
    return _torch_ready().is_set()


@st.cache_resource
def _warm_up_once() -> threading.Thread:
    thread = threading.Thread(target=use_torch, name="import-torch", daemon=True)
    thread.start()
    return thread


def warm_up() -> None:
    """Import torch in the background, so that the next page has it already."""
    # Made here, on the script's thread: their caches need its context.
    _torch_lock(), _torch_ready()
    _warm_up_once()


# --- the address ------------------------------------------------------------------------


def from_address(key: str, default: str) -> None:
    """Before a widget with this key: its value comes from the address, if that has changed,
    else from what it was, on this page or another, else it is the default."""
    address = st.query_params.get(key)
    if address is not None and address != st.session_state.get(f"address {key}"):
        value = address
    else:
        value = st.session_state.get(key, st.session_state.get(f"kept {key}", default))
    # Set even if it is there: the value of another page's widget would not pass to this one's.
    st.session_state[key] = value


def to_address(key: str, value: str) -> None:
    """After the widget: write its value into the address, so that the view can be linked."""
    st.session_state[f"kept {key}"] = value
    st.session_state[f"address {key}"] = value
    if value and len(value) <= ADDRESS_LIMIT:
        if st.query_params.get(key) != value:
            st.query_params[key] = value
    elif key in st.query_params:
        del st.query_params[key]


@dataclass(frozen=True)
class Told:
    """What a component that keeps its own choice is told to show; a new turn overrides it."""

    value: str
    turn: int


def report(key: str, value: str) -> None:
    """In a component's callback: keep what the person chose there."""
    st.session_state[key] = st.session_state[f"shown {key}"] = value


def tell(key: str, component: str) -> Told:
    """What to tell the component: something new only where it does not show the value already.

    Telling a component what it reported before would undo what the person did since.
    """
    value: str = st.session_state[key]
    told = st.session_state.get(f"told {key}", Told("", 0))
    if component not in st.session_state or value != st.session_state.get(f"shown {key}"):
        told = Told(value, told.turn + 1)
        st.session_state[f"told {key}"] = told
        st.session_state[f"shown {key}"] = value
    return told


# --- checkpoints ------------------------------------------------------------------------


@dataclass(frozen=True)
class Listed:
    """A checkpoint that can be chosen: its name in the address, on screen, and its file."""

    id: str
    label: str
    path: Path
    origin: str


def listed_checkpoints() -> dict[str, Listed]:
    """Bundled checkpoints, then those of runs, newest first, then uploads."""
    found = [
        Listed(path.stem, f"{path.stem} (bundled)", path, "bundled")
        for path in sorted(BUNDLED.glob("*.safetensors"))
    ]
    for run in runs.list_runs():
        for path in reversed(run.checkpoints()):
            step = path.stem.removeprefix("step-")
            name = run.about()["name"] or run.id
            label = f"{name}, step {int(step):,} (run)"
            found.append(Listed(f"run-{run.id}-{step}", label, path, "run"))
    for upload in uploads.kept():
        found.append(
            Listed(
                f"upload-{upload.sha256[:16]}", f"{upload.name} (uploaded)", upload.path, "upload"
            )
        )
    return {entry.id: entry for entry in found}


def choose_checkpoint() -> Listed | None:
    """The widget that chooses a checkpoint; None while there is nothing sensible to show."""
    entries = listed_checkpoints()
    if not entries:
        st.info("There is no checkpoint yet. Train a model first, or upload a checkpoint.")
        return None
    from_address("checkpoint", next(iter(entries)))
    chosen = choose(
        "Checkpoint", {name: entry.label for name, entry in entries.items()}, "checkpoint"
    )
    return None if chosen is None else entries[chosen]


def choose(label: str, options: dict[str, str], key: str) -> str | None:
    """A select box over ids and their labels, its choice in the address.

    An id that a link names and that is not there is named as missing, never replaced by
    another; None until the person has chosen one that is.
    """
    wanted = st.session_state[key]
    if wanted not in options:
        if wanted:
            st.warning(
                f"The {label.lower()} {plain(str(wanted)[:60])} is not here. It may have been "
                "deleted, or belong to another server. Choose one that is."
            )
        st.session_state[key] = None
    chosen = st.selectbox(
        label,
        list(options),
        # Without an index the box can be emptied; that is of use only while nothing is chosen.
        index=None if st.session_state[key] is None else 0,
        format_func=options.__getitem__,
        key=key,
        placeholder="Choose one",
    )
    if chosen is not None:
        to_address(key, chosen)
    return chosen


class _Cache:
    """Loaded checkpoints by file, the least recently used dropped beyond CACHE_BYTES."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.entries: OrderedDict[tuple[str, int, int], Checkpoint] = OrderedDict()

    def load(self, path: Path) -> "Checkpoint":
        from transformer.checkpoint import Checkpoint

        try:
            stat = path.stat()
        except OSError:
            return Checkpoint.load(path)  # says what is wrong with the file
        key = (str(path), stat.st_mtime_ns, stat.st_size)
        with self.lock:
            if key not in self.entries:
                self.entries[key] = Checkpoint.load(path)
                gc.freeze()
            self.entries.move_to_end(key)
            while len(self.entries) > 1 and sum(name[2] for name in self.entries) > CACHE_BYTES:
                self.entries.popitem(last=False)
            return self.entries[key]


@st.cache_resource
def _cache() -> _Cache:
    return _Cache()


def load(entry: Listed) -> "Checkpoint":
    """This session's own module objects over weights that all sessions share.

    Raises:
        CheckpointError: the file is damaged or gone.
    """
    if not torch_is_ready():
        with st.spinner("Loading PyTorch, once after the start of the app: about 3 s…"):
            use_torch()
    shared = _cache().load(entry.path)
    own: tuple[Checkpoint, Checkpoint] | None = st.session_state.get("own checkpoint")
    if own is None or own[0] is not shared:
        own = (shared, shared.twin())
        st.session_state["own checkpoint"] = own
    return own[1]
