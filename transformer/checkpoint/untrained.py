"""A checkpoint's weights before its first update, made again from its seed."""

import threading
from dataclasses import replace

import torch

from transformer.checkpoint.checkpoint import Checkpoint
from transformer.model import Transformer

_one_at_a_time = threading.Lock()


def untrained(checkpoint: Checkpoint) -> Checkpoint:
    """The same model with its initial weights, without probe and examples.

    Exact for a model trained here: the trainer, too, seeds torch and then makes the model. A
    model trained elsewhere, whose initial weights are unknown, gets those of seed 0. The state
    of the global random generator does not change.
    """
    seed = checkpoint.summary.seed if checkpoint.summary else 0
    # The generator is global to the process: a second thread would draw from the same numbers.
    with _one_at_a_time, torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Transformer(checkpoint.config)
    header = replace(checkpoint.header, examples=[], probe=None, sha256="")
    tensors = {name: tensor.detach() for name, tensor in model.named_parameters()}
    return Checkpoint(header, tensors)
