"""The state in a snapshot besides the weights: optimizer, random state, position of the run.

It is a .safetensors file like a checkpoint, although only its own run reads it: a pickle could run
code, and a run directory may be on a shared disk.
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
    """The run's state apart from its tensors.

    seconds: of training so far. tokens: source and target positions trained on so far.
    processes: number of processes that train together.
    precision: of the updates, "fp32" or "bf16"; "" before the first of them.
    threads: number of threads of the updates if a trial chose it, else 0.
    losses: of the updates since the last line of the metrics.
    untrained, evaluation: scores of the untrained model, and of the evaluation at this step.
    """

    seconds: float = 0.0
    tokens: int = 0
    processes: int = 1
    losses: list[float] = field(default_factory=list)
    untrained: dict[str, float] = field(default_factory=dict)
    evaluation: dict[str, float] = field(default_factory=dict)
    precision: str = "fp32"  # missing in files from before this choice existed
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
