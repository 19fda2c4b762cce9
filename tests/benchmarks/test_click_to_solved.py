"""Where the seconds between the click and a run's end are counted."""

import pytest

from benchmarks.click_to_solved import spent
from transformer.runs.metrics import Record


def test_every_second_is_counted_once() -> None:
    """Ten updates of 0.1 s, one of them after a pause of 2 s; an evaluation in two lines."""
    records = [Record("eval", 0, seconds=0.2)]
    seconds = 0.2
    for step in range(1, 11):
        seconds += 2.1 if step == 4 else 0.1
        records.append(Record("train", step, seconds=seconds))
    records += [Record("eval", 10, seconds=seconds + 0.3), Record("eval", 10, seconds=seconds + 1)]
    found = spent(records, start=0.5, total=5.0)
    assert found.start == 0.5
    assert found.updates == pytest.approx(1)
    assert found.beside == pytest.approx(2)
    assert found.evaluations == pytest.approx(1)
    assert found.end == pytest.approx(0.5)
