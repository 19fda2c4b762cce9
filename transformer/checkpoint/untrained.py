"""The weights a checkpoint had before its first update, made again from its seed."""

import threading
from dataclasses import replace

import torch

from transformer.checkpoint.checkpoint import Checkpoint
from transformer.model import Transformer

_one_at_a_time = threading.Lock()


def untrained(checkpoint: Checkpoint) -> Checkpoint:
    """The same model with its initial weights, without a probe or examples of its own.

    Exact for a model that this project trained: the trainer, too, seeds torch and then makes
    the model. For one trained elsewhere, whose beginning nobody knows, weights of seed 0. The
    global random generator is left as it was.
    """
    seed = checkpoint.summary.seed if checkpoint.summary else 0
    # It is global to the process: a second thread in between would get other numbers.
    with _one_at_a_time, torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Transformer(checkpoint.config)
    header = replace(checkpoint.header, examples=[], probe=None, sha256="")
    tensors = {name: tensor.detach() for name, tensor in model.named_parameters()}
    return Checkpoint(header, tensors)
