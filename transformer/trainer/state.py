"""What a snapshot holds besides weights: optimizer, random state, and where the run was.

A .safetensors file, as a checkpoint is, though only its own run ever reads it: pickles run code,
and a run directory may be on a shared disk.
"""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

import safetensors
import safetensors.torch
from torch import Tensor

from transformer.errors import RunError

METADATA_KEY = "position"


@dataclass
class Position:
    """Where a run was, apart from its tensors.

    seconds: of training so far. tokens: positions seen so far.
    processes: how many trained together.
    precision: what the updates computed in, "fp32" or "bf16"; "" before the first of them.
    threads: how many they computed on, if a trial chose; 0 otherwise.
    losses: of the updates that no line of the metrics has told yet.
    untrained, evaluation: what the baseline, and the evaluation at this step, measured.
    """

    seconds: float = 0.0
    tokens: int = 0
    processes: int = 1
    losses: list[float] = field(default_factory=list)
    untrained: dict[str, float] = field(default_factory=dict)
    evaluation: dict[str, float] = field(default_factory=dict)
    precision: str = "fp32"  # files from before there was a choice lack it
    threads: int = 0


def write_state(position: Position, tensors: dict[str, Tensor]) -> bytes:
    contiguous = {name: tensor.contiguous() for name, tensor in tensors.items()}
    return safetensors.torch.save(contiguous, {METADATA_KEY: json.dumps(asdict(position))})


def read_state(path: Path) -> tuple[Position, dict[str, Tensor]]:
    """
    Raises:
        RunError: the file is not what :func:`write_state` writes.
    """
    try:
        content = path.read_bytes()
        length = int.from_bytes(content[:8], "little")
        metadata = json.loads(content[8 : 8 + length])["__metadata__"]
        return Position(**json.loads(metadata[METADATA_KEY])), safetensors.torch.load(content)
    except (OSError, ValueError, KeyError, TypeError, safetensors.SafetensorError):
        raise RunError(f"The saved state {path.name} cannot be read.") from None
