"""Several processes that train one model, as ``torchrun`` starts them.

One process alone is a world of size 1, so that the trainer needs no special case. Only the main
process, of rank 0, evaluates and writes.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

from transformer.errors import ConfigError


@dataclass(frozen=True)
class World:
    """This process's rank among those that train the model together, and its device."""

    rank: int = 0
    size: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    @property
    def is_main(self) -> bool:
        return self.rank == 0

    def on(self, device: str) -> "World":
        """A copy with the device of a run's settings; "auto" keeps the device that was found.

        Raises:
            ConfigError: a graphics card is asked for and there is none.
        """
        if device == "cpu":
            return replace(self, device=torch.device("cpu"))
        if device == "cuda" and self.device.type != "cuda":
            raise ConfigError(
                "device = cuda: PyTorch finds no CUDA graphics card on this machine. Train with "
                "device = auto or cpu."
            )
        return self

    def wrap(self, model: nn.Module) -> nn.Module:
        """The model to call in training, with gradients averaged over all processes."""
        if self.size == 1:
            return model
        ids = [self.device.index] if self.device.type == "cuda" else None
        return nn.parallel.DistributedDataParallel(model, device_ids=ids)

    def sum(self, value: Tensor) -> Tensor:
        """The sum of every process's value."""
        if self.size > 1:
            value = value.clone()
            torch.distributed.all_reduce(value)
        return value

    def broadcast(self, word: str) -> str:
        """The main process's ``word``, in every process; all must call it at the same point."""
        if self.size == 1:
            return word
        words = [word]
        torch.distributed.broadcast_object_list(words, src=0, device=torch.device("cpu"))
        return words[0]

    def gather(self, value: Tensor) -> list[Tensor]:
        """Every process's value, in the order of ranks; all values have the same shape."""
        if self.size == 1:
            return [value]
        values = [torch.empty_like(value) for _ in range(self.size)]
        torch.distributed.all_gather(values, value)
        return values


ALONE = World()


def is_launched() -> bool:
    """Whether torchrun started this process as one of several."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


@contextmanager
def join() -> Iterator[World]:
    """Join the other processes that torchrun started, if any: gloo on CPU, nccl on GPU."""
    cuda = torch.cuda.is_available()
    if not is_launched():
        yield World(device=torch.device("cuda") if cuda else torch.device("cpu"))
        return
    device = torch.device("cuda", int(os.environ["LOCAL_RANK"])) if cuda else torch.device("cpu")
    if cuda:
        torch.cuda.set_device(device)
    torch.distributed.init_process_group("cpu:gloo,cuda:nccl" if cuda else "gloo")
    try:
        yield World(torch.distributed.get_rank(), torch.distributed.get_world_size(), device)
    finally:
        torch.distributed.destroy_process_group()
