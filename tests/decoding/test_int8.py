"""8-bit copies of models: about as accurate, and the original models do not change."""

import json
from typing import cast

import pytest
import torch
from torch import nn

from tests.support.checkpoint_files import make, wild_model
from tests.support.places import BUNDLED, bundled_file
from transformer.__main__ import main
from transformer.checkpoint import Checkpoint
from transformer.checkpoint.placement import in_8_bits
from transformer.decoding.engines.int8 import Int8Linear, int8_copy
from transformer.errors import CheckpointError, UserError
from transformer.evaluation.held_out import held_out, task_of
from transformer.evaluation.scoring import Evaluation, evaluating
from transformer.faults import plant
from transformer.hooks import ablate, own_modules, record
from transformer.model import DecoderLayer
from transformer.tasks.shipped import ShippedTask

SAMPLE = ("reverse", "dates")


def exact_match(checkpoint: Checkpoint, examples: int | None) -> float:
    task = task_of(checkpoint)
    pairs = task.test_pairs() if isinstance(task, ShippedTask) else held_out(checkpoint, task)
    *_, found = evaluating(checkpoint, task, pairs[:examples])
    assert isinstance(found, Evaluation)
    return found.exact_match


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(path.stem, marks=() if path.stem in SAMPLE else pytest.mark.long)
        for path in sorted(BUNDLED.glob("*.safetensors"))
    ],
)
def test_a_trained_model_loses_no_more_than_a_fifth_of_a_point(name: str) -> None:
    checkpoint = Checkpoint.load(bundled_file(name))
    examples = 500 if name in SAMPLE else None
    eight = exact_match(in_8_bits(checkpoint), examples)
    assert eight >= exact_match(checkpoint, examples) - 0.002


def test_every_linear_layer_is_in_8_bits_and_the_model_it_is_made_of_stays() -> None:
    model = wild_model(1)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    eight = int8_copy(model)
    linear = {name for name, module in model.named_modules() if type(module) is nn.Linear}
    rounded = {name for name, module in eight.named_modules() if type(module) is Int8Linear}
    assert linear == rounded != set()
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])
    source, target = torch.tensor([[4, 5, 3]]), torch.tensor([[1, 4]])
    near = (eight(source, target) - model(source, target)).abs().max()
    assert 0 < near < 0.2


def test_it_can_be_looked_into_and_intervened_in() -> None:
    eight = int8_copy(wild_model(1))
    source, target = torch.tensor([[4, 5, 3]]), torch.tensor([[1, 4]])
    with torch.inference_mode():
        with record(eight) as trace:
            whole = eight(source, target)
        assert torch.allclose(trace.cross_attention.sum(-1), torch.ones(()), atol=1e-5)
        with ablate(eight, "decoder.layers.0.cross_attention.head_outputs", [0]):
            assert not torch.equal(eight(source, target), whole)


def test_one_at_a_time_and_together_it_writes_what_the_model_writes() -> None:
    checkpoint = Checkpoint.load(bundled_file("sort"))
    texts = ["workbench", "zebra", "a"]
    twin = in_8_bits(checkpoint)
    for group in (texts, *([text] for text in texts)):
        found: dict[str, str] = {}
        for progress in twin.answering(group):
            found |= {answer.source: answer.output for answer in progress.new.values()}
        assert found == {text: "".join(sorted(text)) for text in group}


@pytest.mark.parametrize("texts", [["abc"], ["abc", "f"]])
def test_numbers_that_overflow_are_told_in_a_sentence(texts: list[str]) -> None:
    checkpoint = make()
    with torch.no_grad():
        for parameter in checkpoint.model.parameters():
            parameter.mul_(1e18)
    with pytest.raises(CheckpointError, match="numbers overflow"):
        list(in_8_bits(checkpoint).answering(texts))


def test_where_it_cannot_be_computed_a_sentence_says_so() -> None:
    with pytest.raises(UserError, match="cannot compute in 8 bits"):
        int8_copy(wild_model().to("meta"))


def test_the_commands_take_it(capsys: pytest.CaptureFixture[str]) -> None:
    path = str(bundled_file("reverse"))
    found = {}
    for options in ([], ["--int8"]):
        assert main(["decode", path, "hello", "--json", *options]) == 0
        decoded = json.loads(capsys.readouterr().out)
        assert main(["evaluate", path, "--examples", "20", "--json", *options]) == 0
        scored = json.loads(capsys.readouterr().out)
        assert (decoded["output"], scored["exact_match"]) == ("olleh", 1.0)
        found[bool(options)] = decoded["log_prob"], scored["loss"]
    # Equal up to rounding.
    assert found[True] == pytest.approx(found[False], abs=0.01)
    assert not set(found[True]) & set(found[False])


@pytest.mark.parametrize("rows", [1, 3])
def test_a_product_of_several_layers_is_theirs_side_by_side(rows: int) -> None:
    attention = cast("DecoderLayer", int8_copy(wild_model(1)).decoder.layers[0]).self_attention
    first, *others = cast("list[Int8Linear]", [attention.query, attention.key, attention.value])
    width = first.in_features
    x = torch.randn(rows, width)
    apart = torch.cat([first(x) * 0.5, *(layer(x) for layer in others)], dim=1)
    together = first.product(others, 0.5)
    assert torch.allclose(together(x), apart, atol=1e-6)
    room = torch.empty(rows, 3 * width)
    assert together(x, out=room) is room
    assert torch.equal(room, together(x))


def test_a_model_with_a_planted_fault_is_refused() -> None:
    faulty = own_modules(wild_model(1))
    plant(faulty, "no-residual")
    with pytest.raises(UserError, match="planted fault cannot compute in 8 bits"):
        int8_copy(faulty)
