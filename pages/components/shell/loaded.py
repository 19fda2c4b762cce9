"""Cache of loaded models: each file once, shared by all sessions that show it."""

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
"""Limit on the total file size, in bytes, of models that stay in memory although no session shows
them, so that the next session that opens one need not load it."""
KEPT_MODELS = 40
"""Limit on the number of such models, because a small model takes twenty times its file's size."""
LARGE_BYTES = 16_000_000
"""Bytes of freed models from which returning memory is worth the tenth of a second it takes."""
SOON = (1.0, 10.0)
"""Seconds after which memory is returned, once for each; a busy server needs longer than the first
to draw a page."""

Key = tuple[str, int, int]
"""A file's path, modification time in ns, and size in bytes."""


class Loaded:
    """Checkpoints by file: all that a session shows, and the most recently used up to a limit."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.shown: WeakValueDictionary[Key, Checkpoint] = WeakValueDictionary()
        self.kept: OrderedDict[Key, Checkpoint] = OrderedDict()
        self.freed_bytes = 0
        """Bytes of freed models whose memory the process has not returned to the system."""

    def load(self, path: Path) -> "Checkpoint":
        from transformer.checkpoint import Checkpoint

        key = key_of(path)
        if key is None:
            return Checkpoint.load(path)  # says what is wrong with the file
        found = self.find(key)
        # Outside the lock: loading a large file must not block other sessions.
        return self._put(key, Checkpoint.load(path)) if found is None else found

    def find(self, key: Key) -> "Checkpoint | None":
        """The checkpoint of a file if it is in memory, else None."""
        if self.freed_bytes >= LARGE_BYTES:  # so much was freed since the last call
            self.freed_bytes = 0
            give_back()
        with self.lock:
            if key in self.kept:
                self.kept.move_to_end(key)
            return self.shown.get(key)

    def put(self, path: Path, loaded: "Checkpoint") -> None:
        """Add a checkpoint that was just written to ``path``, so that it is not read again."""
        if (key := key_of(path)) is not None:
            self._put(key, loaded)

    def _put(self, key: Key, loaded: "Checkpoint") -> "Checkpoint":
        with self.lock:
            found = self.shown.setdefault(key, loaded)
            if found is loaded:
                weakref.finalize(loaded, self._count_freed, key[2]).atexit = False
            self.kept[key] = found
            while (
                len(self.kept) > KEPT_MODELS or sum(size for _, _, size in self.kept) > KEPT_BYTES
            ):
                self.kept.popitem(last=False)
            return found

    def _count_freed(self, size: int) -> None:
        self.freed_bytes += size  # nothing else: finalizers run wherever Python collects garbage


def key_of(path: Path) -> Key | None:
    """A file's key; None if the file is gone."""
    try:
        stat = path.stat()
    except OSError:
        return None
    return str(path), stat.st_mtime_ns, stat.st_size


@st.cache_resource
def loaded() -> Loaded:
    return Loaded()


def give_back_soon(size: int) -> None:
    """Return memory to the system after ``size`` bytes were dropped, if that is worth it.

    It waits until the page is drawn: before that, the page's old fragments still hold the model.
    """
    if size < LARGE_BYTES:
        return
    for wait in SOON:
        timer = threading.Timer(wait, give_back)
        timer.daemon = True
        timer.start()


def give_back() -> None:
    """Return free memory to the operating system."""
    gc.collect()
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):  # other C libraries lack malloc_trim
            ctypes.CDLL(None).malloc_trim(0)
