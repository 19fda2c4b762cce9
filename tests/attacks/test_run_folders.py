"""No page breaks on run directories that are damaged, removed, or very many."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.runs.test_table import make, some_metrics
from tests.support.opened_pages import messages, open_page
from transformer.runs.directory import ROOT, Run, list_runs
from transformer.runs.snapshots import snapshots

pytestmark = pytest.mark.usefixtures("own_folder")
FILES = (
    *("config.json", "about.json", "status.json", "metrics.jsonl", "samples.jsonl", "control"),
    *("attention.json", "attention.bin", "goals.json", "data.tsv", "trainer.log", "run.lock"),
    *("checkpoints/step-5.json", "checkpoints/step-5.safetensors"),
)


def folder(path: Path) -> None:
    path.unlink(missing_ok=True)
    path.mkdir(parents=True)


def link(path: Path) -> None:
    path.unlink(missing_ok=True)
    path.symlink_to("nowhere")


DAMAGE: dict[str, Callable[[Path], object]] = {
    "nothing": lambda path: path.write_bytes(b""),
    "any bytes": lambda path: path.write_bytes(bytes(range(256)) * 20),
    "half": lambda path: path.write_bytes(b'{"state": "running", "step": 5, "kind": "ev'),
    "another kind": lambda path: path.write_bytes(b'[{"a": [null, 1e999, "\\ud800"]}, "x"]\n'),
    "deep": lambda path: path.write_bytes(b"[" * 50_000),
    "a folder": folder,
    "a link to nowhere": link,
}


def damaged(file: str, how: str) -> Run:
    run = make(ROOT, f"{file} {how}", some_metrics(3))
    path = run.path / file
    path.parent.mkdir(exist_ok=True)
    DAMAGE[how](path)
    return run


def opens(page: str, **query: str) -> None:
    app = open_page(page, **query)
    assert not app.exception
    assert not [said for said in messages(app) if "our fault" in said]


def test_damaged_runs_stand_in_the_table() -> None:
    for file in FILES:
        for how in DAMAGE:
            damaged(file, how)
    # A directory whose config.json is a folder or a broken link is no run.
    assert len(list_runs()) == len(FILES) * len(DAMAGE) - 2
    opens("runs")


@pytest.mark.parametrize("file", ["status.json", "samples.jsonl", "attention.json"])
def test_a_damaged_run_is_opened(file: str) -> None:
    opens("train", run=damaged(file, "any bytes").id)


@pytest.mark.long
@pytest.mark.parametrize("how", DAMAGE)
@pytest.mark.parametrize("file", FILES)
def test_a_run_damaged_in_any_way_is_opened(file: str, how: str) -> None:
    run = damaged(file, how)
    snapshots(run.path / "checkpoints")
    opens("train", run=run.id)
    opens("checkpoints", checkpoint=f"run-{run.id}")


@pytest.mark.parametrize("page", ["runs", "train", "checkpoints"])
def test_the_folder_of_runs_may_go(page: str) -> None:
    run = make(ROOT, "gone", some_metrics(3))
    app = open_page(page)
    shutil.rmtree(ROOT)
    app.run()
    assert not app.exception
    assert not [said for said in messages(app) if "our fault" in said]
    ROOT.write_text("not a folder")
    opens(page, **({"run": run.id} if page == "train" else {}))


@pytest.mark.long
def test_a_thousand_runs_are_listed() -> None:
    first = make(ROOT, "first", some_metrics(3))
    for number in range(999):
        shutil.copytree(first.path, ROOT / f"{number:012x}")
    assert len(list_runs()) == 1000
    for page in ("runs", "train", "checkpoints"):
        opens(page)
