"""The path of the product in a real browser: train, inspect, decode, save, load."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import NewPage
from tests.support.server import Server, press_train, settle, trained
from tests.support.trainers import wait_for
from transformer.runs.directory import ACTIVE, list_runs

PAGES = {
    "": "Transformer Workbench",
    "train": "Train",
    "runs": "Runs",
    "attention": "Attention",
    "decode": "Decode",
    "checkpoints": "Checkpoints",
}


MOST_CURVES = """() => {
  window.mostCurves = 0;
  const count = () => {
    const curves = document.querySelectorAll('[class*="st-key-curve-"]').length;
    window.mostCurves = Math.max(window.mostCurves, curves);
  };
  new MutationObserver(count).observe(document.body, { subtree: true, childList: true });
}"""
"""From now on, keeps in `mostCurves` how many loss curves were on the page at once, at most."""


def set_steps(page: Page, steps: int) -> None:
    """Lower the number of updates in the settings of the Train page."""
    page.get_by_text("Settings", exact=True).click()
    field = page.get_by_label("Updates", exact=True)
    field.fill(str(steps))
    field.press("Enter")
    settle(page)


def ask(page: Page, text: str) -> None:
    """Type an input, and wait until the address contains it: then the page has taken it."""
    field = page.get_by_label("Input")
    field.fill(text)
    field.press("Enter")
    page.wait_for_url(re.compile(f"input={text}"))
    settle(page)


def read_steps(page: Page) -> list[str]:
    """The texts of the first 12 steps on the Decode page: token, candidates, attention."""
    seen = []
    expect(page.locator(".output button").first).to_be_visible()
    count = page.locator(".output button").count()
    assert count > 0
    for number in range(min(count, 12)):
        page.locator(".output button").nth(number).click()
        expect(page.locator(".where")).to_contain_text(f"Step {number + 1} of {count}")
        seen.append(
            page.locator(".decoding_steps").evaluate(
                """(root) => ['.where', '.candidates', '.source']
                  .map((part) => root.querySelector(part).innerText).join(' | ')"""
            )
        )
    return seen


# By default only Decode, which must load torch; the servers of other tests start cold too.
COLD = [path if path == "decode" else pytest.param(path, marks=pytest.mark.long) for path in PAGES]


@pytest.mark.parametrize("path", COLD)
def test_every_page_opens_by_its_address_on_a_cold_server(
    cold_server: Server, new_page: NewPage, path: str
) -> None:
    page = new_page()
    page.goto(f"{cold_server.url}/{path}")
    expect(page.get_by_role("heading", name=PAGES[path], level=1)).to_be_visible()
    # All six navigation links: the page was not drawn without its frame.
    for label in ("Overview", "Train", "Runs", "Attention", "Decode", "Checkpoints"):
        expect(page.get_by_test_id("stSidebar").get_by_role("link", name=label)).to_be_visible()
    settle(page)
    expect(page.get_by_test_id("stAlert")).to_have_count(1 if path == "runs" else 0)


def test_overview_is_alive(server: Server, new_page: NewPage) -> None:
    page = new_page()
    page.goto(server.url)
    expect(page.get_by_text("It says T R AE N S F AO R M ER")).to_be_visible()
    expect(page.locator(".word_map .token").first).to_be_visible()
    field = page.get_by_label("Type a name or a word")
    field.fill("Laughter")
    field.press("Enter")
    expect(page.get_by_text("It says L AE F T ER (AE as in cat, ER as in her)")).to_be_visible()


def test_a_trained_model_behaves_the_same_after_download_and_upload(
    server: Server, new_page: NewPage, tmp_path: Path
) -> None:
    page = new_page()
    few = "batch_size=16&eval_examples=32&final_examples=100"
    page.goto(f"{server.url}/train?task=reverse&{few}")
    settle(page)
    # Few updates: the probabilities of a half-trained model are not all 100 %.
    set_steps(page, 160)
    press_train(page, server)
    # The untrained baseline is on the chart from the first point on.
    expect(page.get_by_text(re.compile(r"untrained model: \d"))).to_be_visible()
    trained(page, server)
    # The verdict, with the untrained model beside it, is the first line of the run.
    expect(page.locator(".run-verdict")).to_contain_text("(untrained: 0)")
    expect(page.get_by_role("link", name="Decode with it")).to_be_visible()
    page.get_by_role("link", name="Decode with it").click()
    expect(page.locator(".where")).to_be_visible()
    settle(page)
    ask(page, "workbench")
    before = read_steps(page)
    page.get_by_role("link", name="Checkpoints").click()
    settle(page)
    with page.expect_download() as download:
        page.get_by_role("button", name="Download", exact=True).click()
    file = tmp_path / "trained.safetensors"
    download.value.save_as(file)

    other = new_page()
    other.goto(f"{server.url}/checkpoints")
    settle(other)
    other.locator("[data-testid=stFileUploader] input[type=file]").set_input_files(file)
    expect(other.get_by_role("combobox", name="Checkpoint")).to_have_value(
        re.compile("^trained\\.safetensors · .*uploaded")
    )
    settle(other)
    other.get_by_role("button", name="Check this checkpoint").click()
    expect(other.get_by_text("behaves exactly as it did when it was saved")).to_be_visible()
    expect(other.get_by_text("equal bit for bit")).to_be_visible()
    other.get_by_role("link", name="Decode step by step").click()
    expect(other.locator(".where")).to_be_visible()
    settle(other)
    ask(other, "workbench")
    assert read_steps(other) == before
    assert any("100.00 %" not in step for step in before)

    # A reload finds the upload again, by its address.
    other.reload()
    expect(other.locator(".where")).to_be_visible()
    assert "checkpoint=upload-" in other.url
    assert "input=workbench" in other.url


def test_a_run_outlives_its_tab(server: Server, new_page: NewPage) -> None:
    page = new_page()
    # Few examples, since a stopped run still evaluates all of them. More steps than the run can
    # finish before it is stopped.
    few = "preset=tiny&steps=100000&batch_size=16&eval_examples=16&final_examples=16"
    page.goto(f"{server.url}/train?task=sort&{few}")
    settle(page)
    press_train(page, server)
    expect(page.get_by_text(re.compile(r"step [\d,]+ of 100,000 · \d+ steps/s"))).to_be_visible()
    run = list_runs(server.folder / "runs")[0]
    page.close()
    before = run.last_step()
    wait_for(lambda: run.last_step() > before, "more steps")

    other = new_page()
    other.goto(f"{server.url}/train")
    # Train opens with the user's newest run.
    expect(other.get_by_role("combobox", name="Run")).to_have_value(re.compile("^Sort letters "))
    expect(other.get_by_text(re.compile("^training · step", re.IGNORECASE))).to_be_visible()
    assert run.status().state in ACTIVE
    other.evaluate(MOST_CURVES)
    other.get_by_role("button", name="Stop and keep what was learned").click()
    expect(other.get_by_text("Stopped; what was learned is saved")).to_be_visible()
    settle(other)
    assert other.evaluate("mostCurves") == 1  # the final view replaces the live one at once
    assert run.status().state == "stopped"
    assert run.checkpoints()


def test_seven_sentences_are_memorised(server: Server, new_page: NewPage) -> None:
    page = new_page()
    page.goto(f"{server.url}/train?task=reverse")
    settle(page)
    expect(page.get_by_role("button", name="Seven sentences in seconds")).to_be_visible()
    picture = page.locator("[class*=st-key-card-seven] .card-picture").bounding_box()
    assert picture is not None
    page.mouse.click(picture["x"] + 20, picture["y"] + 20)  # the whole card is a button
    page.wait_for_url(re.compile("pairs=seven"))
    press_train(page, server)
    verdict = page.locator(".run-verdict")
    expect(verdict).to_contain_text("Memorised all 7 pairs; nothing was held out", timeout=90_000)
    settle(page)
    page.get_by_role("tab", name="Answers").click()
    answers = page.get_by_role("region", name="Answers")
    expect(answers.get_by_text("✓ right")).to_have_count(7)
    expect(answers.get_by_text("✗ wrong")).to_have_count(7)  # the untrained answers beside them
    expect(page.get_by_text("the training pairs themselves").first).to_be_visible()
    assert (list_runs(server.folder / "runs")[0].metrics()[-2].loss or 1.0) < 1e-3
    # The form comes back as it was, and the run is gone from the address.
    page.get_by_role("button", name="New run").click()
    page.wait_for_url(re.compile("pairs=seven"))
    assert "run=" not in page.url
    # Back leads to the run.
    settle(page)
    page.wait_for_timeout(3_200)  # within 3 s, an older address is taken for a late one
    page.go_back()
    expect(verdict).to_contain_text("Memorised all 7 pairs")
