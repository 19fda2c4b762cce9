"""A user's own loss, optimizer and decoding: correct ones pass, each mistake is named."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.support.own_models import own
from tests.support.random_models import random_model
from transformer.config import TransformerConfig
from transformer.decoding import greedy as decoded
from transformer.doctor import doctor
from transformer.doctor.checks import Check
from transformer.doctor.report import Report
from transformer.faults import plant
from transformer.hooks import own_modules
from transformer.model import Transformer

SMALL: dict[str, Any] = {"layers": 1, "d": 8, "heads": 2}


def cross_entropy(
    model: nn.Module, source: Tensor, read: Tensor, asked: Tensor, pad_id: int, **how: Any
) -> Tensor:
    logits = model(source, read)
    return F.cross_entropy(logits.flatten(0, -2), asked.flatten(), **how)


def right(*given: Any, **how: Any) -> Tensor:
    return cross_entropy(*given, ignore_index=given[4], **how)


def of_sentences(*given: Any) -> Tensor:
    return right(*given, reduction="sum") / len(given[1])


def twice(model: nn.Module, source: Tensor, read: Tensor, asked: Tensor, pad_id: int) -> Tensor:
    chances = model(source, read).softmax(-1)
    return F.cross_entropy(chances.transpose(1, 2), asked, ignore_index=pad_id)


def reads_it(model: nn.Module, source: Tensor, read: Tensor, asked: Tensor, pad_id: int) -> Tensor:
    return right(model, source, read, read, pad_id)


def shifted(model: nn.Module, source: Tensor, read: Tensor, asked: Tensor, pad_id: int) -> Tensor:
    logits = model(source, read)[:, :-1]
    return F.cross_entropy(logits.transpose(1, 2), asked[:, 1:], ignore_index=pad_id)


def of(report: Report, name: str) -> Check:
    return next(check for check in report.diagnosis.checks if check.name == f"Your {name}")


@pytest.mark.parametrize(
    ("loss", "said"),
    [(right, "their mean"), (partial(right, label_smoothing=0.1), "label smoothing 0.1"),
     (partial(right, reduction="sum"), "their sum"), (of_sentences, "divided by the sentences")],
)  # fmt: skip
def test_a_right_loss_passes(loss: Callable[..., Tensor], said: str) -> None:
    report = doctor(own(**SMALL), loss=loss)
    assert of(report, "loss").state == "ok"
    assert said in of(report, "loss").sentence
    assert report.verdict == "equal"


@pytest.mark.parametrize(
    ("loss", "fault"),
    [(cross_entropy, "padding-in-loss"), (twice, "softmax-before-cross-entropy"),
     (reads_it, "targets-not-shifted"), (shifted, "targets-shifted-twice")],
)  # fmt: skip
@pytest.mark.parametrize("call", ["ids", "log"])
def test_a_wrong_loss_is_proven_at_its_line(
    loss: Callable[..., Tensor], fault: str, call: str
) -> None:
    if call == "log":  # the model gives log-probabilities, and a tuple
        given = loss

        def loss(model: nn.Module, *rest: Any) -> Tensor:
            return given(lambda *ids: model(*ids)[0], *rest)

    report = doctor(own(call=call, **SMALL), loss=loss)
    assert [(d.fault, d.certainty, d.where) for d in report.departures] == [
        (fault, "proven", "loss")
    ]
    site = report.departures[0].site
    assert site is not None
    assert site.file == "test_practice.py"
    second = report.to_dict(2)["departures"][0]["evidence"]
    assert "softmax" not in second + report.text(1)
    assert report.diagnosis.reading is not None  # the model itself was read and is correct


def test_a_loss_of_another_kind_is_not_called_wrong() -> None:
    def hinge(model: nn.Module, source: Tensor, read: Tensor, *_: Any) -> Tensor:
        return model(source, read).abs().mean()

    report = doctor(own(**SMALL), loss=hinge)
    assert of(report, "loss").state == "warning"
    assert report.verdict == "equal"


def test_what_cannot_be_called_is_said_and_harms_nothing() -> None:
    def loss(logits: Tensor, asked: Tensor) -> Tensor:
        return logits

    report = doctor(own(**SMALL), loss=loss, greedy=lambda *_: "text", optimizer=lambda model: 3)
    assert "could not be checked: TypeError" in of(report, "loss").sentence
    assert "returned int" in of(report, "optimizer").sentence
    assert of(report, "decoding").state == "warning"
    assert report.verdict == "equal"


def test_an_optimizer_that_is_not_given_the_encoder_is_named() -> None:
    model = own(**SMALL)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}

    def without(model: Any) -> torch.optim.Optimizer:
        return torch.optim.Adam([*model.dec.parameters(), *model.out.parameters()], lr=0.5)

    report = doctor(model, optimizer=without, loss=right)
    (departure,) = report.departures
    assert (departure.fault, departure.where) == ("parameters-not-optimized", "optimizer")
    assert "src.weight" in departure.evidence
    assert "(d_model · 4000)" in of(report, "learning rate").sentence
    assert all(torch.equal(before[name], one) for name, one in model.state_dict().items())


def test_a_right_optimizer_passes() -> None:
    report = doctor(own(**SMALL), optimizer=lambda m: torch.optim.SGD(m.parameters(), lr=0.1))
    assert of(report, "optimizer").state == "ok"
    assert report.verdict == "equal"


def step_by_step(
    model: nn.Module, source: Tensor, bos_id: int, eos_id: int, most: int, start: int | None = None
) -> list[int]:
    model.eval()
    written = [bos_id if start is None else start]
    while len(written) <= most:
        written.append(int(model(source, torch.tensor([written]))[0, -1].argmax()))
        if written[-1] == eos_id:
            break
    return written


def endless(model: nn.Module, source: Tensor, bos_id: int, eos_id: int, most: int) -> list[int]:
    return step_by_step(model, source, bos_id, -1, most)


def test_a_right_decoding_passes() -> None:
    report = doctor(own(**SMALL), greedy=step_by_step)
    assert of(report, "decoding").state == "ok"
    assert report.verdict == "equal"


def test_a_decoding_that_starts_with_another_token_is_proven() -> None:
    report = doctor(own(**SMALL), greedy=partial(step_by_step, start=2))
    assert [(d.fault, d.where) for d in report.departures] == [("wrong-start-token", "decoding")]


def writing(**changes: Any) -> Transformer:
    """A model whose output varies, since larger source embeddings outweigh the target's."""
    values: dict[str, Any] = {
        "source_vocab_size": 19, "target_vocab_size": 23, "d_model": 16, "num_heads": 4,
        "num_encoder_layers": 1, "num_decoder_layers": 1, "d_ff": 20, "max_length": 24,
    }  # fmt: skip
    model = random_model(TransformerConfig(**values | changes), seed=0)
    with torch.no_grad():
        model.source_embedding.tokens.weight.mul_(3)
        model.target_embedding.tokens.weight.mul_(0.3)
    return model


