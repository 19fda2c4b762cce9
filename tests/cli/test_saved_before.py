"""Run directories that an earlier version wrote: they are listed, verified, checked and resumed.

Only the command line is used, so that changed names in the library do not change these tests.
Most commands run in the test's own process, which has already imported torch.
"""

import json
import shutil
from pathlib import Path

import pytest

from tests.cli.test_command_line import command
from tests.support.places import ROOT
from transformer.__main__ import main

SAVED = ROOT / "tests" / "data" / "before"
FINISHED, PAUSED = "0123456789ab", "ba9876543210"
FINAL_LOSS = 2.5194
"""Final loss when the version that wrote the paused run resumed it."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder whose ``runs`` holds copies of the saved runs."""
    path = tmp_path_factory.mktemp("before")
    shutil.copytree(SAVED, path / "runs")
    return path


def test_they_are_listed_as_they_were(folder: Path) -> None:
    done = command("runs", "runs", "--json", cwd=folder)
    runs = {Path(run["run"]).name: run for run in map(json.loads, done.stdout.splitlines())}
    found = {id: (run["name"], run["state"], run["step"]) for id, run in runs.items()}
    assert found == {
        FINISHED: ("Six pairs", "finished", 30),
        PAUSED: ("Paused on its way", "paused", 93),
    }


@pytest.mark.parametrize("file", sorted(SAVED.glob("*/checkpoints/step-*[0-9].safetensors")))
def test_their_checkpoints_verify(
    file: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = folder / "runs" / file.relative_to(SAVED)
    code = main(["verify", str(path), "--json"])
    said = capsys.readouterr()
    assert code == 0, said
    assert json.loads(said.out)["ok"]


def test_the_health_check_reads_what_they_recorded(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = main(["health", str(folder / "runs" / FINISHED), "--json"])
    said = capsys.readouterr()
    findings = {finding["name"]: finding for finding in json.loads(said.out)["findings"]}
    assert code in (0, 1), said.err
    assert findings
    assert not any("damaged" in finding["sentence"] for finding in findings.values())


def test_a_paused_run_goes_on_and_what_it_wrote_stays(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    metrics = folder / "runs" / PAUSED / "metrics.jsonl"
    before = metrics.read_text()
    code = main(["train", "--run-dir", str(folder / "runs" / PAUSED), "--json"])
    said = capsys.readouterr()
    assert code == 0, said.err
    assert "Going on from step 93." in said.err
    result = json.loads(said.out)
    assert (result["state"], result["steps"]) == ("finished", 400)
    assert result["loss"] == pytest.approx(FINAL_LOSS, rel=0.02)
    assert metrics.read_text().startswith(before)
