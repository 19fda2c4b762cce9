"""The three goals and the health check of a real run, on the Train page."""

import re
import subprocess
import sys

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import NewPage
from tests.support.access import PHONE, assert_fit_for_all
from tests.support.places import ROOT
from tests.support.server import Server, settle
from transformer.runs.directory import Run
from transformer.runs.goals import add_evidence
from transformer.tasks.presets import prepare
from transformer.trainer.overfit import run_overfit_check

SHORT = {"max-letters": 4, "d-model": 32, "d-ff": 64, "steps": 20, "final-examples": 20}


@pytest.fixture(scope="module")
def run(server: Server) -> Run:
    """A short run, trained from the command line, with the evidence of its overfit check."""
    path = server.folder / "runs" / "a1"
    command = [sys.executable, "-m", "transformer", "train", "--task", "reverse"]
    command += [f"--{name}={value}" for name, value in SHORT.items()]
    subprocess.run([*command, "--run-dir", str(path)], cwd=ROOT, check=True, capture_output=True)
    run = Run(path)
    if not (path / "goals.json").exists():
        add_evidence(path, "twin", run_overfit_check(run.config(), prepare("reverse")[0]).to_dict())
    return run


def test_the_goals_and_the_health_check_are_read_on_the_page(
    server: Server, new_page: NewPage, run: Run
) -> None:
    page = new_page(width=PHONE, scheme="dark")
    page.goto(f"{server.url}/train?run={run.id}")
    expect(page.locator(".run-evidence")).to_contain_text("checks passed")
    page.get_by_role("tab", name="Checks").click()
    cards = page.locator(".goal")
    expect(cards).to_have_count(3)
    expect(cards.nth(0)).to_contain_text("✓ passed")
    expect(cards.nth(0)).to_contain_text("8 of 8")
    expect(cards.nth(0).get_by_role("img")).to_be_visible()
    expect(cards.nth(1)).to_contain_text(
        "guess by frequency" if "unigram" in metrics(run) else "uniform"
    )
    # The checks ran at the end of the training, are folded, and can be repeated.
    page.get_by_text(re.compile(r"^1\d checks passed")).last.click()
    expect(page.locator(".findings li")).to_have_count(18)
    page.get_by_role("button", name="Check again").click()
    expect(page.get_by_role("button", name="Check again")).to_be_enabled(timeout=120_000)
    settle(page)
    assert_fit_for_all(page)


def metrics(run: Run) -> str:
    return (run.path / "metrics.jsonl").read_text("utf-8")
