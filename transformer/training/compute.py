"""``arithmetic.json`` of a run: device, precision and threads of its updates, for the run's page.

It is only for people to read. A resumed run takes precision and threads from its snapshot
(:mod:`trainer.state`), so that damage to this file changes nothing. Loads no torch.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from transformer.files import read_object, write_atomic

FILE = "arithmetic.json"
DEVICES = {"cpu": "the processor", "cuda": "the graphics card"}
PRECISIONS = {"fp32": "float32", "bf16": "bfloat16"}


@dataclass(frozen=True)
class Compute:
    """Device, precision and threads of a run's updates, and why.

    device: a key of DEVICES. precision: a key of PRECISIONS. why: the end of their sentence.
    fp32_seconds, bf16_seconds: of a batch's forward and backward pass; 0 if not measured.
    threads, threads_why: number of CPU threads that a trial chose, 0 without a trial; and the end
        of their sentence.
    """

    device: str
    precision: str
    why: str
    fp32_seconds: float = 0.0
    bf16_seconds: float = 0.0
    threads: int = 0
    threads_why: str = ""

    @property
    def sentence(self) -> str:
        text = f"On {DEVICES[self.device]}, in {PRECISIONS[self.precision]}: {self.why}"
        if self.fp32_seconds and self.bf16_seconds:
            fp32, bf16 = _milliseconds(self.fp32_seconds), _milliseconds(self.bf16_seconds)
            text += f" (a batch took {bf16} in bfloat16, {fp32} in float32)"
        if self.threads:
            text += f". {self.threads} thread{'s' * (self.threads > 1)}: {self.threads_why}"
        return f"{text}."


def _milliseconds(seconds: float) -> str:
    return f"{1000 * seconds:,.0f} ms" if seconds >= 0.01 else f"{1000 * seconds:.2g} ms"


def write(run_path: Path, compute: Compute) -> None:
    write_atomic(run_path / FILE, json.dumps(asdict(compute), allow_nan=False).encode())


def read(run_path: Path) -> Compute | None:
    """Read a run's file; None if it is missing or damaged."""
    try:
        found = Compute(**read_object(run_path / FILE))
    except TypeError:
        return None
    names = (found.device, found.precision, found.why, found.threads_why)
    sound = (
        all(isinstance(name, str) for name in names)
        and found.device in DEVICES
        and found.precision in PRECISIONS
        and all(map(_is_time, (found.fp32_seconds, found.bf16_seconds, found.threads)))
        and isinstance(found.threads, int)
    )
    return found if sound else None


def _is_time(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e6
