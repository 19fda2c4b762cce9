"""Captured attention against the paper's formulas, written out here in plain NumPy loops.

Of the model's code, only the model itself, its hooks and its parameters are used.
"""

import math

import numpy as np
import pytest
import torch

from transformer.analysis.reference import Reference
from transformer.config import TransformerConfig
from transformer.hooks import record
from transformer.model import Transformer

DEPTHS = [(1, 3), (4, 2), (3, 1)]


def random_model(
    depths: tuple[int, int], seed: int, norm_first: bool, layout: str = ""
) -> Transformer:
    config = TransformerConfig(
        source_vocab_size=11,
        target_vocab_size=13,
        d_model=24,
        num_heads=3,
        num_encoder_layers=depths[0],
        num_decoder_layers=depths[1],
        d_ff=40,
        norm_first=norm_first,
        final_norm=norm_first,
        tie_embeddings=not norm_first,
        activation="relu" if norm_first else "gelu",
        position_layout=layout or ("interleaved" if norm_first else "halves"),
        max_length=20,
    )
    torch.manual_seed(seed)
    model = Transformer(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():  # so that biases and gains matter too
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model


def by_formula(model: Transformer, source: list[int], read: list[int]) -> dict[str, np.ndarray]:
    """Equation (1) of the paper, and sections 3.1 to 3.5, position by position."""
    config = model.config
    weights = {name: p.detach().numpy().astype(float) for name, p in model.named_parameters()}
    seen: dict[str, list[list[np.ndarray]]] = {"encoder": [], "decoder": [], "cross": []}

    def affine(x, name):
        return np.array([weights[f"{name}.weight"] @ row + weights[f"{name}.bias"] for row in x])

    def layer_norm(x, name):
        rows = []
        for row in x:
            spread = sum((value - row.mean()) ** 2 for value in row) / len(row)
            rows.append((row - row.mean()) / math.sqrt(spread + config.layer_norm_eps))
        return np.array(rows) * weights[f"{name}.gain"] + weights[f"{name}.bias"]

    def embed(ids, side):
        rows = []
        for position, number in enumerate(ids):
            row = weights[f"{side}_embedding.tokens.weight"][number] * math.sqrt(config.d_model)
            if config.position_layout == "learned":
                rows.append(row + weights[f"{side}_embedding.positions"][position])
                continue
            if config.position_layout == "none":
                rows.append(row)
                continue
            for i in range(config.d_model // 2):
                angle = position / 10000 ** (2 * i / config.d_model)
                sine, cosine = (
                    (2 * i, 2 * i + 1)
                    if config.position_layout == "interleaved"
                    else (i, i + config.d_model // 2)
                )
                row[sine] += math.sin(angle)
                row[cosine] += math.cos(angle)
            rows.append(row)
        return np.array(rows)

    def attend(x, memory, name, kind, causal):
        queries, keys, values = affine(x, f"{name}.query"), affine(memory, f"{name}.key"), None
        values = affine(memory, f"{name}.value")
        size = config.d_model // config.num_heads
        heads, maps = [], []
        for h in range(config.num_heads):
            part = slice(h * size, (h + 1) * size)
            rows = []
            for i, query in enumerate(queries):
                scores = [query[part] @ key[part] / math.sqrt(size) for key in keys]
                powers = [
                    0.0 if causal and j > i else math.exp(score) for j, score in enumerate(scores)
                ]
                rows.append([power / sum(powers) for power in powers])
            maps.append(np.array(rows))
            heads.append(maps[-1] @ values[:, part])
        seen[kind].append(maps)
        return affine(np.concatenate(heads, axis=1), f"{name}.output")

    def activation(x):
        if config.activation == "relu":
            return np.maximum(x, 0)
        return x * np.vectorize(lambda v: (1 + math.erf(v / math.sqrt(2))) / 2)(x)

    def sublayer(x, name, function):
        if config.norm_first:
            return x + function(layer_norm(x, f"{name}_residual.norm"))
        return layer_norm(x + function(x), f"{name}_residual.norm")

    def feed_forward(x, name):
        return sublayer(
            x, name, lambda y: affine(activation(affine(y, f"{name}.inner")), f"{name}.outer")
        )

    def self_attention(x, name, kind, causal):
        return sublayer(x, name, lambda y: attend(y, y, name, kind, causal))

    x = embed(source, "source")
    for layer in range(config.num_encoder_layers):
        x = self_attention(x, f"encoder.layers.{layer}.self_attention", "encoder", False)
        x = feed_forward(x, f"encoder.layers.{layer}.feed_forward")
    memory = layer_norm(x, "encoder.norm") if config.final_norm else x
    x = embed(read, "target")
    for layer in range(config.num_decoder_layers):
        x = self_attention(x, f"decoder.layers.{layer}.self_attention", "decoder", True)
        cross = f"decoder.layers.{layer}.cross_attention"
        x = sublayer(x, cross, lambda y, cross=cross: attend(y, memory, cross, "cross", False))
        x = feed_forward(x, f"decoder.layers.{layer}.feed_forward")
    return {kind: np.array(maps) for kind, maps in seen.items()}


@pytest.mark.parametrize("norm_first", [True, False])
@pytest.mark.parametrize("depths", DEPTHS, ids=str)
def test_every_captured_weight_is_the_papers(depths: tuple[int, int], norm_first: bool) -> None:
    model = random_model(depths, seed=sum(depths), norm_first=norm_first)
    source, read = [5, 9, 4, 4, 7, 2], [1, 12, 3, 8]
    with torch.inference_mode(), record(model) as trace:
        model(torch.tensor([source]), torch.tensor([read]))
    captured = {
        "encoder": trace.encoder_attention,
        "decoder": trace.decoder_attention,
        "cross": trace.cross_attention,
    }
    expected = by_formula(model, source, read)
    for kind, weights in captured.items():
        assert weights.shape == expected[kind].shape
        assert np.abs(weights.numpy() - expected[kind]).max() < 1e-6


@pytest.mark.parametrize("layout", ["", "learned", "none"])
@pytest.mark.parametrize("norm_first", [True, False])
def test_the_reference_behind_the_trust_strip_is_the_papers_too(
    norm_first: bool, layout: str
) -> None:
    model = random_model((2, 3), seed=8, norm_first=norm_first, layout=layout)
    source, read = [5, 9, 4, 2], [1, 12, 3, 8, 7]
    parameters = {name: p.detach().numpy() for name, p in model.named_parameters()}
    ours = Reference(model.config, parameters).attention(source, read)
    for kind, expected in by_formula(model, source, read).items():
        assert np.abs(ours[kind] - expected).max() < 1e-12
