"""The Decode page in a real browser: steps, their arithmetic, branches, wrong answers."""

import re
from pathlib import Path

import pytest
import torch
from playwright.sync_api import Page, expect

from tests.browser.conftest import NewPage
from tests.support.access import FRAME, assert_accessible_in_both_themes
from tests.support.places import bundled_file
from tests.support.server import Server, settle
from transformer.checkpoint import Checkpoint
from transformer.config import SamplingConfig
from transformer.decoding.next_token import next_token

LONG = "abcdefghijklmnopqrstuvwxyz"
"""An input longer than the training inputs of `reverse`, so that its answer is wrong."""


def open_decode(page: Page, server: Server, query: str) -> None:
    page.goto(f"{server.url}/decode?{query}")
    expect(page.locator(".where")).to_be_visible()
    settle(page)


def test_steps_temperature_and_cuts_by_keyboard(server: Server, new_page: NewPage) -> None:
    page = new_page()
    open_decode(page, server, "checkpoint=sort&input=workbench")
    readout = page.locator(".readout")
    expect(readout).to_be_hidden()
    page.get_by_label("Show the arithmetic").check()
    page.locator(".sampling summary").click()
    where = page.locator(".where")
    expect(where).to_contain_text("Step 1 of 10")
    page.locator(".output button").first.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    expect(where).to_contain_text("Step 3 of 10: writes “e”")
    expect(page.locator(".output button").nth(2)).to_be_focused()
    page.keyboard.press("End")
    expect(where).to_contain_text("Step 10 of 10: writes “<eos>”")
    page.keyboard.press("Home")
    page.get_by_label("Step", exact=True).focus()
    page.keyboard.press("ArrowRight")
    expect(where).to_contain_text("Step 2 of 10")
    # Temperature, top-k and top-p change the arithmetic at once, without the server.
    expect(readout).to_contain_text("÷ 1 =")
    page.get_by_label("Temperature", exact=True).focus()
    page.keyboard.press("ArrowRight")
    expect(readout).to_contain_text("÷ 1.1 =")
    page.get_by_label("Top-k", exact=True).focus()
    page.keyboard.press("Home")
    expect(readout).to_contain_text("Top-k 1:")
    expect(readout).to_contain_text("over the 1 kept")
    page.wait_for_url(re.compile("temperature=1.1"))
    page.wait_for_url(re.compile("top_k=1"))
    # Each candidate's own arithmetic, by the keyboard ...
    page.locator(".candidates button").first.focus()
    page.keyboard.press("ArrowDown")
    expect(readout).to_contain_text("ranks 2 of 30, so it is cut")
    expect(readout).to_contain_text("cut, so its probability is 0")
    # ... and by mouse, with the column pointed at in bold.
    page.locator(".candidates tbody tr").first.locator("td.divided").hover()
    expect(readout.locator("li.lit")).to_contain_text("÷ 1.1 =")
    # The address alone opens the same view.
    settle(page)
    again = new_page()
    again.goto(page.url)
    expect(again.locator(".where")).to_contain_text("Step 2 of 10")
    expect(again.locator(".readout")).to_contain_text("÷ 1.1 =")
    expect(again.locator(".readout")).to_contain_text("Top-k 1:")


def test_shown_numbers_are_the_models(server: Server, new_page: NewPage) -> None:
    checkpoint = Checkpoint.load(bundled_file("sort"))
    with torch.inference_mode():
        source = checkpoint.encode("hello")
        read = torch.tensor([[checkpoint.config.decoder_start_id]])
        row = checkpoint.model(source, read)[0, 0]
    expected = next_token(row, SamplingConfig(temperature=2.0, top_k=6, top_p=0.99))
    page = new_page()
    open_decode(page, server, "checkpoint=sort&input=hello&step=1&temperature=2&top_k=6&top_p=0.99")
    rows = page.locator(".candidates tbody tr")
    names = checkpoint.target_vocabulary.tokens
    for place, token in enumerate(row.argsort(descending=True)[:8].tolist()):
        cells = rows.nth(place).locator("td").all_inner_texts()
        assert rows.nth(place).locator("button").get_attribute("data-token") == names[token]
        assert cells[1] == f"{row[token]:.2f}"
        assert cells[2] == f"{row[token] / 2:.2f}"
        assert float(cells[0].split()[0]) == pytest.approx(
            100 * expected.probabilities[token].item(), abs=0.006
        )


