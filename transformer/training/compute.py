"""``arithmetic.json`` of a run: what its updates compute on and in, as the run's page says it.

It is for people to read. What a resumed run goes on in stands in the snapshot it goes on from
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
    """What the updates of a run compute on and in, and why.

    device: of DEVICES. precision: of PRECISIONS. why: the rest of the sentence.
    fp32_seconds, bf16_seconds: of forward and backward pass of a batch; 0 where not measured.
    threads, threads_why: how many a trial chose on a processor, and the rest of that sentence; 0
        where there was none.
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
    """What a run's directory says; None where it says nothing, or nothing sound."""
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
