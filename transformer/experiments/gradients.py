"""Gradients by depth at initialisation: why post-norm needs a warm-up (Xiong et al., 2020)."""

from collections.abc import Iterator

import torch

from transformer.analysis.gradients import layer_gradients
from transformer.config import TransformerConfig
from transformer.experiments.experiment import Experiment, Outcome, Settings
from transformer.model import Transformer
from transformer.training.batches import Batch

DEPTHS = (2, 4, 6, 8, 12)
STAYS = 0.7
"""A gradient counts as shrunk if, at the greatest depth, it is less than this many times as large
as at the smallest."""
VOCABULARY, LENGTH, SENTENCES = 30, 10, 32


def last_gradient(depth: int, norm_first: bool, seed: int) -> float:
    """The gradient norm of the last decoder layer's W₂, in an untrained model."""
    torch.manual_seed(seed)
    config = TransformerConfig(
        source_vocab_size=VOCABULARY,
        target_vocab_size=VOCABULARY,
        d_model=64,
        num_heads=4,
        d_ff=256,
        num_encoder_layers=depth,
        num_decoder_layers=depth,
        norm_first=norm_first,
        final_norm=norm_first,
        tie_embeddings=False,
        max_length=32,
    )
    model = Transformer(config).eval()
    tokens = torch.randint(4, VOCABULARY, (SENTENCES, LENGTH))
    read = torch.cat([torch.ones(SENTENCES, 1, dtype=torch.long), tokens[:, :-1].flip(1)], dim=1)
    return layer_gradients(model, Batch(tokens, read, tokens.flip(1)))["decoder"][-1]


def run(settings: Settings) -> Iterator[float | Outcome]:
    """Measure untrained models of several depths, averaged over a few random initialisations."""
    draws = 1 if settings.short else 4
    depths = (2, 12) if settings.short else DEPTHS
    found: dict[str, list[float]] = {"post-norm": [], "pre-norm": []}
    for number, depth in enumerate(depths):
        for name, norms in found.items():
            drawn = [
                last_gradient(depth, name == "pre-norm", draws * settings.seed + draw)
                for draw in range(draws)
            ]
            norms.append(sum(drawn) / draws)
        yield (number + 1) / len(depths)
    post, pre = (norms[-1] / norms[0] for norms in found.values())
    yield Outcome(
        {"post-norm, 12 to 2": post, "pre-norm, 12 to 2": pre},
        f"With 12 layers instead of 2, the last layer's gradient is {post:.2f} times as large in "
        f"post-norm and {pre:.2f} times as large in pre-norm (1/√6 is 0.41).",
        0 if post < STAYS else 1 if pre < STAYS else 2,
        {name: tuple(zip(map(float, depths), norms, strict=True)) for name, norms in found.items()},
    )


EXPERIMENT = Experiment(
    name="gradients",
    title="Post-norm has large gradients at the start",
    claim="At initialisation the last layer's gradient does not shrink with depth in post-norm "
    "models; in pre-norm models of L layers it shrinks as 1/√L. So post-norm needs a warm-up, and "
    "pre-norm does not.",
    source="Xiong et al. 2020, On Layer Normalization in the Transformer Architecture",
    published="the bound is the same at every depth L in post-norm, and shrinks as 1/√L in "
    "pre-norm (theorem 1)",
    what="One backward pass through untrained models of 2 to 12 layers, d_model 64.",
    question="A model has 12 layers instead of 2. How does its last layer's gradient change?",
    options=(
        "it shrinks in both",
        "it stays in post-norm and shrinks in pre-norm",
        "it shrinks in post-norm and stays in pre-norm",
    ),
    bands={"post-norm, 12 to 2": (0.7, 2.0), "pre-norm, 12 to 2": (0.15, 0.6)},
    why="In pre-norm models the residual stream grows with depth, and the last norm divides by "
    "its size. In post-norm models each layer ends in a norm, so the gradient stays as large as "
    "with one layer.",
    minutes=0.4,
    run=run,
    axes=("layers of each stack", "gradient norm of the last W₂"),
)
