"""Leaks in a model whose masks are all there are not blamed on the masks."""

import pytest
import torch

from transformer.config import TransformerConfig
from transformer.faults import plant
from transformer.health.invariants import MASKS_HOLD
from transformer.health.run import check_parts
from transformer.model import Transformer
from transformer.training.batches import collate

PAIRS = [([4, 5, 6, 7, 8, 9], [9, 8, 7, 6, 5, 4]), ([9, 7, 5], [5, 7, 9]), ([6, 8, 4, 9], [9, 4])]


def alarms(fault: str) -> list[str]:
    torch.manual_seed(1)
    config = TransformerConfig(
        source_vocab_size=10,
        target_vocab_size=10,
        d_model=16,
        num_heads=4,
        num_encoder_layers=2,
        num_decoder_layers=2,
        d_ff=16,
        max_length=24,
    )
    model = Transformer(config)
    plant(model, fault)
    return [one.sentence for one in check_parts(model, collate(PAIRS, config)) if one.alarm]


@pytest.mark.parametrize(
    "fault",
    ["heads-merged-by-view", "heads-split-by-view", "layer-norm-over-positions"],
)
def test_a_leak_beside_whole_masks_names_no_mask(fault: str) -> None:
    found = [one for one in alarms(fault) if MASKS_HOLD in one]
    # A run's verdict quotes only the words before the colon.
    assert [one.partition(": ")[0] for one in found] == [
        "The decoder can see the tokens it has to predict, though no mask is missing",
        "<pad> tokens are not ignored, though no mask is missing",
    ]


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("no-causal-mask", "The causal mask is missing"),
        ("causal-mask-off-by-one", "The causal mask is off by one"),
        ("no-source-padding-mask", "The padding mask of the source is missing"),
    ],
)
def test_a_mask_that_is_missing_is_named(fault: str, said: str) -> None:
    assert [sentence for sentence in alarms(fault) if sentence.startswith(said)]


def test_weights_of_another_shape_than_the_batch_are_a_finding() -> None:
    assert [sentence for sentence in alarms("batch-time-swapped") if "wrong shape" in sentence]