def test_a_decoding_that_never_stops_is_told() -> None:
    report = doctor(writing(), greedy=endless)
    assert "does not stop at the end token" in of(report, "decoding").sentence


def test_a_decoding_at_position_zero_is_proven() -> None:
    model = writing()
    faulty = own_modules(model)
    plant(faulty, "decoding-position-zero")

    def cached(_: Any, source: Tensor, bos_id: int, eos_id: int, most: int) -> list[int]:
        steps = list(decoded(faulty.double(), source, max_length=most))
        return list(steps[-1].tokens[0, 0].tolist())

    report = doctor(model, greedy=cached)
    assert [(d.fault, d.where) for d in report.departures] == [
        ("decoding-position-zero", "decoding")
    ]


def test_a_decoding_in_training_mode_is_told() -> None:
    def still_training(model: nn.Module, source: Tensor, *rest: Any) -> list[int]:
        return step_by_step(Quiet(model), source, *rest)

    class Quiet(nn.Module):
        def __init__(self, model: nn.Module) -> None:
            super().__init__()
            self.inner = [model]

        def forward(self, *ids: Tensor) -> Any:
            return self.inner[0](*ids)

    report = doctor(own(ff="sequential", **SMALL), greedy=still_training)
    assert "dropout stays on" in of(report, "decoding's mode").sentence
    assert report.verdict == "equal"
