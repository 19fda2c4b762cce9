"""The doctor on 36 recipes, three held-out styles and twenty strangers' models: correct ones pass,
and each departure is named with its line.

``python -m tests.doctor.test_recipes`` prints the scores.
"""

import re
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from tests.support.held_out_models import HELD_OUT, held_out
from tests.support.own_models import own
from tests.support.recipes import RECIPES, recipe
from tests.support.strangers import HARMLESS, STRANGERS, stranger
from transformer.doctor import doctor
from transformer.doctor.report import Report

USUAL = ("chunked", "dict_hf", "merge", "rmsnorm", "sdpa", "wrapped")
"""Strangers' models that run by default: the doctor was wrong about them at first."""
QUICK = 6
"""One of this many recipes runs by default; the others are marked long."""


def agrees(report: Report, expected: tuple[str, ...]) -> bool:
    """Whether the report names all expected departures and no other.

    Args:
        expected: names of faults; in parentheses, words for a departure that is no listed fault.
    """
    said = [one.strip("()") for one in expected if one.startswith("(")]
    names = [one for one in expected if not one.startswith("(")]
    found = [departure.fault for departure in report.departures]
    text = re.sub(r"\s+", " ", report.text()).lower()
    if any(one.lower() not in text for one in said):
        return False
    others = found.count("other") == len(said) or report.verdict == "equal"
    named = sorted(f for f in found if f != "other") == sorted(names)
    return named and others and (report.verdict == "equal" or bool(expected))


def report_and_expected(name: str) -> tuple[Report, tuple[str, ...]]:
    if name in RECIPES:
        switches, expected = RECIPES[name]
        return doctor(recipe(**switches)), expected
    if name in STRANGERS:
        return doctor(stranger(name)), STRANGERS[name]
    hand, switches, expected = HELD_OUT[name]
    return doctor(held_out(hand, **switches)), expected


MARKED = [
    pytest.param(name, marks=[pytest.mark.long] * bool(number % QUICK))
    for number, name in enumerate([*RECIPES, *HELD_OUT])
]


@pytest.mark.parametrize("name", MARKED)
def test_what_departs_is_named_and_nothing_else(name: str) -> None:
    report, expected = report_and_expected(name)
    assert agrees(report, expected), report.text()
    for departure in report.departures:
        site = departure.site
        assert site is not None
        assert site.file in ("recipes.py", "held_out_models.py")


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[pytest.mark.long] * (name not in USUAL)) for name in STRANGERS],
)
def test_strangers_are_told_what_departs_and_nothing_else(name: str) -> None:
    report, expected = report_and_expected(name)
    assert agrees(report, expected), report.text()
    assert report.passed == (not expected or name in HARMLESS)


def trained(model: nn.Module, updates: int) -> nn.Module:
    """Train a model for a few updates on random pairs, so that its weights are not initial."""
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    torch.manual_seed(4)
    for _ in range(updates):
        source, target = torch.randint(3, 29, (8, 6)), torch.randint(3, 29, (8, 5))
        out: Any = model(source, target)
        logits = out["logits"] if isinstance(out, dict) else out[0] if type(out) is tuple else out
        loss = F.cross_entropy(logits.flatten(0, 1), target.flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model


@pytest.mark.parametrize("hand", ["formulas", "borrowed", "flat"])
def test_a_trained_model_is_equal_too(hand: str) -> None:
    report = doctor(trained(held_out(hand, layers=1), 5))
    assert report.verdict == "equal", report.text()


@pytest.mark.long
@pytest.mark.parametrize("style", [{"qkv": "fused"}, {"qkv": "per head", "order": "pre"}], ids=str)
def test_a_model_of_the_papers_size_is_equal(style: dict[str, Any]) -> None:
    report = doctor(own(d=512, heads=8, layers=6, **style))
    assert report.verdict == "equal", report.text()


def main() -> None:
    """Print the scores of the recipes, the held-out styles and the strangers' models."""
    every = (("in use while writing", RECIPES), ("kept apart", HELD_OUT), ("strangers", STRANGERS))
    for title, names in every:
        missed = []
        for name in names:
            report, expected = report_and_expected(name)
            if not agrees(report, expected):
                missed.append(name)
        print(f"{title}: {len(names) - len(missed)} of {len(names)}", *missed, sep="\n  ")


if __name__ == "__main__":
    main()
