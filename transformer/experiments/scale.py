"""√d_k: dot products grow with the width of a head, and the softmax saturates (section 3.2.1)."""

from collections.abc import Iterator

import torch

from transformer.config import TransformerConfig
from transformer.experiments.experiment import Experiment, Outcome, Settings
from transformer.model import MultiHeadAttention, attention_weights

WIDTHS = (4, 16, 64, 256)
KEYS = 32


@torch.inference_mode()
def run(settings: Settings) -> Iterator[float | Outcome]:
    """Compute the weights of untrained attentions, for several d_k, on layer-normed vectors."""
    sentences = 8 if settings.short else 64
    torch.manual_seed(settings.seed)
    variances, unscaled, scaled = list[float](), list[float](), list[float]()
    for number, width in enumerate(WIDTHS):
        config = TransformerConfig(
            source_vocab_size=8, target_vocab_size=8, d_model=256, num_heads=256 // width
        )
        attention = MultiHeadAttention(config)
        for matrix in (attention.query, attention.key):
            torch.nn.init.xavier_uniform_(matrix.weight)
            torch.nn.init.zeros_(matrix.bias)
        x = torch.nn.functional.layer_norm(torch.randn(sentences, KEYS, 256), (256,))
        queries, (keys, _) = attention.split_heads(attention.query(x)), attention.project(x)
        products = queries @ keys.transpose(-2, -1)
        variances.append(products.var().item())
        for found, scores in ((unscaled, products), (scaled, products / width**0.5)):
            found.append(attention_weights(scores).amax(dim=-1).mean().item())
        yield (number + 1) / len(WIDTHS)
    measured = {
        "variance at d_k 4": variances[0],
        "variance at d_k 256": variances[-1],
        "largest weight unscaled": unscaled[-1],
        "largest weight scaled": scaled[-1],
    }
    listed = ", ".join(f"{value:.3g}" for value in variances)
    yield Outcome(
        measured,
        f"The variance of q·k is {listed} for d_k = {', '.join(map(str, WIDTHS))}. At d_k = 256 "
        f"the largest of {KEYS} weights is on average {unscaled[-1]:.2f} without the division by "
        f"√d_k and {scaled[-1]:.2f} with it (equal weights: {1 / KEYS:.2f}).",
        0 if unscaled[-1] < 0.1 else 1 if unscaled[-1] < 0.5 else 2,
        {
            "without √d_k": tuple(zip(map(float, WIDTHS), unscaled, strict=True)),
            "divided by √d_k": tuple(zip(map(float, WIDTHS), scaled, strict=True)),
        },
    )


EXPERIMENT = Experiment(
    name="scale",
    title="Why scores are divided by √d_k",
    claim="The dot product of two independent vectors has a variance of d_k. Without the division "
    "it pushes the softmax to where its gradient is nearly 0.",
    source="Vaswani et al. 2017, section 3.2.1 and footnote 4",
    published="variance d_k: 4, 16, 64, 256",
    what="Untrained attention layers with d_model 256 and heads of four widths.",
    question="At d_k = 256, untrained and without the division: how much of its weight does a "
    "query put on its favourite of 32 keys?",
    options=("about 1/32: it knows nothing yet", "about a quarter", "most of it"),
    bands={
        "variance at d_k 4": (2.5, 5.5),
        "variance at d_k 256": (180, 330),
        "largest weight unscaled": (0.75, 1.0),
        "largest weight scaled": (0.08, 0.2),
    },
    why="The variance is as in the footnote. Without the division, attention is nearly one-hot "
    "before the model has learned anything, and almost no gradient passes such a softmax.",
    minutes=0.05,
    run=run,
    axes=("width of a head, d_k", "largest weight of a query"),
)
