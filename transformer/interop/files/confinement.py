"""Sandbox for a process that opens an untrusted file: resource limits, no outside access.

Imports no torch, so that such a process starts in a tenth of a second.
"""

import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

EXIT_FORBIDDEN_ACTION = 77
"""Exit status of a process in which code attempted a forbidden action."""
FORBIDDEN_AUDIT_EVENTS = (
    *("os.system", "os.exec", "os.fork", "os.posix_spawn", "os.spawn", "os.startfile"),
    *("os.kill", "os.remove", "os.rename", "os.rmdir", "os.mkdir", "os.link", "os.symlink"),
    *("os.chmod", "os.chown", "os.truncate", "os.putenv", "subprocess.", "pty.", "shutil."),
    *("socket.", "urllib.", "http.", "ftplib.", "smtplib.", "webbrowser.", "ctypes.", "winreg."),
)

INHERITED = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SYSTEMROOT", "TMPDIR", "TEMP", "TMP")
ROOT = Path(__file__).resolve().parents[3]


def environment() -> dict[str, str]:
    """Environment variables that Python and torch need to start; no others are passed on."""
    inherited = {name: os.environ[name] for name in INHERITED if name in os.environ}
    return inherited | {
        "PYTHONPATH": os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH")))),
        "PYTHONDONTWRITEBYTECODE": "1",
        "CUDA_VISIBLE_DEVICES": "",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "TOKENIZERS_PARALLELISM": "false",
    }


def limit(seconds: int, memory: int, written: int) -> None:
    """Limit this process's memory, CPU time and files, where the system supports it.

    Args:
        seconds: CPU time from now on.
        memory: bytes of address space on top of the present size.
        written: largest size in bytes of a file that the process writes.
    """
    if os.name != "posix":
        return
    import resource

    used = sum(resource.getrusage(resource.RUSAGE_SELF)[:2])
    limits = {
        "RLIMIT_CPU": int(used) + seconds,
        "RLIMIT_FSIZE": written,
        "RLIMIT_NOFILE": 32,
        "RLIMIT_CORE": 0,
    }
    statistics = Path("/proc/self/statm")
    if statistics.exists():
        # Relative to the present: PyTorch's libraries map gigabytes of addresses on some machines.
        mapped = int(statistics.read_text().split()[0]) * resource.getpagesize()
        limits["RLIMIT_AS"] = mapped + memory
    for name, most in limits.items():
        with suppress(ValueError, OSError, AttributeError):  # some systems lack some limits
            kind = getattr(resource, name)
            hard = resource.getrlimit(kind)[1]
            most = most if hard == resource.RLIM_INFINITY else min(most, hard)
            resource.setrlimit(kind, (most, most))


def confine() -> None:
    """Exit at once if code starts a process, opens a connection or writes a file.

    Python code cannot undo this. It is a second defence: with `weights_only` no such code runs.
    """
    leave, writing = os._exit, os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        if event.startswith(FORBIDDEN_AUDIT_EVENTS):
            leave(EXIT_FORBIDDEN_ACTION)
        if event == "open" and isinstance(arguments[2], int) and arguments[2] & writing:
            leave(EXIT_FORBIDDEN_ACTION)

    sys.addaudithook(watch)
