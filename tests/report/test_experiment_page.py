"""An experiment that was predicted and run is kept as a page, and read again."""

import argparse
import html

import pytest

from transformer.cli.experiments import reported
from transformer.experiments.experiment import Outcome
from transformer.experiments.registry import EXPERIMENTS
from transformer.report.experiment import experiment_page
from transformer.report.reading import read_report

AUTHOR = "</script><script>alert(1)</script>"


@pytest.mark.parametrize(("predicted", "said"), [(2, "predicted rightly"), (0, "otherwise")])
def test_a_page_says_what_was_predicted_and_what_came_out(predicted: int, said: str) -> None:
    length = EXPERIMENTS["length"]
    measured = {name: low for name, (low, _) in length.bands.items()}
    curves = {"reverse": ((8.0, 1.0), (20.0, 0.0)), "sort": ((8.0, 1.0), (20.0, 0.1))}
    outcome = Outcome(measured, "reverse: 100 % right at 8 letters", 2, curves)
    found = reported(length, outcome, argparse.Namespace(seed=3, short=False), 18.2)
    page = experiment_page(length, found, predicted, AUTHOR)
    text = page.decode()
    assert AUTHOR not in text
    for shown in (AUTHOR, length.claim, length.options[predicted], outcome.said, length.axes[0]):
        assert html.escape(shown) in text
    assert text.count("<polyline") == 2
    one = read_report(page, "length.html")
    assert (one.title, one.author, one.task) == (length.title, AUTHOR, "experiment")
    assert said in one.verdict
    assert one.sentences == length.options[predicted]
    assert one.steps is None
