"""Two or four servers on one folder of runs start them in order, lose none, train none twice."""

from collections import Counter
from pathlib import Path

import pytest

from tests.support.competing_server import SLOTS, STARTED, environment
from tests.support.nursery import Nursery
from transformer.runs.directory import runs_in
from transformer.runs.trash import deleted_runs


@pytest.mark.parametrize(("servers", "runs"), [(2, 4), pytest.param(4, 25, marks=pytest.mark.long)])
def test_servers_start_stop_and_delete_at_once(
    servers: int, runs: int, nursery: Nursery, root: Path, tmp_path: Path
) -> None:
    root.mkdir()
    logs = [tmp_path / f"{number}.log" for number in range(servers)]
    made = [
        nursery.call("tests.support.competing_server", "main", log, environment(root, number, runs))
        for number, log in enumerate(logs)
    ]
    outputs = {child: child.wait() for child in made}
    said = "".join(child.output() for child in made)
    assert set(outputs.values()) == {0}, said

    # No run is lost, and none waits or trains for ever.
    asked = [line for line in said.splitlines() if not line.startswith("#")]
    assert len(set(asked)) == servers * runs, said
    here = {run.id: run.status() for run in runs_in(root)}
    gone = {run.id for run in deleted_runs(root)}
    assert set(asked) == here.keys() | gone
    assert not here.keys() & gone
    assert {status.state for status in here.values()} <= {"finished", "stopped", "paused"}, here

    # Runs start in order, each once, and never more at a time than SLOTS.
    lines = [line.split() for line in (root / STARTED).read_text().splitlines()]
    tickets = [int(ticket) for _, ticket, _ in lines]
    assert tickets == sorted(set(tickets))
    assert set(Counter(id for id, _, _ in lines).values()) == {1}
    assert max(int(busy) for _, _, busy in lines) < SLOTS
