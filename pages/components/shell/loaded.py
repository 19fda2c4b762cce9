"""Models in memory: each file once, for all sessions that show it."""

import ctypes
import gc
import sys
import threading
import weakref
from collections import OrderedDict
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

import streamlit as st

if TYPE_CHECKING:
    from transformer.checkpoint import Checkpoint

KEPT_BYTES = 64_000_000
"""Of files whose models are kept for the next who opens them, though no session shows them."""
KEPT_MODELS = 40
"""At most, for a small one takes twenty times as much memory as its file has."""
LARGE_BYTES = 16_000_000
"""What gives back memory that is worth the tenth of a second it takes."""
SOON = (1.0, 10.0)
"""Seconds; on a busy server, a page takes longer than the first."""

Key = tuple[str, int, int]
"""A file: its path, when it was changed, and its size."""


class Loaded:
    """Checkpoints by file: those that a session shows, and the last that were, up to a bound."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.shown: WeakValueDictionary[Key, Checkpoint] = WeakValueDictionary()
        self.kept: OrderedDict[Key, Checkpoint] = OrderedDict()
        self.gone = 0
        """Bytes of models that went, and whose memory Python keeps."""

    def load(self, path: Path) -> "Checkpoint":
        from transformer.checkpoint import Checkpoint

        key = key_of(path)
        if key is None:
            return Checkpoint.load(path)  # says what is wrong with the file
        found = self.find(key)
        # Outside the lock: a large file must not keep others from theirs.
        return self._put(key, Checkpoint.load(path)) if found is None else found

    def find(self, key: Key) -> "Checkpoint | None":
        """A checkpoint that is in memory."""
        if self.gone >= LARGE_BYTES:  # its last session has left since
            self.gone = 0
            give_back()
        with self.lock:
            if key in self.kept:
                self.kept.move_to_end(key)
            return self.shown.get(key)

    def put(self, path: Path, loaded: "Checkpoint") -> None:
        """Take a checkpoint that was just written to ``path``, and need not be read again."""
        if (key := key_of(path)) is not None:
            self._put(key, loaded)

    def _put(self, key: Key, loaded: "Checkpoint") -> "Checkpoint":
        with self.lock:
            found = self.shown.setdefault(key, loaded)
            if found is loaded:
                weakref.finalize(loaded, self._went, key[2]).atexit = False
            self.kept[key] = found
            while (
                len(self.kept) > KEPT_MODELS or sum(size for _, _, size in self.kept) > KEPT_BYTES
            ):
                self.kept.popitem(last=False)
            return found

    def _went(self, size: int) -> None:
        self.gone += size  # and no more: this is called from wherever Python collects garbage


def key_of(path: Path) -> Key | None:
    """None of a file that is gone."""
    try:
        stat = path.stat()
    except OSError:
        return None
    return str(path), stat.st_mtime_ns, stat.st_size


@st.cache_resource
def loaded() -> Loaded:
    return Loaded()


def give_back_soon(size: int) -> None:
    """Return memory to the system, once so many bytes were let go and the page is drawn: until
    then, its fragments of before hold what they were drawn with."""
    if size < LARGE_BYTES:
        return
    for wait in SOON:
        timer = threading.Timer(wait, give_back)
        timer.daemon = True
        timer.start()


def give_back() -> None:
    """Return to the system what memory is free."""
    gc.collect()
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):  # another C library keeps what it has
            ctypes.CDLL(None).malloc_trim(0)
