"""What holds a process that opens a foreign file: bounds on all it takes, and no way out.

No torch here: such a process starts in a tenth of a second.
"""

import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

BREACH = 77
"""The exit status of a process in which something tried to get out."""
OUTWARD = (
    *("os.system", "os.exec", "os.fork", "os.posix_spawn", "os.spawn", "os.startfile"),
    *("os.kill", "os.remove", "os.rename", "os.rmdir", "os.mkdir", "os.link", "os.symlink"),
    *("os.chmod", "os.chown", "os.truncate", "os.putenv", "subprocess.", "pty.", "shutil."),
    *("socket.", "urllib.", "http.", "ftplib.", "smtplib.", "webbrowser.", "ctypes.", "winreg."),
)

INHERITED = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SYSTEMROOT", "TMPDIR", "TEMP", "TMP")
ROOT = Path(__file__).resolve().parents[3]


def environment() -> dict[str, str]:
    """What Python and torch need to start, and nothing of the person who runs the app."""
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
    """Bounds on memory, time and files, where the system has them.

    Args:
        seconds: of the processor's time, from now on.
        memory: bytes more than the process has now.
        written: bytes of any file that it writes.
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
        # PyTorch's own libraries take gigabytes of addresses on some machines: counted from here.
        mapped = int(statistics.read_text().split()[0]) * resource.getpagesize()
        limits["RLIMIT_AS"] = mapped + memory
    for name, most in limits.items():
        with suppress(ValueError, OSError, AttributeError):  # not all systems take all
            kind = getattr(resource, name)
            hard = resource.getrlimit(kind)[1]
            most = most if hard == resource.RLIM_INFINITY else min(most, hard)
            resource.setrlimit(kind, (most, most))


def confine() -> None:
    """End the process the moment anything in it reaches out; nothing in Python can undo this.

    A second wall: `weights_only` lets no code run that could try.
    """
    leave, writing = os._exit, os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        if event.startswith(OUTWARD):
            leave(BREACH)
        if event == "open" and isinstance(arguments[2], int) and arguments[2] & writing:
            leave(BREACH)

    sys.addaudithook(watch)
