"""A prediction and its outcome are saved as a page and read back."""

import argparse
import html

import pytest

from tests.support.record_verdicts import INTO
from transformer.cli.experiments import reported
from transformer.experiments.experiment import Outcome
from transformer.experiments.registry import EXPERIMENTS
from transformer.faults import FAULTS
from transformer.report.predicted import experiment_page, lab_page
from transformer.report.reading import read_report
from transformer.runs.directory import Run
from transformer.runs.lab import OUTCOMES, Result, outcome

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


def test_a_fault_beside_its_healthy_copy() -> None:
    faulty, healthy = Run(INTO / "rate-too-high"), Run(INTO / "healthy")
    seen = outcome(Result.of(faulty), Result.of(healthy))
    assert seen is not None
    fault = FAULTS["learning-rate-too-high"]
    page = lab_page(fault, faulty, healthy, seen, AUTHOR)
    text = page.decode()
    for shown in (fault.title, fault.wrong, fault.why, OUTCOMES[seen]):
        assert html.escape(shown) in text
    assert text.count("<polyline") == 2
    one = read_report(page, "fault.html")
    assert (one.title, one.task) == (fault.title, "lab")
    assert one.verdict == f"{OUTCOMES[seen]}; predicted rightly"
