"""The widgets for tables, files, links and the scatter of heads: what they show, send and keep."""

import re
from typing import Any
from urllib.parse import quote

import pytest
from playwright.sync_api import expect

from pages.components.shell.lessons import PATHS
from pages.components.shell.mount import Widget
from pages.components.shell.teacher import EXERCISE_LINE as EXERCISE
from pages.components.widgets.answer_table import WIDGET as ANSWERS
from pages.components.widgets.architecture import WIDGET as ARCHITECTURE
from pages.components.widgets.copy_link import WIDGET as LINKS
from pages.components.widgets.file_feed import WIDGET as FEED
from pages.components.widgets.head_scatter import WIDGET as SCATTER
from pages.components.widgets.run_table import WIDGET as RUNS
from pages.components.widgets.run_table import row
from pages.components.widgets.word_map import WIDGET as WORD
from tests.support.bare_page import Bare
from transformer.config import TransformerConfig
from transformer.figures.architecture import architecture_svg
from transformer.lessons.lesson import read_lesson
from transformer.runs.table import Summary

MARKUP = "<b>bold</b> **x** & =1"


def test_a_tie_is_called_one(bare: Bare) -> None:
    data = {
        "source": ["a", "b", "<eos>"],
        "written": ["x", "y"],
        "weights": [[0.496, 0.504, 0.0], [0.9, 0.1, 0.0]],
        "boxes": [],
        "layers": {"encoder": 1, "decoder": 1},
    }
    shown = bare(WORD, data)
    told = shown.page.locator(".word_map p")
    expect(told).to_contain_text("To write x, it looked equally at a and b (a tie: 50 % each;")
    shown.page.get_by_role("button", name="y").hover()
    expect(told).to_contain_text("To write y, it looked most at a (90 %;")


# --- runs -------------------------------------------------------------------------------------


def runs(*summaries: Summary, **more: Any) -> dict[str, Any]:
    rows = [row(one, owned=False) for one in summaries]
    return {"rows": rows, "chosen": [], "turn": 0, "order": "-when", "most": 2, **more}


ONE = Summary("1", MARKUP, "sort", state="running", step=10, steps=100, loss=0.5)
TWO = Summary("2", "two", "reverse", state="failed", reason="It failed.")
THREE = Summary("3", "three", "copy", state="finished", parent="0123")


def test_runs_are_chosen_and_an_old_answer_undoes_nothing(bare: Bare) -> None:
    shown = bare(RUNS, runs(ONE, TWO, THREE))
    boxes = shown.page.get_by_role("checkbox")
    shown.page.get_by_label(f"Compare {MARKUP}", exact=True).focus()
    shown.press("Space")
    shown.page.locator("tbody tr").nth(1).locator("td.task").click()  # anywhere in the row
    chosen = ["state", "chosen", {"ids": ["1", "2"], "turn": 2}]
    assert shown.sent[-1] == chosen
    expect(boxes.nth(2)).to_be_disabled()  # two at most
    shown.draw(runs(ONE, TWO, THREE, chosen=["1"], turn=1))  # the answer to the first choice
    expect(boxes.nth(1)).to_be_checked()
    shown.draw(runs(ONE, TWO, THREE, chosen=["3"], turn=3))  # a newer one, as from an address
    expect(boxes.nth(1)).not_to_be_checked()
    expect(boxes.nth(2)).to_be_checked()


def test_a_score_on_the_pairs_it_learned_is_called_memorised(bare: Bare) -> None:
    own = Summary("4", "four", exact_match=1.0, on_training_pairs=True, state="finished")
    held_out = Summary("5", "five", exact_match=1.0, state="finished")
    shown = bare(RUNS, runs(own, held_out), width=1400)
    said = shown.page.locator("td.exact span:first-child")
    expect(said).to_have_text(["100 % memorised", "100.0 %"])


def test_runs_keep_their_rows_and_the_keyboard_its_place(bare: Bare) -> None:
    shown = bare(RUNS, runs(ONE, TWO))
    page = shown.page
    box = page.get_by_label("Compare two", exact=True)
    box.focus()
    box.evaluate("box => { box.dataset.kept = 'yes'; }")
    shown.draw(runs(THREE, TWO, Summary("1", "renamed", step=20, steps=100, state="finished")))
    expect(box).to_be_focused()
    expect(box).to_have_attribute("data-kept", "yes")
    expect(page.locator("td.name button")).to_have_text(["three", "two", "renamed"])
    expect(page.locator("tbody tr").nth(2)).to_contain_text("20 / 100")
    expect(page.locator(".chip").nth(1)).to_have_attribute("data-tone", "bad")
    expect(page.locator("tbody tr").nth(1)).to_contain_text("It failed.")


def test_runs_are_sorted_and_watched(bare: Bare) -> None:
    shown = bare(RUNS, runs(ONE, order="-exact"), width=1400)
    page = shown.page
    expect(page.locator("th[aria-sort=descending]")).to_have_text("Exact match ↓")
    titles = page.locator("thead button").all_inner_texts()
    for title in ("Exact match ↓", "Run", "Time", "tokens"):
        page.locator("thead button").nth(titles.index(title)).click()
    page.get_by_role("button", name=MARKUP).click()
    assert [value for _, _, value in shown.sent] == ["exact", "name", "-time", "-tokens", "1"]
    assert shown.sent[-1][:2] == ["trigger", "watch"]


