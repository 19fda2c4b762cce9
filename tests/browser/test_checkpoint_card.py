"""A checkpoint's card in a real browser: its look, by keyboard, in both themes, on a phone."""

import json
import re
import time
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import NewPage
from tests.support.access import (
    DESK,
    FRAME,
    PHONE,
    assert_accessible_in_both_themes,
    assert_not_cut_off,
    resize,
    turn,
)
from tests.support.explorer import press
from tests.support.places import bundled_file
from tests.support.random_models import small_config
from tests.support.server import Server, settle
from transformer.checkpoint import Checkpoint
from transformer.config import DataConfig
from transformer.model import Transformer
from transformer.vocabulary import Vocabulary

PARTS = ("parameters", "training", "vocabulary", "examples", "average", "compare")
WORDS = 58_000


def upload(page: Page, server: Server, file: Path) -> None:
    page.goto(f"{server.url}/checkpoints")
    settle(page)
    page.locator("[data-testid=stFileUploader] input[type=file]").set_input_files(file)
    page.wait_for_url(re.compile("checkpoint=upload-"))
    settle(page)


@pytest.fixture(scope="module")
def curved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundled reverse model with a learning curve added, so that it counts as another file."""
    from dataclasses import replace

    whole = Checkpoint.load(bundled_file("reverse"))
    assert whole.summary is not None
    curve: list[list[float]] = [[0, 5.2, 0.0], [500, 1.0, 0.4], [1500, 0.002, 0.997]]
    header = replace(whole.header, summary=replace(whole.summary, curve=curve), sha256="")
    path = tmp_path_factory.mktemp("curved") / "curved.safetensors"
    Checkpoint(header, whole.tensors).save(path)
    return path


def test_every_part_is_accessible_and_not_cut_off_on_a_phone(
    server: Server, new_page: NewPage, curved: Path
) -> None:
    page = new_page()
    upload(page, server, curved)
    page.get_by_role("button", name="Check this checkpoint").click()
    expect(page.get_by_text("behaves exactly as it did")).to_be_visible()
    settle(page)
    for part in PARTS:
        page.get_by_role("radio", name=part.capitalize()).click()
        if part == "compare":
            expect(page.get_by_text("How far their weights are apart")).to_be_visible()
        else:
            charts = {"training": 2, "parameters": 1}.get(part, 0)
            expect(page.locator(".js-plotly-plot")).to_have_count(charts)
        settle(page)
        but = (*FRAME, ".architecture") if part != PARTS[0] else ()
        assert_accessible_in_both_themes(page, part, but)
        resize(page, PHONE)
        assert_not_cut_off(page, part)
        resize(page, DESK)


def test_the_architecture_is_drawn_in_the_colours_of_the_theme(
    server: Server, new_page: NewPage
) -> None:
    seen = []
    page = new_page()
    page.goto(f"{server.url}/checkpoints?checkpoint=sort")
    settle(page)
    for scheme in ("light", "dark"):
        turn(page, scheme)
        picture = page.get_by_role("img", name=re.compile("2 layers of self-attention"))
        expect(picture).to_be_visible()
        for said in ("4 heads × d_k 16", "64 → 256 → 64, relu", "30 tokens × 64", "tied"):
            expect(picture.get_by_text(said, exact=True).first).to_be_visible()
        seen.append(
            picture.evaluate(
                """(svg) => [getComputedStyle(svg.querySelector('text')).fill,
                  getComputedStyle(document.querySelector('[data-testid=stApp]')).color]"""
            )
        )
    (light, text), (dark, other) = seen
    assert (light, dark) == (text, other)
    assert light != dark


def test_the_card_by_keyboard(server: Server, new_page: NewPage, tmp_path: Path) -> None:
    page = new_page()
    page.goto(f"{server.url}/checkpoints?checkpoint=reverse")
    expect(page.get_by_text("Equal to what it gave when it was saved")).to_be_visible()
    settle(page)
    page.get_by_role("radio", name="Training").focus()
    press(page, "ArrowRight", "ArrowRight", "Space")
    page.wait_for_url(re.compile("card=vocabulary"))
    field = page.get_by_label("Search for a token")
    field.focus()
    page.keyboard.type("special")
    press(page, "Enter")
    expect(page.get_by_text("4 of 30", exact=True)).to_be_visible()
    settle(page)
    page.get_by_role("button", name="Check this checkpoint").focus()
    press(page, "Enter")
    expect(page.get_by_text("behaves exactly as it did")).to_be_visible()
    settle(page)
    for name, ending in (("Evidence as JSON", "json"), ("Evidence to print", "html")):
        page.get_by_role("button", name=name).focus()
        with page.expect_download() as download:
            press(page, "Enter")
        assert download.value.suggested_filename == f"reverse-checked.{ending}"
        download.value.save_as(tmp_path / f"evidence.{ending}")
    told = json.loads((tmp_path / "evidence.json").read_text("utf-8"))
    assert told["ok"]
    # The evidence opens from a file, without any request to a server.
    page.goto(f"file://{tmp_path}/evidence.html")
    expect(page.get_by_role("heading", level=1)).to_contain_text("behaves exactly as it did")
    expect(page.get_by_text(told["file"]["sha256"])).to_be_visible()
    page.set_viewport_size({"width": PHONE, "height": 900})
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE


def test_an_upload_is_renamed_deleted_and_back(
    server: Server, new_page: NewPage, curved: Path
) -> None:
    page = new_page()
    upload(page, server, curved)
    page.get_by_role("button", name="Edit").click()
    name = page.get_by_label("Name", exact=True)
    name.fill("My <b>best</b> model")
    name.press("Enter")
    # While the new name replaces the old, both fields are there for a moment.
    box = page.get_by_role("combobox", name="Checkpoint").first
    expect(box).to_have_value(re.compile("^My <b>best</b> model · .*uploaded"))
    settle(page)
    page.get_by_role("button", name="Delete").click()
    expect(page.get_by_text("My <b>best</b> model is in the trash")).to_be_visible()
    expect(box).not_to_have_value(re.compile("best"))
    page.get_by_role("button", name="Undo").click()
    expect(box).to_have_value(re.compile("^My <b>best</b> model · .*uploaded"))
    settle(page)
    page.reload()
    expect(box).to_have_value(re.compile("^My <b>best</b> model · .*uploaded"))


def test_a_vocabulary_of_58000_answers_a_search_at_once(
    server: Server, new_page: NewPage, tmp_path: Path
) -> None:
    words = Vocabulary("words", [f"word{number}" for number in range(WORDS)])
    config = small_config(
        words, d_model=2, num_heads=1, d_ff=2, share_embeddings=True, max_length=16
    )
    made = Checkpoint.of(
        Transformer(config).eval(),
        words,
        words,
        DataConfig(task="imported"),
        None,
        [("word1", "word2")],
        origin="Random weights.",
    )
    made.save(tmp_path / "large.safetensors")
    page = new_page()
    upload(page, server, tmp_path / "large.safetensors")
    page.get_by_role("radio", name="Vocabulary").click()
    expect(page.get_by_text("In the order of the ids.")).to_be_visible()
    settle(page)
    field = page.get_by_label("Search for a token")
    waited = []
    for text, count in (("word57999", "1 of 58,004"), ("word579", "111 of 58,004")):
        field.fill(text)
        started = time.monotonic()
        field.press("Enter")
        expect(page.get_by_text(count, exact=True)).to_be_visible()
        waited.append(time.monotonic() - started)
    assert min(waited) < 2, waited  # 0.1 to 0.3 s on an idle machine
