"""Outcomes of all experiments lie in their bands: short form; full form with 5 seeds (long)."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from transformer.__main__ import main
from transformer.cli.experiments import about
from transformer.experiments.carries import carries
from transformer.experiments.experiment import Experiment, Outcome, Settings
from transformer.experiments.registry import EXPERIMENTS
from transformer.experiments.training import scaled_progress, train

DOCS = Path(__file__).parents[2] / "docs" / "learn.md"


def outcome_of(experiment: Experiment, settings: Settings) -> Outcome:
    shares: list[float] = []
    for step in experiment.run(settings):
        if isinstance(step, Outcome):
            assert shares == sorted(shares)
            assert shares[-1] == pytest.approx(1)
            return step
        shares.append(step)
    raise AssertionError("no outcome")


def assert_sound(experiment: Experiment, found: Outcome, *, short: bool = False) -> None:
    assert experiment.outside(found, short=short) == []
    assert set(experiment.bands) <= set(found.measured)
    assert 0 <= found.option < len(experiment.options)
    assert found.said.endswith(".")
    assert bool(found.curves) == bool(experiment.axes[0])


def rows_of_the_table() -> list[list[str]]:
    lines = DOCS.read_text("utf-8").splitlines()
    return [line.strip("| ").split(" | ") for line in lines if line.startswith("| ")][1:]


def row_of(experiment: Experiment) -> list[str]:
    return next(row for row in rows_of_the_table() if row[0] == experiment.title)


def in_shape(said: str) -> str:
    """The sentence with ``#`` for numbers and for words that depend on them."""
    return re.sub(r"-?\d[\d,.]*(?=\W)|\b(self|cross|encoder)\b|\b(more|fewer)\b", "#", said)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_an_experiment_comes_out_as_known(name: str) -> None:
    experiment = EXPERIMENTS[name]
    found = outcome_of(experiment, Settings(short=True))
    assert_sound(experiment, found, short=True)
    assert in_shape(row_of(experiment)[3]).startswith(in_shape(found.said))
    if experiment.short_bands is None:  # `holds` is set if it is known not to reproduce
        assert experiment.reproduced(found) == (experiment.holds is None)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("name", EXPERIMENTS)
def test_an_experiment_in_full_comes_out_whatever_the_seed(name: str, seed: int) -> None:
    experiment = EXPERIMENTS[name]
    assert_sound(experiment, outcome_of(experiment, Settings(seed=seed)))


def test_a_short_training_is_of_the_model_that_was_asked_for() -> None:
    layouts = []

    def both() -> Iterator[float]:
        for layout in ("learned", "none"):
            model = {"position_layout": layout}
            found = yield from scaled_progress(
                train("sort", 1, Settings(short=True), model=model), 0, 1
            )
            layouts.append(found.model.config.position_layout)

    assert list(both()) == [1, 1]
    assert layouts == ["learned", "none"]


def test_carries_are_those_of_the_sum() -> None:
    assert carries("95+17") == [False, True, True]  # 5 + 7 and 9 + 1 + 1
    assert carries("1+2") == [False, False]
    assert carries("999+1") == [False, True, True, True]


def test_a_number_out_of_its_band_is_named() -> None:
    experiment = EXPERIMENTS["length"]
    measured = dict.fromkeys(experiment.bands, 0.0)
    found = Outcome(measured, "So.", 0)
    assert experiment.outside(found)[0] == "sinusoids, 8 letters is 0, not from 0.9 to 1"
    assert not experiment.reproduced(found)


def test_the_command_lists_runs_and_refuses(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["experiment"]) == 0
    listed = capsys.readouterr().out
    assert all(name in listed for name in EXPERIMENTS)
    assert main(["experiment", "scale", "--short", "--json", "--seed", "3"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["reproduced"] is True
    assert found["seed"] == 3
    assert set(EXPERIMENTS["scale"].bands) <= set(found["measured"])
    assert main(["experiment", "nonsense"]) == 1
    assert "There is no experiment 'nonsense'" in capsys.readouterr().err


def test_the_table_of_the_docs_names_every_experiment_as_its_command_does(
    capsys: pytest.CaptureFixture[str],
) -> None:
    text = DOCS.read_text("utf-8")
    assert "`python -m transformer experiment all --table`" in text
    assert [(*row[:3], row[4]) for row in rows_of_the_table()] == [
        (one.title, one.source, one.published, about(one)) for one in EXPERIMENTS.values()
    ]
    for one, row in zip(EXPERIMENTS.values(), rows_of_the_table(), strict=True):
        assert row[3].endswith("(not reproduced)") == (one.holds is not None), one.name
    # For the experiment that takes only a second, compare the whole row.
    assert main(["experiment", "scale", "--table"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] in text.splitlines()