# --- answers ----------------------------------------------------------------------------------


def test_an_answer_is_opened_by_its_button_or_row(bare: Bare) -> None:
    marked = {"tokens": ["a", "<b>"], "marked": 1, "tone": "wrong"}
    data = {
        "label": "Errors",
        "columns": ["input", "output", "probability"],
        "rows": [
            {"id": 4, "cells": ["abc", marked, "12.00 %"], "problem": ""},
            {"id": 5, "cells": [MARKUP], "problem": "It cannot be read."},
            {"id": 6, "cells": ["", "", ""], "problem": ""},
        ],
    }
    shown = bare(ANSWERS, data)
    lines = shown.page.locator("tbody tr")
    expect(lines.first.locator("mark.wrong")).to_have_text("<b> (first wrong token)")
    expect(lines.nth(1).locator("td").last).to_have_attribute("colspan", "2")
    expect(lines.nth(1)).to_contain_text(MARKUP)
    lines.first.locator("td").last.click()
    lines.nth(1).locator("td").last.click()  # there is nothing to open
    shown.page.get_by_role("button").last.focus()
    expect(shown.page.get_by_role("button").last).to_have_text("(nothing)")
    shown.press("Enter")
    assert shown.sent == [["trigger", "open", 4], ["trigger", "open", 6]]
    shown.draw(data)  # a later run of the page must not take the focus away
    expect(shown.page.get_by_role("button").last).to_be_focused()


# --- links, pictures --------------------------------------------------------------------------


def test_an_address_is_copied_and_says_so(bare: Bare) -> None:
    shown = bare(LINKS, {"links": [{"label": "Copy", "query": {"task": "a b", "x": "<"}}]})
    page = shown.page
    address = "http://localhost/?task=a+b&x=%3C"
    expect(page.get_by_label("Copy: the address")).to_have_value(address)
    page.get_by_label("Copy: the address").focus()
    assert page.evaluate("String(document.getSelection()).length >= 0")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Copy").click()
    expect(page.get_by_role("status")).to_have_text("Copied")
    assert page.evaluate("navigator.clipboard.readText()") == address


def test_the_line_of_an_exercise_is_of_the_address_there_is_now(bare: Bare) -> None:
    shown = bare(EXERCISE, None)
    page = shown.page
    page.get_by_label("Title").fill("Heads [all]")
    page.get_by_label("Question").fill("Which one,\nand why?")
    page.evaluate(
        "history.replaceState(null, '', '/attention?input=(a)+[b]+%26+c%3A+d&asked=0123')"
    )
    line = page.get_by_label("The line for the list")
    expect(line).to_have_value(re.compile("attention"))
    lesson, problems = read_lesson(line.input_value(), PATHS, "localhost")
    assert not problems
    [exercise] = lesson.exercises
    assert (exercise.title, exercise.question) == ("Heads (all)", "Which one, and why?")
    assert (exercise.page, exercise.query) == ("attention", {"input": "(a) [b] & c: d"})
    shown.draw(None)  # a rerun keeps what was typed
    expect(page.get_by_label("Title")).to_have_value("Heads [all]")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Copy the line").click()
    expect(page.get_by_role("status")).to_have_text("Copied")
    assert page.evaluate("navigator.clipboard.readText()") == line.input_value()


def test_an_architecture_is_drawn_once(bare: Bare) -> None:
    svg = architecture_svg(TransformerConfig(source_vocab_size=9, target_vocab_size=9))
    shown = bare(ARCHITECTURE, {"svg": svg})
    picture = shown.page.locator(".architecture > svg")
    expect(picture).to_be_visible()
    picture.evaluate("svg => { svg.dataset.kept = 'yes'; }")
    shown.draw({"svg": svg})
    expect(picture).to_have_attribute("data-kept", "yes")


# --- heads ------------------------------------------------------------------------------------


def point(head: str, x: float, y: float) -> dict[str, Any]:
    kind = head.split(".")[0]
    return {
        "head": head,
        "kind": kind,
        "title": f"Title {head}",
        "short": head,
        "label": MARKUP,
        "x": x,
        "y": y,
    }


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_heads_are_walked_in_the_order_of_x(bare: Bare, scheme: str) -> None:
    places = {"cross.0.1": (3.0, -0.5), "encoder.0.0": (1.0, 0.0), "decoder.1.0": (2.0, 0.5)}
    points = [point(head, *place) for head, place in places.items()]
    data = {"points": points, "x_title": "distance", "y_title": "<i>y</i>", "chosen": "cross.0.1"}
    shown = bare(SCATTER, data, scheme=scheme)
    page = shown.page
    told = page.locator(".told")
    expect(told).to_contain_text(f"Title cross.0.1: {MARKUP}; distance 3.00, <i>y</i> −0.50")
    page.locator(".point[tabindex='0']").focus()
    shown.press("ArrowLeft", "ArrowLeft", "ArrowLeft")
    expect(told).to_contain_text("Title encoder.0.0")
    shown.press("ArrowUp", "Enter")
    page.locator("[data-head='encoder.0.0']").click()
    assert [value for _, _, value in shown.sent] == ["decoder.1.0", "encoder.0.0"]
    # Higher values stand further up and to the right; the axes' labels have a minus sign.
    boxes = [page.locator(f"[data-head='{one['head']}']").bounding_box() for one in points]
    left = [box["x"] for box in boxes if box]
    top = [box["y"] for box in boxes if box]
    assert left[1] < left[2] < left[0]
    assert top[2] < top[1] < top[0]
    labels = page.locator("svg text").all_text_contents()
    assert "−0.4" in labels
    assert "2" in labels
    shown.draw({**data, "chosen": "decoder.1.0"})
    expect(page.locator(".point.chosen")).to_have_attribute("data-head", "decoder.1.0")


