"""Models that write varied sentences, and the probabilities that they give to an output."""

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from hypothesis import settings
from hypothesis import strategies as st
from torch import Tensor

from transformer.config import TransformerConfig
from transformer.decoding.steps import Hypothesis, pad
from transformer.model import Transformer

few = settings(max_examples=12)
seeds = st.integers(0, 10**6)
beams = st.integers(1, 5)
alphas = st.sampled_from([0.0, 0.6])
TOLERANCE = 1e-10
MAX_LENGTH = 9


def wild_model(seed: int, **changes: Any) -> Transformer:
    """A model that writes varied sentences, some of which end early.

    A new model repeats one token for ever. Noise on all parameters varies its output, and a
    raised bias of <eos> makes it stop sometimes.
    """
    torch.manual_seed(seed)
    values: dict[str, Any] = {
        "source_vocab_size": 9,
        "target_vocab_size": 8,
        "d_model": 8,
        "num_heads": 2,
        "num_encoder_layers": 1,
        "num_decoder_layers": 2,
        "d_ff": 12,
        "max_length": MAX_LENGTH,
        "norm_first": seed % 2 == 0,
        "output_bias": True,
        "tie_embeddings": seed % 3 == 0,
        # Not the usual ids, so that no code can rely on those.
        "pad_id": 4,
        "bos_id": 0,
        "eos_id": 1,
        "unk_id": 2,
        "decoder_start_id": 4 if seed % 5 == 0 else 0,
    }
    model = Transformer(TransformerConfig(**values | changes)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.5)
        model.output.bias[model.config.eos_id] += 1.0
    return model


def sentences(model: Transformer, count: int) -> list[list[int]]:
    """Random sources of random lengths, without padding."""
    known = [id_ for id_ in range(model.config.source_vocab_size) if id_ != model.config.pad_id]
    lengths = torch.randint(1, 7, (count,)).tolist()
    return [[known[i] for i in torch.randint(len(known), (n,)).tolist()] for n in lengths]


def batch_of(model: Transformer, rows: list[list[int]]) -> Tensor:
    return pad(rows, model.config.pad_id)


@torch.inference_mode()
def log_probabilities(model: Transformer, source: list[int], tokens: list[int]) -> Tensor:
    """The log-probabilities at each position of an output, from one forward pass over all of it:
    [position, vocabulary]."""
    past = torch.tensor([[model.config.decoder_start_id, *tokens[:-1]]])
    return model(torch.tensor([source]), past)[0].log_softmax(-1)


@torch.inference_mode()
def next_log_probabilities(
    model: Transformer, source: list[int], written: Sequence[Sequence[int]]
) -> list[list[float]]:
    """Log-probabilities of the next token after outputs of equal length: [output][token]."""
    past = torch.tensor([[model.config.decoder_start_id, *tokens] for tokens in written])
    logits = model(torch.tensor([source]).expand(len(past), -1), past)[:, -1]
    rows: list[list[float]] = logits.log_softmax(-1).tolist()
    return rows


def log_probability(model: Transformer, source: list[int], tokens: list[int]) -> float:
    rows = log_probabilities(model, source, tokens)
    return sum(rows[position, token].item() for position, token in enumerate(tokens))


def penalty(length: int, alpha: float) -> float:
    """Wu et al. (2016), equation 14."""
    return (5 + length) ** alpha / (5 + 1) ** alpha


def assert_same(left: list[Hypothesis], right: list[Hypothesis]) -> None:
    assert [one.tokens for one in left] == [one.tokens for one in right]
    assert [one.finished for one in left] == [one.finished for one in right]
    for one, other in zip(left, right, strict=True):
        assert one.log_prob == pytest.approx(other.log_prob, rel=0, abs=TOLERANCE)
        assert one.score == pytest.approx(other.score, rel=0, abs=TOLERANCE)