def test_a_sampled_path_is_drawn_again_by_its_seed(server: Server, new_page: NewPage) -> None:
    page = new_page()
    open_decode(page, server, f"checkpoint=reverse&input={LONG}&temperature=3&seed=4")
    wrote = page.get_by_text("The model writes")
    expect(page.get_by_label("by sampling, with these settings and seed")).to_be_checked()
    first = wrote.inner_text()
    page.get_by_role("button", name="Draw again").click()
    expect(wrote).not_to_have_text(first)
    page.wait_for_url(re.compile("seed=5"))
    page.get_by_label("Seed", exact=True).fill("4")
    page.keyboard.press("Enter")
    expect(wrote).to_have_text(first)
    page.get_by_label("greedily").check()
    page.wait_for_url(lambda url: "seed=" not in url)
    expect(wrote).not_to_have_text(first)
    # The Strategies panel samples with the same seed.
    page.get_by_role("radio", name="Strategies").click()
    expect(page.get_by_label("Seed", exact=True)).to_have_value("4")
    expect(page.locator(".strategies")).to_contain_text("seed 4")
    open_decode(page, server, f"checkpoint=reverse&input={LONG}&part=strategies")
    expect(page.get_by_label("Seed", exact=True)).to_have_value("1")
    expect(page.locator(".strategies")).to_contain_text("seed 1")


def test_branches_are_made_named_compared_and_walked_by_keyboard(
    server: Server, new_page: NewPage
) -> None:
    page = new_page()
    open_decode(page, server, "checkpoint=reverse&input=abcdef&step=3")
    original = page.locator(".decoding_steps").inner_text()
    # Write another candidate, then type a token at a later step of that branch.
    page.locator(".candidates button").nth(1).focus()
    page.keyboard.press("Enter")
    said = page.get_by_text("After your choice, the model writes")
    expect(said).to_contain_text(re.compile(r"You wrote \w; the model would write d \("))
    # The focus stays on the candidate that is now written.
    expect(page.locator(".candidates tr", has=page.locator("button:focus"))).to_have_count(1)
    expect(page.get_by_test_id("stAlert")).to_have_count(0)  # a token the user chose is no mistake
    settle(page)
    page.get_by_label("Write another token").fill("nonsense")
    page.keyboard.press("Enter")
    expect(page.locator(".refused")).to_contain_text("no token “nonsense”")
    page.get_by_label("Write another token").fill("q")
    page.keyboard.press("Enter")
    expect(page.get_by_text("After your choice, the model writes feq")).to_be_visible()
    settle(page)
    tree = page.locator(".branch_tree")
    expect(tree.locator("tbody tr")).to_have_count(3)
    # Only q is marked: f and e come before the choice, but the model writes them by itself.
    expect(page.locator(".output button.forced")).to_have_text(re.compile("^q"))
    expect(tree.locator("td.token span.forced")).to_have_count(2)
    # Name the branch, and compare it with the model's own output.
    tree.get_by_label("Name of the branch shown").fill("with <b>q</b>!~*")
    page.keyboard.press("Enter")
    named = tree.get_by_role("button", name="with <b>q</b>!~*", exact=False).first
    expect(named).to_be_visible()
    compare = tree.get_by_role("button", name="Compare the model's own with the branch shown")
    compare.focus()
    page.keyboard.press("Enter")
    expect(page.locator(".legend")).to_contain_text("They part at step 3")
    expect(page.locator(".candidates")).to_have_count(2)
    expect(page.locator(".source .weighed").first.locator(".height")).to_have_count(2)
    expect(page.locator(".output button.parting")).to_have_count(1)
    page.wait_for_url(re.compile("branches=.*"))
    page.wait_for_url(re.compile("beside=branch"))
    settle(page)
    with page.expect_download() as download:
        page.get_by_role("button", name="All branches, step by step (CSV)").click()
    lines = Path(download.value.path()).read_text("utf-8-sig").splitlines()
    assert lines[0].startswith("branch,step,token")
    assert any(line.startswith("with <b>q</b>!~*,3,q,True,-") for line in lines)
    # The address alone opens the same comparison in another browser.
    again = new_page()
    again.goto(page.url)
    expect(again.locator(".legend")).to_contain_text("They part at step 3")
    expect(again.locator(".branch_tree tbody tr")).to_have_count(3)
    expect(again.locator(".branch_tree")).to_contain_text("with <b>q</b>!~*")
    # Return to the model's own output: no digit has changed.
    tree.locator("button.name").nth(2).focus()
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Enter")
    expect(page.get_by_text("The model writes fedcba")).to_be_visible()
    settle(page)
    page.locator(".output button").nth(2).click()
    expect(page.locator(".decoding_steps")).to_have_text(original, use_inner_text=True)
    expect(page.locator(".branch_tree tbody tr")).to_have_count(3)


