"""Reading a run's metrics: no line twice, no partial line, no impossible value."""

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.trainers import tiny
from transformer.runs.metrics import (
    METRICS,
    History,
    Record,
    by_step,
    early_axis,
    last_step,
    read_metrics,
    series,
    thinned,
)

records = st.lists(
    st.fixed_dictionaries(
        {"kind": st.sampled_from(["train", "eval"]), "step": st.integers(0, 10**7)},
        optional={"text": st.text(max_size=20), "loss": st.floats(0, 1e6)},
    ),
    max_size=8,
)


@settings(max_examples=80)
@given(st.data())
def test_metrics_are_read_once_each_however_they_are_cut(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """The trainer writes while we read, so the file may end at any byte."""
    run = tmp_path_factory.mktemp("run")
    assert read_metrics(run) == ([], 0)
    drawn: list[dict[str, Any]] = data.draw(records)
    lines = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in drawn).encode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(lines)), max_size=5)))
    found, offset = [], 0
    for cut in [*cuts, len(lines)]:
        (run / METRICS).write_bytes(lines[:cut])
        new, offset = read_metrics(run, offset)
        assert offset <= cut
        found += new
    assert found == [Record(one["kind"], one["step"], loss=one.get("loss")) for one in drawn]
    assert offset == len(lines)
    assert read_metrics(run, offset) == ([], offset)
    assert last_step(run) == (drawn[-1]["step"] if drawn else 0)


def test_metrics_start_again_when_the_file_was_cut_back(tmp_path: Path) -> None:
    lines = [f'{{"kind": "train", "step": {step}}}\n' for step in range(50)]
    (tmp_path / METRICS).write_text("".join(lines))
    offset = read_metrics(tmp_path)[1]
    (tmp_path / METRICS).write_text("".join(lines[:3]))
    assert [record.step for record in read_metrics(tmp_path, offset)[0]] == [0, 1, 2]


def test_a_damaged_line_costs_only_itself(tmp_path: Path) -> None:
    first, second = (f'{{"kind": "eval", "step": {step}}}'.encode() for step in (1, 2))
    content = first + b"\nnonsense\n\xff\xfe\n[1]\n\n" + second + b"\n" + first[:-1]
    (tmp_path / METRICS).write_bytes(content)
    found, offset = read_metrics(tmp_path)
    assert [record.step for record in found] == [1, 2]
    assert content[offset:] == first[:-1]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("loss", value) for value in ("NaN", "Infinity", "1e999", "-1", "true", '"1"', "[1]")),
        *(("exact_match", value) for value in ("1.5", "-0.5")),
        *(("tokens", value) for value in ("1.5", "-3", "9" * 400)),
        ("errors", '{"wrong": 9}'),
        ("errors", '{"wrong": true}'),
    ],
)
def test_a_number_that_cannot_be_true_counts_as_missing(name: str, value: str) -> None:
    line = f'{{"kind": "eval", "step": 3, "seconds": 2, "examples": 8, "{name}": {value}}}'
    assert Record.parse(line.encode()) == Record("eval", 3, seconds=2, examples=8)


@pytest.mark.parametrize("step", ["-1", "1.0", "true", "null", "9" * 30])
def test_a_line_without_a_step_is_none(step: str) -> None:
    assert Record.parse(f'{{"kind": "eval", "step": {step}, "loss": 1}}'.encode()) is None
    assert Record.parse(b'{"kind": "other", "step": 1, "loss": 1}') is None


def test_the_two_lines_of_an_evaluation_are_one_record(tmp_path: Path) -> None:
    """Even if the file is read between the two lines."""
    history = History(tmp_path)
    lines = ['{"kind": "eval", "step": 5, "loss": 2.0, "seconds": 1}\n']
    (tmp_path / METRICS).write_text(lines[0])
    history.update()
    before = history.evaluations
    lines.append('{"kind": "eval", "step": 5, "exact_match": 0.5, "seconds": 3}\n')
    lines.append('{"kind": "train", "step": 5, "loss": 9.0}\n')
    (tmp_path / METRICS).write_text("".join(lines))
    history.update()
    assert history.evaluations == {5: Record("eval", 5, seconds=3, loss=2.0, exact_match=0.5)}
    assert before[5].exact_match is None  # the dict read before stays as it was
    assert history.evaluations == by_step(read_metrics(tmp_path)[0], "eval")
    assert series(history.evaluations, "loss", "exact_match") == [[5, 2.0, 0.5]]
    assert series(history.evaluations, "loss", "unigram") == []
    # A point of training without its time cannot be drawn over time.
    assert history.curves(tiny())["train"] == []


def test_a_long_curve_is_thinned_with_both_its_ends() -> None:
    points = [[float(step)] for step in range(1234)]
    for most in (2, 7, 100):
        kept = thinned(points, most)
        assert len(kept) == most
        assert (kept[0], kept[-1]) == (points[0], points[-1])
        assert kept == sorted(kept)
    assert thinned(points[:100], 100) == points[:100]


def test_thinning_on_an_axis_keeps_more_of_what_has_more_room() -> None:
    points = list(range(7, 5000))
    kept = thinned(points, 50, early_axis)
    assert 40 < len(kept) <= 50
    assert (kept[0], kept[-1]) == (7, 4999)
    assert kept == sorted(set(kept))
    distances = [later - earlier for earlier, later in pairwise(kept)]
    assert distances[0] < 10
    assert distances[-2] > 200