def test_no_head_and_heads_that_are_all_alike(bare: Bare) -> None:
    data = {"x_title": "x", "y_title": "y", "chosen": ""}
    shown = bare(SCATTER, {"points": [], **data})
    expect(shown.page.locator(".told")).to_have_text("")
    shown.draw({"points": [point("cross.0.0", 1.0, 1.0), point("cross.0.1", 1.0, 1.0)], **data})
    expect(shown.page.locator(".point")).to_have_count(2)
    assert "NaN" not in shown.page.locator("svg").last.inner_html()


# --- files ------------------------------------------------------------------------------------


def test_a_file_is_sent_piece_by_piece(bare: Bare) -> None:
    data = {"label": "A file", "received": 0, "turn": "", "max_bytes": 3_000_000, "accept": ".tsv"}
    shown = bare(FEED, data)
    page = shown.page
    field, state = page.get_by_label("A file"), page.locator(".state")
    content = bytes(range(256)) * 4096 + b"the end"  # a piece of 1 MiB, and a little more
    field.set_input_files({"name": MARKUP, "mimeType": "text/plain", "buffer": content})
    page.wait_for_function("window.sent.length === 1")
    [[kind, name, piece]] = shown.sent
    assert (kind, name, piece["place"], piece["name"]) == ("trigger", "piece", 0, MARKUP)
    assert piece["size"] == len(content)
    expect(state).to_contain_text(f"Sending {MARKUP}: 0.0 of 1.0 MB")
    shown.draw({**data, "received": 1 << 20, "turn": "another"})  # the answer for another file
    assert len(shown.sent) == 1
    shown.draw({**data, "received": 1 << 20, "turn": piece["turn"]})
    page.wait_for_function("window.sent.length === 2")
    assert shown.sent[1][2]["place"] == 1 << 20
    assert shown.sent[1][2]["data"] == "dGhlIGVuZA=="
    shown.draw({**data, "received": len(content), "turn": piece["turn"]})
    assert len(shown.sent) == 2


def test_a_file_that_is_empty_or_too_large_is_refused(bare: Bare) -> None:
    data = {"label": "A file", "received": 0, "turn": "", "max_bytes": 10, "accept": ".tsv"}
    shown = bare(FEED, data)
    for content, says in ((b"", "x.tsv is empty."), (b"x" * 11, "x.tsv is larger than")):
        shown.page.get_by_label("A file").set_input_files(
            {"name": "x.tsv", "mimeType": "text/plain", "buffer": content}
        )
        expect(shown.page.locator(".state.problem")).to_contain_text(says)
    assert not shown.sent


def test_a_browser_keeps_its_token(bare: Bare) -> None:
    widget = Widget("browser_token")
    shown = bare(widget, {"token": "a" * 32})
    assert shown.page.evaluate("document.cookie") == f"workbench={'a' * 32}"
    shown.draw({"token": "a" * 32})
    assert not shown.sent
    shown.draw({"token": "b" * 32})  # another tab was first
    assert shown.sent == [["state", "token", "a" * 32]]
    shown.page.context.clear_cookies()


def test_a_browser_keeps_the_name_of_its_person(bare: Bare) -> None:
    shown = bare(Widget("browser_token"), {"token": "a" * 32, "name": "Zoë; path=/x"})
    kept = f"workbench={'a' * 32}"
    said = f"workbench-name={quote('Zoë; path=/x', safe='')}"
    assert shown.page.evaluate("document.cookie") == f"{kept}; {said}"
    shown.draw({"token": "a" * 32, "name": None})  # nothing new
    assert said in shown.page.evaluate("document.cookie")
    shown.draw({"token": "a" * 32, "name": ""})
    assert shown.page.evaluate("document.cookie") == kept
    assert not shown.sent
    shown.page.context.clear_cookies()


def test_every_widget_goes_to_the_browser_with_only_what_it_uses() -> None:
    for widget in (ANSWERS, LINKS, RUNS, FEED):
        assert len(widget.script) < 12_000
        assert re.search(r"function unpack", widget.script)
        assert "roundTicks" not in widget.script
    assert SCATTER.script.count("export default function") == 1
