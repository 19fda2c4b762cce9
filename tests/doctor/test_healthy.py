"""The doctor passes correct models of every configuration and style, and proves bugs in them."""

from typing import Any

import pytest
import torch

from tests.support.own_models import Heads, own
from tests.support.random_models import SWITCHED, random_model, small_config
from transformer.config import TransformerConfig
from transformer.doctor import doctor
from transformer.interop.captured.convert import checkpoint_of
from transformer.vocabulary import Vocabulary


def config(seed: int) -> TransformerConfig:
    """A random config: widths, heads, layers, norms, activation, ties, positions, special ids."""
    generator = torch.Generator().manual_seed(seed)

    def one(*options: Any) -> Any:
        return options[int(torch.randint(len(options), (1,), generator=generator))]

    heads = one(1, 2, 4)
    ids = torch.randperm(5, generator=generator).tolist()
    shared = one(True, False)
    size = one(9, 17, 30)
    return TransformerConfig(
        source_vocab_size=size,
        target_vocab_size=size if shared else one(11, 21),
        share_embeddings=shared,
        d_model=heads * one(4, 6, 8),
        num_heads=heads,
        num_encoder_layers=one(1, 2, 3),
        num_decoder_layers=one(1, 2, 3),
        d_ff=one(5, 16, 33),
        dropout=one(0.0, 0.3),
        max_length=40,
        norm_first=one(True, False),
        final_norm=one(True, False),
        activation=one("relu", "gelu", "swish"),
        tie_embeddings=one(True, False),
        output_bias=one(True, False),
        position_layout=one("interleaved", "halves", "learned"),
        layer_norm_eps=one(1e-5, 1e-6, 1e-3),
        pad_id=ids[0],
        bos_id=ids[1],
        eos_id=ids[2],
        unk_id=ids[3],
        decoder_start_id=ids[1],
    )


def raises_nothing(seed: int) -> None:
    made = config(seed)
    report = doctor(random_model(made, seed), pad_id=made.pad_id)
    assert report.verdict == "equal", (report.text(), made)
    assert not [check for check in report.diagnosis.checks if check.state != "ok"], report.text()


@pytest.mark.parametrize("seed", range(4))
def test_a_healthy_model_of_any_configuration_raises_nothing(seed: int) -> None:
    raises_nothing(seed)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(4, 40))
def test_healthy_models_of_many_more_configurations(seed: int) -> None:
    raises_nothing(seed)


@pytest.mark.parametrize("name", SWITCHED)
def test_what_models_from_elsewhere_need_is_a_checkpoint_too(name: str) -> None:
    """Read without names, a model keeps its setting; only a norm after the embeddings departs."""
    made = small_config(Vocabulary("characters", list("abcdefgh")), **SWITCHED[name])
    report = doctor(random_model(made, 5))
    departs = name == "a norm after the embeddings"
    assert [d.fault for d in report.departures] == ["norm-after-embeddings"] * departs
    assert report.verdict == ("departs" if departs else "equal"), report.text()
    kept = checkpoint_of(report.diagnosis.recording, diagnosis=report.diagnosis).config
    for field, value in SWITCHED[name].items():
        assert getattr(kept, field) == value


STYLES: dict[str, dict[str, Any]] = {
    "plain": {},
    "fused, sdpa, flattened": {"qkv": "fused", "attend": "sdpa", "call": "flat"},
    "a linear map a head": {"qkv": "per head", "attend": "einsum", "norm": "by hand"},
    "einsum": {"qkv": "einsum", "attend": "einsum", "norm": "functional", "positions": "computed"},
    "x @ W": {"qkv": "shifted", "attend": "added mask", "ff": "matmul", "embed": "raw"},
    "heads written into room": {
        "qkv": "buffer", "attend": "filled", "order": "pre", "final": True,
    },
    "softmax by hand": {"qkv": "kv", "attend": "by hand", "norm": "var_mean", "call": "dict"},
    "turned, convolutions": {"attend": "turned", "ff": "conv", "positions": "looked up"},
    "masks passed in": {"call": "masks", "order": "pre", "final": True},
    "encode and decode": {"call": "halves", "act": "gelu"},
    "log-probabilities": {"call": "log", "positions": "halves"},
    "time first": {"call": "time", "act": "silu"},
    "shifts inside": {"call": "shift", "positions": "learned"},
    "nn.Transformer": {"library": {}},
    "nn.Transformer, pre-norm": {"library": {"norm_first": True}},
    "sequential, no bias": {"ff": "sequential", "bias": False},
}  # fmt: skip
APART: dict[str, dict[str, Any]] = {
    "time first, heads in a list": {"call": "time", "qkv": "per head", "norm": "by hand"},
    "masks passed in, sdpa": {"call": "masks", "attend": "sdpa", "qkv": "kv", "embed": "raw"},
    "flattened, by hand": {"call": "flat", "attend": "by hand", "norm": "functional", "heads": 2},
    "log, convolutions, learned": {"call": "log", "ff": "conv", "positions": "learned"},
    "one head": {"heads": 1, "qkv": "shifted", "order": "pre", "attend": "turned"},
    "one layer": {"layers": 1, "qkv": "einsum", "act": "gelu", "final": True},
    "three layers": {"layers": 3, "qkv": "fused", "norm": "var_mean", "ff": "matmul"},
    "shifts, buffer": {"call": "shift", "qkv": "buffer", "attend": "einsum", "order": "pre"},
}
"""Styles not used while the doctor was written; docs/doctor.md has their first score."""


