"""The doctor names every listed fault when planted in our own model, and no other fault."""

from typing import Any

import pytest

from tests.support.places import ROOT
from tests.support.random_models import random_model
from tests.support.witnesses import FAILING_CHECKS, table, witnesses
from transformer.config import TransformerConfig
from transformer.doctor import doctor
from transformer.faults import FAULTS, IN_MODEL, plant
from transformer.figures.architecture import architecture_svg
from transformer.model import Transformer

ORDER = {name: bool(number // 2 % 2) for number, name in enumerate(IN_MODEL)}


def made(*, norm_first: bool, **changes: Any) -> Transformer:
    values: dict[str, Any] = {
        "source_vocab_size": 19, "target_vocab_size": 23, "d_model": 16, "num_heads": 4,
        "num_encoder_layers": 2, "num_decoder_layers": 2, "d_ff": 20, "dropout": 0.1,
        "max_length": 24, "norm_first": norm_first, "final_norm": norm_first,
        "layer_norm_eps": 1e-3,
    }  # fmt: skip
    return random_model(TransformerConfig(**values | changes), seed=1)


def named(name: str, norm_first: bool) -> None:
    model = made(norm_first=norm_first)
    plant(model, name)
    report = doctor(model)
    assert [(d.fault, d.certainty) for d in report.departures] == [(name, "proven")]
    assert report.verdict == "departs"
    assert report.passed == IN_MODEL[name].harmless
    assert report.departures[0].site is not None
    # Of the checks that need no mapping, exactly the expected ones fail.
    unsound = {check.name for check in report.diagnosis.checks if check.state != "ok"}
    assert unsound == FAILING_CHECKS.get(name, frozenset())
    stands_out = architecture_svg(model.config, report.highlight).count('class="lit"')
    assert stands_out == (name != "dropout-in-eval")  # that fault belongs to no single box


EVERY_SECOND = [
    pytest.param(name, marks=[pytest.mark.long] * (number % 2))
    for number, name in enumerate(IN_MODEL)
]


@pytest.mark.parametrize("name", EVERY_SECOND)
def test_a_planted_fault_is_named_and_proven(name: str) -> None:
    named(name, ORDER[name])


@pytest.mark.long
@pytest.mark.parametrize("name", IN_MODEL)
def test_a_planted_fault_is_named_in_the_other_order_of_norms(name: str) -> None:
    named(name, not ORDER[name])


@pytest.mark.parametrize(
    "pair",
    [
        ("unscaled-scores", "no-causal-mask"),
        ("positions-wrong-formula", "layer-norm-unbiased"),
        ("softmax-over-queries", "no-residual"),
        ("no-causal-mask", "no-source-padding-mask"),
        ("heads-merged-by-view", "unscaled-embeddings", "no-activation"),
    ],
    ids=" and ".join,
)
def test_several_faults_are_all_named(pair: tuple[str, ...]) -> None:
    model = made(norm_first=True)
    plant(model, *pair)
    report = doctor(model)
    assert {d.fault for d in report.departures} == set(pair)
    assert all(d.certainty == "proven" for d in report.departures)


def test_what_is_accepted_passes() -> None:
    model = made(norm_first=False)
    plant(model, "unscaled-scores")
    assert not doctor(model).passed
    assert doctor(model, accept=["unscaled-scores"]).passed


def test_every_fault_has_a_witness_and_the_chapter_says_which() -> None:
    assert all(witnesses(name) for name in FAULTS)
    assert table() in (ROOT / "docs" / "doctor.md").read_text("utf-8")
