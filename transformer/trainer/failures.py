"""Failures of a trainer: its limit on memory, and a sentence on what went wrong."""

import errno
import os
from contextlib import suppress
from pathlib import Path

import torch

from transformer.files import remedy


def limit_memory(limit: int | None, device: str) -> None:
    """Limit this process's memory: it must fail before the system kills another process.

    Args:
        limit: in bytes; None removes the limit.
        device: as in the run's settings.
    """
    on_card = device != "cpu" and torch.cuda.is_available()  # CUDA reserves more than it uses
    if os.name != "posix" or on_card:
        return
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    if limit is None or hard != resource.RLIM_INFINITY:
        limit = hard if limit is None else min(limit, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, hard))
    with suppress(OSError):  # only Linux has it
        Path("/proc/self/oom_score_adj").write_text("900")


OUT_OF_MEMORY = ("can't allocate memory", "out of memory", "bad_alloc")
"""In the messages of PyTorch's allocators, and of one that C++ itself raised."""


def diagnosis(error: Exception) -> tuple[str, str]:
    """Why a trainer failed, in a sentence for the user, and the kind of failure."""
    if (
        isinstance(error, MemoryError)
        or (isinstance(error, OSError) and error.errno == errno.ENOMEM)
        or any(words in str(error) for words in OUT_OF_MEMORY)
    ):
        return (
            "Out of memory. Start it again with a smaller batch or model; what was saved is kept.",
            "memory",
        )
    if isinstance(error, OSError) and error.strerror:
        return (
            f"A file could not be written: {error.strerror}. {remedy(error)}, then resume the run.",
            "disk",
        )
    return (
        f"The trainer stopped with an error ({type(error).__name__}); its output says more.",
        "error",
    )
