"""Run directories that an earlier version wrote: they are listed, verified, checked and resumed.

Only the command line is used, so that no name inside the library can hide a change on disk.
"""

import json
import shutil
from pathlib import Path

import pytest

from tests.cli.test_command_line import ROOT, command

SAVED = ROOT / "tests" / "data" / "before"
FINISHED, PAUSED = "0123456789ab", "ba9876543210"
FINAL_LOSS = 2.5194
"""What the version that wrote the paused run reached when it went on."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with copies of the runs."""
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
def test_their_checkpoints_verify(file: Path, folder: Path) -> None:
    path = folder / "runs" / file.relative_to(SAVED)
    done = command("verify", str(path), "--json", cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout)["ok"]


def test_the_health_check_reads_what_they_recorded(folder: Path) -> None:
    done = command("health", f"runs/{FINISHED}", "--json", cwd=folder)
    findings = {finding["name"]: finding for finding in json.loads(done.stdout)["findings"]}
    assert done.returncode in (0, 1), done.stderr
    assert findings
    assert not any("damaged" in finding["sentence"] for finding in findings.values())


def test_a_paused_run_goes_on_and_what_it_wrote_stays(folder: Path) -> None:
    metrics = folder / "runs" / PAUSED / "metrics.jsonl"
    before = metrics.read_text()
    done = command("train", "--run-dir", f"runs/{PAUSED}", "--json", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "Going on from step 93." in done.stderr
    result = json.loads(done.stdout)
    assert (result["state"], result["steps"]) == ("finished", 400)
    assert result["loss"] == pytest.approx(FINAL_LOSS, rel=0.02)
    assert metrics.read_text().startswith(before)
