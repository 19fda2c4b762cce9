"""Opens a file from torch.save in a separate process.

    python -m transformer.interop.files.unpickling SOURCE TARGET SECONDS

`torch.load` runs with ``weights_only=True``, under limits, and cannot start a program, open a
connection, or write another file. The output is only tensors, in TARGET as .safetensors, and one
line of JSON on standard output. The parent process trusts neither.
"""

import json
import os
import re
import sys
from collections.abc import Iterator, Mapping
from itertools import count
from typing import Any, BinaryIO

import torch
from torch import Tensor

from transformer.config.architecture import MAX_PARAMETERS
from transformer.interop.files.confinement import confine, limit

WRAPPINGS = ("state_dict", "model_state_dict", "model")
DEPTH = 6
MAX_ENTRIES = 20_000
ALIASES = 4
"""Most names per tensor: a tied embedding has up to four, a bomb repeats one a thousand times."""
DTYPES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
}
SPARE_BYTES = 300_000_000
"""Bytes of memory that unpickling may take beyond three times the file's size."""
UNSUPPORTED = re.compile(r"GLOBAL ([\w.]{1,200})")
FOREIGN = ("unrecognized function", "Can only create new object", "Can only build Tensor")
"""Parts of torch's messages about objects other than tensors that it does not name."""


class Refused(Exception):
    """The file is refused. problem: a key of ``SENTENCES`` in state_dicts.py."""

    def __init__(self, problem: str, detail: str = "") -> None:
        super().__init__(problem)
        self.problem, self.detail = problem, detail


def main(source: str, target: str, seconds: str) -> None:
    size = os.stat(source).st_size
    with open(target, "wb") as file:
        limit(int(seconds), 3 * size + SPARE_BYTES, ALIASES * size + 10_000_000)
        confine()
        try:
            write(flat(opened(source), size), file)
            said = {}
        except Refused as refused:
            said = {"problem": refused.problem, "detail": refused.detail[:200]}
        except MemoryError:
            said = {"problem": "memory"}
    print(json.dumps(said), flush=True)


def opened(source: str) -> object:
    """Load the file by torch.load with weights_only.

    Raises:
        Refused: this fails.
    """
    try:
        return torch.load(source, map_location="cpu", weights_only=True, mmap=False)
    except MemoryError:
        raise
    except Exception as error:  # a dozen kinds; their advice to load unsafely must not be shown
        text = str(error)
        if "DefaultCPUAllocator" in text or "alloc" in text:
            raise MemoryError from None
        name = UNSUPPORTED.search(text)
        if name or any(sign in text for sign in FOREIGN):
            raise Refused("objects", name[1] if name else "") from None
        raise Refused("protocol" if "Unsupported operand" in text else "unsound") from None


def flat(content: object, size: int) -> dict[str, Tensor]:
    """The floating-point tensors under dotted names, after all checks.

    Raises:
        Refused: there are none or too many, or they claim more numbers than the file has.
    """
    if isinstance(content, Mapping):
        inner = [content[name] for name in WRAPPINGS if isinstance(content.get(name), Mapping)]
        content = {**_beside(content), **inner[0]} if inner else content
    if not isinstance(content, Mapping):
        raise Refused("no mapping", type(content).__name__)
    found: dict[str, Tensor] = {}
    for name, tensor in _tensors(content, "", 0, count(1)):
        if name in found:
            raise Refused("twice", name)
        if _is_weight(name, tensor):
            found[name] = tensor
    kept = [tensor.untyped_storage() for tensor in found.values()]
    storages = {storage.data_ptr(): storage.nbytes() for storage in kept}
    if sum(storages.values()) > size:
        raise Refused("storage")
    # Counted before any copy: with strides of 0, one number poses as 10^12.
    if sum(tensor.numel() for tensor in found.values()) > MAX_PARAMETERS:
        raise Refused("parameters")
    if sum(tensor.nbytes for tensor in found.values()) > ALIASES * sum(storages.values()):
        raise Refused("aliases")
    if not found:
        raise Refused("no tensors")
    return found


def _tensors(
    content: Mapping[Any, Any], prefix: str, depth: int, seen: Iterator[int]
) -> Iterator[tuple[str, Tensor]]:
    for key, value in content.items():
        # Every entry visited counts: six mappings, each a hundred times in the next, are 10^12.
        if next(seen) > MAX_ENTRIES:
            raise Refused("many")
        if not isinstance(key, str):
            continue  # such as the numbered state of an optimizer
        if isinstance(value, Tensor):
            yield prefix + key, value
        elif isinstance(value, Mapping) and depth < DEPTH:
            yield from _tensors(value, f"{prefix}{key}.", depth + 1, seen)


def _beside(content: Mapping[Any, Any]) -> dict[str, Any]:
    """Projections saved beside the model, as OpenNMT-py saves its generator."""
    return {
        f"{name}.{part}": tensor
        for name, held in content.items()
        if isinstance(held, Mapping) and held and set(held) <= {"weight", "bias"}
        for part, tensor in held.items()
    }


def _is_weight(name: str, tensor: Tensor) -> bool:
    """Whether the tensor is a weight; False for integers and booleans.

    Raises:
        Refused: its layout or type is not supported, such as sparse or complex.
    """
    if type(tensor) not in (Tensor, torch.nn.Parameter) or tensor.layout is not torch.strided:
        raise Refused("kind", name)
    if tensor.device.type != "cpu" or tensor.is_quantized or tensor.is_nested:
        raise Refused("kind", name)
    if tensor.dtype in DTYPES:
        return True
    if tensor.is_complex() or tensor.is_floating_point():
        raise Refused("dtype", f"{name}: {str(tensor.dtype).removeprefix('torch.')}")
    return False


def write(tensors: Mapping[str, Tensor], file: BinaryIO) -> None:
    """Write .safetensors tensor by tensor, without a second copy of all of them in memory."""
    header: dict[str, Any] = {}
    position = 0
    for name, tensor in tensors.items():
        end = position + tensor.nbytes
        shape = list(tensor.shape)
        header[name] = {
            "dtype": DTYPES[tensor.dtype],
            "shape": shape,
            "data_offsets": [position, end],
        }
        position = end
    raw = json.dumps(header).encode()
    raw += b" " * (-len(raw) % 8)
    file.write(len(raw).to_bytes(8, "little") + raw)
    for tensor in tensors.values():
        if tensor.numel():
            file.write(tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    file.flush()


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(*sys.argv[1:])
