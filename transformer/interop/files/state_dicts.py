"""State dicts that were saved elsewhere: `.pt`, `.pth`, `.bin`, `.ckpt`, or `.safetensors`.

A file from torch.save is a pickle, that is, a program for a small virtual machine. It is opened in
a separate process (:mod:`interop.files.unpickling`), whose output is checked like any other file.
"""

import json
import signal
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path

import psutil
from torch import Tensor

from transformer.checkpoint.header import MAX_FILE_BYTES
from transformer.errors import CheckpointError, explaining, reading
from transformer.interop.files.archives import Archive
from transformer.interop.files.confinement import EXIT_FORBIDDEN_ACTION, environment
from transformer.interop.files.sample import first_bytes, has_torch_magic, is_torch_zip, is_zip
from transformer.interop.files.tensor_files import read_tensors
from transformer.interop.files.unpickling import MAX_ENTRIES, SPARE_BYTES
from transformer.vocabulary.vocabulary import printable

SECONDS = 10
"""CPU time for a small file, once torch is loaded; a large file gets more."""
EXTRA_WALL_SECONDS = 60
"""Extra seconds of wall time: on a busy machine, loading torch alone takes twenty."""
BYTES_A_SECOND = 20_000_000
WAIT_SECONDS = 120
MAX_PICKLE_BYTES = 8_000_000
"""Largest list of tensors in a file; names and shapes of 20,000 tensors take half of it."""

ADVICE = 'Save the weights alone, torch.save(model.state_dict(), "model.pt"), and bring that file.'
DAMAGED = (
    "The file is damaged, or not what torch.save writes: its tensors cannot be read. Save or "
    "download it again."
)
OBJECTS = (
    "The file holds more than tensors{detail}: opening that could run any program, so it is not "
    f"done. {ADVICE}"
)
SENTENCES = {
    "objects": OBJECTS,
    "unsound": DAMAGED,
    "protocol": (
        "The file was pickled in a way that torch.save does not use by itself, or it is damaged. "
        f"{ADVICE}"
    ),
    "memory": (
        "The file asks for more memory than its own size accounts for, so it was not opened "
        f"further. {ADVICE}"
    ),
    "time": f"Opening the file took too long, so it was given up. {ADVICE}",
    "no mapping": (
        "The file holds one object{detail}, where a state dict was expected: names and their "
        f"tensors. {ADVICE}"
    ),
    "no tensors": f"The file holds no weights: it has no tensor of floating point. {ADVICE}",
    "twice": f"Two tensors of the file have the same name{{detail}}. {ADVICE}",
    "many": f"The file has more than the {MAX_ENTRIES:,} entries that are taken. {ADVICE}",
    "parameters": "The file has more parameters than the 500,000,000 that are allowed.",
    "storage": "The tensors of the file are larger than the file itself; it is damaged or forged.",
    "aliases": "The file shows the same few numbers as many tensors; it is damaged or forged.",
    "kind": (
        "A tensor of the file{detail} is sparse, quantised, or has no numbers; expected ordinary "
        f"ones. {ADVICE}"
    ),
    "dtype": (
        "A tensor of the file has a type that is not taken{detail}; expected float32, float16, "
        f"bfloat16 or float64. {ADVICE}"
    ),
}

_turn = threading.Lock()
"""Held while a file is opened: only one at a time, since each may take a gigabyte."""


def read_state_dict(path: Path, *, as_stored: bool = False) -> dict[str, Tensor]:
    """The floating-point tensors of a file by flat dotted name; everything else is left out.

    A state dict nested under "state_dict", "model_state_dict" or "model" is taken out.

    Args:
        as_stored: keep the tensors' types; else all become float32.

    Raises:
        CheckpointError: the file cannot be trusted, or holds no weights; one sentence.
    """
    if not is_pickled(path):
        return read_tensors(path, as_stored=as_stored)
    with tempfile.TemporaryDirectory(prefix="workbench-") as folder:
        target = Path(folder) / "tensors.safetensors"
        to_safetensors(path, target)
        return read_tensors(target, as_stored=as_stored)