def test_a_wrong_answer_says_where_and_why(server: Server, new_page: NewPage) -> None:
    page = new_page()
    page.goto(f"{server.url}/decode?checkpoint=reverse&input={LONG}")
    alert = page.get_by_test_id("stAlert")
    expect(alert).to_contain_text(re.compile(r"Wrong from step \d+ on: there the model wrote \w"))
    expect(alert).to_contain_text(re.compile(r"the target has \w, its \d+\w\w choice \("))
    expect(alert).to_contain_text("its training inputs had at most 12")
    expect(alert).to_contain_text("It looked most at")
    settle(page)
    # The page opens at the step that went wrong, and marks it.
    step = int(re.search(r"step (\d+)", alert.inner_text())[1])  # type: ignore[index]
    expect(page.locator(".where")).to_contain_text(f"Step {step} of")
    wrong = page.locator(".output button.wrong")
    expect(wrong.first).to_have_attribute("aria-pressed", "true")
    expect(page.locator(".candidates tr", has_text="◎ right")).to_have_count(1)
    page.get_by_role("button", name=re.compile("Write . there")).click()
    expect(page.get_by_text("After your choice")).to_be_visible()
    # A new input clears what belonged to the old one.
    page.get_by_label("Input").fill("abc")
    page.keyboard.press("Enter")
    expect(page.get_by_text("The model writes cba, which is right")).to_be_visible()
    expect(page.get_by_test_id("stAlert")).to_have_count(0)
    expect(page.locator(".where")).to_contain_text("Step 1 of 4")


def test_teacher_forcing_and_the_untrained_beside_the_path(
    server: Server, new_page: NewPage
) -> None:
    page = new_page()
    open_decode(page, server, f"checkpoint=reverse&input={LONG}&beside=target&part=forcing")
    expect(page.locator(".legend")).to_contain_text("lower row: true target given")
    expect(page.locator(".legend")).to_contain_text("They part at step")
    expect(page.locator(".output button")).to_have_count(27)
    table = page.locator(".forcing")
    expect(table.locator("tbody tr")).to_have_count(4)
    expect(table.locator("td.parts")).to_have_count(1)
    expect(page.get_by_text("1 and 2 agree")).to_be_visible()
    open_decode(page, server, "checkpoint=sort&input=hello&beside=untrained")
    expect(page.locator(".legend")).to_contain_text(
        re.compile("would have written another at [3-6] of 6 steps")
    )
    shares = page.locator(".output button").first.locator("small").all_inner_texts()
    assert shares[0] == "99.97 %"
    assert float(shares[1].split()[0]) < 50


def test_two_sides_and_every_panel_are_accessible(server: Server, new_page: NewPage) -> None:
    page = new_page()
    query = f"checkpoint=reverse&input={LONG}&beside=target&branches=5.6~7&prefix=8"
    open_decode(page, server, query)
    assert_accessible_in_both_themes(page, "branches")
    page.get_by_role("radio", name="Strategies").click()
    page.get_by_role("radio", name="Teacher forcing").click()
    expect(page.locator(".forcing")).to_be_visible()
    settle(page)
    assert_accessible_in_both_themes(page, "forcing", (*FRAME, ".decoding_steps"))
