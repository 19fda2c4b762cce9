"""The size of gradients in each layer of an untrained model (Xiong et al., 2020)."""

from collections.abc import Iterator, Mapping, Sequence

import torch

from transformer.config import TransformerConfig
from transformer.model import Transformer
from transformer.training.batches import Batch
from transformer.training.loop import cross_entropy

ORDERS = {"post-norm": False, "pre-norm": True}
"""Position of the norms -> value of ``norm_first``."""


def layer_gradients(model: Transformer, batch: Batch) -> dict[str, list[float]]:
    """The norm of the loss's gradient for W₂ of each layer, for "encoder" and "decoder".

    The model's ``.grad`` is left unchanged.
    """
    with torch.enable_grad():
        logits = model(batch.source, batch.target_in)
        loss = cross_entropy(logits, batch.target_out, model.config.pad_id)
        weights = {
            stack: [model.get_parameter(name) for name in _names(stack, layers)]
            for stack, layers in (
                ("encoder", model.config.num_encoder_layers),
                ("decoder", model.config.num_decoder_layers),
            )
        }
        found = torch.autograd.grad(loss, [one for side in weights.values() for one in side])
    norms = iter([gradient.norm().item() for gradient in found])
    return {stack: [next(norms) for _ in side] for stack, side in weights.items()}


def _names(stack: str, layers: int) -> list[str]:
    return [f"{stack}.layers.{layer}.feed_forward.outer.weight" for layer in range(layers)]


def by_norm_order(
    config: TransformerConfig, batch: Batch, seeds: Sequence[int]
) -> Iterator[float | Mapping[str, dict[str, list[float]]]]:
    """:func:`layer_gradients` of untrained models, post-norm and pre-norm: mean over the seeds.

    A pre-norm model has a norm after each stack, a post-norm model has none, as is usual. The
    state of PyTorch's random generator is restored. Yields the share done, from 0 to 1, then the
    means.
    """
    means = {}
    for number, (order, norm_first) in enumerate(ORDERS.items()):
        changed = config.replace(
            norm_first=norm_first,
            final_norm=norm_first,
            final_norm_side="both",
            decoder_norm="as encoder",
            dropout=0.0,
        )
        drawn = []
        for done, seed in enumerate(seeds):
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed)
                model = Transformer(changed)
            drawn.append(layer_gradients(model, batch))
            yield (number + (done + 1) / len(seeds)) / len(ORDERS)
        means[order] = {
            stack: [sum(layer) / len(drawn) for layer in zip(*sides, strict=True)]
            for stack, sides in ((s, [one[s] for one in drawn]) for s in ("encoder", "decoder"))
        }
    yield means