def is_pickled(path: Path) -> bool:
    """Whether the file's first bytes are those that torch.save writes."""
    start = first_bytes(path)
    return is_zip(start) or has_torch_magic(start)


def to_safetensors(path: Path, target: Path) -> None:
    """Open a file from torch.save in a separate process, which writes its tensors to ``target``.

    The target is as untrusted as the source: read it with :func:`read_tensors`.

    Raises:
        CheckpointError: one sentence; there is then no target.
    """
    size = _checked_size(path)
    if not _turn.acquire(timeout=WAIT_SECONDS):
        raise CheckpointError("Other files are being opened. Try again in a minute.")
    opening = explaining("The file could not be opened", CheckpointError)
    try:
        with opening, tempfile.TemporaryDirectory(prefix="workbench-") as folder:
            problem, detail = _run(path, target, Path(folder), size)
    finally:
        _turn.release()
    if problem:
        target.unlink(missing_ok=True)
        shown = f" ({printable(detail)})" if detail else ""
        raise CheckpointError(SENTENCES.get(problem, DAMAGED).format(detail=shown))


def _checked_size(path: Path) -> int:
    """The file's size, after every check that is possible without unpickling."""
    with reading(path):
        size = path.stat().st_size
    if size > MAX_FILE_BYTES:
        raise CheckpointError(
            f"The file has {size:,} bytes; at most {MAX_FILE_BYTES:,} are allowed."
        )
    start = first_bytes(path)
    if is_zip(start):
        with Archive(path) as archive:
            _check_archive(archive)
    elif not has_torch_magic(start):
        raise CheckpointError(f"This is not a file that torch.save wrote. {ADVICE}")
    return size


def _check_archive(archive: Archive) -> None:
    members = archive.members()
    is_torch_zip(members)
    if not archive.stored():
        raise CheckpointError(
            "The file's tensors are packed, and torch.save packs nothing; it is damaged or "
            f"forged. {ADVICE}"
        )
    pickles = sum(length for name, length in members.items() if name.endswith(".pkl"))
    if pickles > MAX_PICKLE_BYTES:
        raise CheckpointError(
            f"The list of the file's tensors has {pickles:,} bytes; at most "
            f"{MAX_PICKLE_BYTES:,} are taken."
        )


def _run(path: Path, target: Path, folder: Path, size: int) -> tuple[str, str]:
    """Run the process: a key of ``SENTENCES`` and a detail; both empty if it succeeded."""
    seconds = SECONDS + size // BYTES_A_SECOND
    words = ["-P", "-m", "transformer.interop.files.unpickling", str(path.resolve())]
    said = folder / "said"
    with said.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, *words, str(target.resolve()), str(seconds)],
            cwd=folder,
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    try:
        problem = _wait(process, seconds + EXTRA_WALL_SECONDS, 3 * size + 2 * SPARE_BYTES)
    finally:
        process.kill()
        process.wait()
    if problem:
        return problem, ""
    if process.returncode:
        return _ended(process.returncode), ""
    try:
        with said.open("rb") as output:
            outcome = json.loads(output.read(10_000))
        return str(outcome.get("problem", "")), str(outcome.get("detail", ""))
    except (ValueError, AttributeError, RecursionError):
        return "unsound", ""


def _wait(process: "subprocess.Popen[bytes]", seconds: float, most_bytes: int) -> str:
    """Wait for the process to end; returns "time" or "memory" if it takes too much, else ""."""
    end = time.monotonic() + seconds
    while True:
        with suppress(subprocess.TimeoutExpired):
            process.wait(0.05)
            return ""
        if time.monotonic() > end:
            return "time"
        if sys.platform != "linux":  # on Linux, the limit of address space does this
            with suppress(psutil.Error):
                if psutil.Process(process.pid).memory_info().rss > most_bytes:
                    return "memory"


def _ended(status: int) -> str:
    """Why a process that printed nothing may have ended: a key of ``SENTENCES``."""
    if status == EXIT_FORBIDDEN_ACTION:
        return "objects"
    if status == -getattr(signal, "SIGXCPU", 24):
        return "time"
    return "memory" if status in (-getattr(signal, "SIGKILL", 9), -signal.SIGABRT) else "unsound"