@pytest.mark.parametrize(
    "name", [*STYLES, *(pytest.param(name, marks=pytest.mark.long) for name in APART)]
)
def test_a_right_implementation_in_another_style_is_equal(name: str) -> None:
    """``STYLES`` and other combinations of the same options in ``APART`` are equal."""
    report = doctor(own(**(STYLES | APART)[name]))
    assert report.verdict == "equal", report.text()


BUGS: dict[str, tuple[dict[str, Any], str]] = {
    "no scale": ({}, "unscaled-scores"),
    "axis": ({"qkv": "fused"}, "softmax-over-queries"),
    "merge": ({"qkv": "kv"}, "heads-merged-by-view"),
    "no W^O": ({"order": "pre"}, "output-projection-unused"),
    "no activation": ({"ff": "sequential"}, "no-activation"),
    "residual": ({"order": "pre", "final": True}, "residual-after-norm"),
    "no residual": ({}, "no-residual"),
    "reads itself": ({}, "cross-attention-reads-decoder"),
    "base": ({}, "positions-wrong-formula"),
    "no root": ({}, "unscaled-embeddings"),
    "no positions": ({}, "no-positions"),
    "same input": ({}, "layers-reuse-input"),
    "off by one": ({"attend": "added mask"}, "causal-mask-off-by-one"),
    "no mask": ({"attend": "sdpa"}, "no-causal-mask"),
    "no padding mask": ({"call": "flat"}, "no-source-padding-mask"),
}


IN_SHORT = [bug for bug, (style, _) in BUGS.items() if style] + ["no scale", "reads itself"]
"""Bugs tested by default; the others use the plain style and are also in test_faults.py."""


@pytest.mark.parametrize(
    "bug", [pytest.param(bug, marks=[pytest.mark.long] * (bug not in IN_SHORT)) for bug in BUGS]
)
def test_a_bug_in_another_style_is_proven(bug: str) -> None:
    style, fault = BUGS[bug]
    report = doctor(own(bug=bug, **style))
    assert [(d.fault, d.certainty) for d in report.departures] == [(fault, "proven")]
    site = report.departures[0].site
    assert site is not None
    assert site.file == "own_models.py"


@pytest.mark.parametrize(("stack", "part"), [("encoder", "enc"), ("decoder", "dec")])
def test_a_bug_in_one_stack_alone_is_proven_there(stack: str, part: str) -> None:
    model = own(layers=1, d=8, heads=2)
    for module in model.get_submodule(part).modules():
        if isinstance(module, Heads):
            module.c = module.c | {"bug": "axis"}
    (departure,) = doctor(model).departures
    assert (departure.fault, departure.certainty) == ("softmax-over-queries", "proven")
    assert departure.where.startswith(stack)
    assert f"in the {stack} of our model" in departure.evidence


def test_what_no_fault_explains_is_told_with_its_place() -> None:
    report = doctor(own(bug="norm inside"))
    assert report.verdict == "departs"
    (departure,) = report.departures
    assert (departure.fault, departure.certainty) == ("other", "likely")
    assert "normalised before it is added" in departure.evidence
    assert departure.where == "encoder layer 0 self-attention"


@pytest.mark.parametrize("style", [{"norm": "annotated"}, {"norm": "annotated", "order": "pre"}])
def test_the_annotated_norm_departs_and_harms_nothing(style: dict[str, Any]) -> None:
    report = doctor(own(**style))
    assert {d.fault for d in report.departures} <= {"layer-norm-unbiased", "layer-norm-eps-outside"}
    assert report.passed
