"""The panels Errors and Many inputs of the Decode page, by keyboard, against the library."""

import csv
import io
import random
import re
from pathlib import Path

import pytest
import torch
from playwright.sync_api import Page, expect

from pages.components.shell.text import probability
from tests.browser.conftest import NewPage
from tests.support.access import (
    DESK,
    PHONE,
    assert_accessible_in_both_themes,
    assert_not_cut_off,
    resize,
)
from tests.support.places import bundled_file
from tests.support.server import Server, settle
from transformer.analysis.mistakes import Mistakes, find_mistakes
from transformer.checkpoint import Checkpoint
from transformer.checkpoint.header import Summary
from transformer.model import Transformer
from transformer.runs.creation import About, create_run
from transformer.runs.snapshots import save_snapshot
from transformer.tasks import SEVEN_PAIRS, build_task, read_pairs
from transformer.tasks.presets import prepare

MANY = 10_000


def open_panel(page: Page, server: Server, query: str) -> None:
    page.goto(f"{server.url}/decode?{query}")
    expect(page.get_by_role("radio", name="Branches")).to_be_visible()
    settle(page)


def rows(page: Page) -> list[list[str]]:
    """The texts of the answer table's cells, row by row."""
    expect(page.locator(".answer_table")).to_be_visible()
    settle(page)
    return [
        row.locator("td").all_inner_texts() for row in page.locator(".answer_table tbody tr").all()
    ]


def press(page: Page, name: str | re.Pattern[str]) -> None:
    """Press a button by keyboard."""
    settle(page)  # a rerun would take the focus away
    page.get_by_role("button", name=name).first.press("Enter")


def type_inputs(page: Page, text: str) -> None:
    field = page.get_by_label("Type or paste inputs here")
    field.fill(text)
    field.press("Control+Enter")
    settle(page)


def give_file(page: Page, content: bytes, name: str = "many.tsv") -> None:
    page.locator("[data-testid=stFileUploader] input[type=file]").set_input_files(
        {"name": name, "mimeType": "text/plain", "buffer": content}
    )
    settle(page)


def downloaded(page: Page, name: str | re.Pattern[str]) -> list[dict[str, str]]:
    with page.expect_download() as waiting:
        press(page, name)
    text = Path(waiting.value.path()).read_text("utf-8-sig")
    return list(csv.DictReader(io.StringIO(text, newline="")))


def library_mistakes(checkpoint: Checkpoint, count: int) -> Mistakes:
    task = build_task(checkpoint.header.data)
    steps = list(find_mistakes(checkpoint, task.held_out(count), task.is_right, 256))
    assert isinstance(steps[0], Mistakes)
    return steps[0]


def test_errors_are_listed_by_confidence_and_open_where_they_began(
    server: Server, new_page: NewPage
) -> None:
    ranked = library_mistakes(Checkpoint.load(bundled_file("sort")), 1000).ranked
    assert 2 <= len(ranked) <= 50
    page = new_page()
    open_panel(page, server, "checkpoint=sort&part=errors&examples=1000")
    words = f"{len(ranked)} of 1,000 held-out examples are wrong"
    expect(page.get_by_text(words)).to_be_visible()
    shown = rows(page)
    assert [row[0] for row in shown] == [one.pair.source for one in ranked]
    for row, one in zip(shown, ranked, strict=True):
        assert row[3] == probability(one.probability)
        assert row[4].startswith(f"{one.step + 1}: wrote ")
    marks = page.locator(".answer_table tbody tr").nth(1).locator("mark")
    expect(marks).to_have_class(["wrong", "right"])

    second = ranked[1]
    press(page, f"Open {second.pair.source} in the steps")
    expect(page.get_by_label("Input", exact=True)).to_have_value(second.pair.source)
    settle(page)
    page.wait_for_url(re.compile(f"input={second.pair.source}.*step={second.step + 1}(&|$)"))
    found = downloaded(page, "These errors (CSV)")
    assert [row["input"] for row in found] == [one.pair.source for one in ranked]
    assert [int(row["first_wrong_step"]) for row in found] == [one.step + 1 for one in ranked]


def test_where_nothing_is_wrong_harder_examples_are_offered(
    server: Server, new_page: NewPage
) -> None:
    page = new_page()
    open_panel(page, server, "checkpoint=sort&part=errors")
    expect(page.get_by_text("200 held-out examples, all right.")).to_be_visible()
    expect(page.get_by_role("button", name="Try 1,000 examples")).to_be_visible()
    press(page, "Try inputs longer than it was trained on")
    expect(page.get_by_text("200 examples longer than those it was trained on")).to_be_visible()
    assert all(len(row[0]) > 12 for row in rows(page))
    page.wait_for_url(re.compile("length=longer"))


def own_pairs(server: Server) -> str:
    """Create a run on the seven sentences with an untrained model; returns the checkpoint's id."""
    task, config = prepare("pairs", "tiny", pairs=SEVEN_PAIRS, data={"held_out": 0.0})
    run = create_run(config, about=About("seven"), pairs=SEVEN_PAIRS, root=server.folder / "runs")
    torch.manual_seed(1)
    summary = Summary("tiny", 1, 0.0, 1, 4.0, 0.0, 0.0, 7, 4.0, 0.0, True)
    vocabularies = task.source_vocabulary, task.target_vocabulary
    made = Checkpoint.of(Transformer(config.model).eval(), *vocabularies, config.data, summary, [])
    save_snapshot(run.path, 1, 4.0, made.to_bytes(), b"")
    return f"run-{run.id}-1"


def test_a_run_on_own_pairs_has_its_errors_and_its_scores_of_words(
    server: Server, new_page: NewPage
) -> None:
    pairs = read_pairs(SEVEN_PAIRS).pairs
    page = new_page()
    checkpoint = own_pairs(server)
    open_panel(page, server, f"checkpoint={checkpoint}&input={pairs[0].source}&part=errors")
    expect(page.get_by_text("7 of 7 training pairs are wrong")).to_be_visible()
    assert {row[0] for row in rows(page)} == {pair.source for pair in pairs}
    page.goto(f"{server.url}/decode?checkpoint={checkpoint}&input={pairs[0].source}&part=batch")
    settle(page)
    type_inputs(page, "\n".join(f"{pair.source}\t{pair.target}" for pair in pairs))
    press(page, "Decode 7 inputs")
    for name in ("Exact match", "Token error rate", "BLEU", "chrF"):
        expect(page.get_by_test_id("stMetric").filter(has_text=name)).to_be_visible()
    expect(page.get_by_test_id("stMetric").filter(has_text="Exact match")).to_contain_text("0 of 7")


def test_many_inputs_are_decoded_scored_and_taken_along(
    server: Server, new_page: NewPage, reverse: Checkpoint
) -> None:
    good = ["abc", "workbench", "transformer", "streams"]
    lines = [f"{text}\t{text[::-1]}" for text in good]
    lines += ["=SUM(A1)\t=1", "abc\tcbx", "plain"]
    page = new_page()
    open_panel(page, server, "checkpoint=reverse&part=batch")
    decode = page.get_by_role("button", name=re.compile("^Decode"))
    decode.click()
    expect(page.get_by_text("There is nothing to decode yet")).to_be_visible()
    # One press is enough, however long: it takes the focus from the field, which sends the text.
    page.get_by_label("Type or paste inputs here").fill("abc => cba")
    decode.hover()
    page.mouse.down()
    expect(page.get_by_text("1 input, 1 with a target.")).to_be_visible()
    page.mouse.up()
    assert rows(page)[0][:3] == ["abc", "✓ cba", "cba"]
    before = page.get_by_text("These are the outputs of the 1 input decoded before")
    expect(before).to_have_count(0)
    type_inputs(page, "\n".join(lines))
    expect(page.get_by_text("7 inputs, 6 with a target.")).to_be_visible()
    expect(before).to_be_visible()
    press(page, "Decode 7 inputs")
    metric = page.get_by_test_id("stMetric")
    expect(metric.filter(has_text="Exact match")).to_contain_text("4 of 5")
    expect(before).to_have_count(0)
    expect(page.get_by_text("1 input with a target could not be read")).to_be_visible()
    letters = sum(map(len, good)) + 3
    expect(metric.filter(has_text="Token error rate")).to_contain_text(f"{100 / letters:.1f} %")
    shown = rows(page)
    assert [row[0] for row in shown] == [line.split("\t")[0] for line in lines]
    assert shown[0][1:3] == ["✓ cba", "cba"]
    assert "Line 5: This model does not know" in shown[4][1]
    expect(page.locator(".answer_table mark.wrong")).to_have_text("a (first wrong token)")
    found = downloaded(page, "All of it (CSV)")
    assert [row["input"] for row in found] == [*good, "'=SUM(A1)", "abc", "plain"]
    assert found[4]["target"] == "'=1"
    for row, answer in zip(found, reverse.answers(good), strict=False):
        assert row["output"] == answer.output
        assert float(row["log_probability"]) == pytest.approx(answer.log_prob, abs=1e-4)

    page.get_by_role("radio", name=re.compile("^All")).focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Space")
    expect(page.get_by_role("radio", name="Wrong (1)")).to_be_checked()
    expect(page.locator(".answer_table tbody tr")).to_have_count(1)
    assert [row[0] for row in rows(page)] == ["abc"]
    press(page, "Open abc in the steps")
    expect(page.get_by_label("Input", exact=True)).to_have_value("abc")
    page.wait_for_url(re.compile("step=3"))
    # The outputs are still there after a visit to another page.
    page.get_by_role("link", name="Attention").click()
    settle(page)
    page.get_by_role("link", name="Decode").click()
    settle(page)
    expect(page.get_by_role("radio", name="Many inputs")).to_be_checked()
    expect(page.get_by_text("7 inputs, 6 with a target.")).to_be_visible()
    assert len(rows(page)) == 7
    # The outputs and the typed text are still there after a reload.
    page.reload()
    settle(page)
    expect(page.get_by_label("Type or paste inputs here")).to_have_value("\n".join(lines))
    expect(page.get_by_role("button", name="Decode 7 inputs")).to_be_enabled()
    assert len(rows(page)) == 7
    page.goto(re.sub("decoded=[^&]*", "decoded=another", page.url))
    settle(page)
    expect(page.get_by_text("The outputs decoded here are gone")).to_be_visible()
    expect(page.locator(".answer_table")).to_have_count(0)


def test_files_that_cannot_be_used_are_named_and_nothing_is_lost(
    server: Server, new_page: NewPage
) -> None:
    page = new_page()
    open_panel(page, server, "checkpoint=reverse&part=batch")
    type_inputs(page, "abc")
    for content, says in (
        ("gr\u00fcn\n".encode() + b"gr\xfcn", "not UTF-8 text (line 2)"),
        (b"a\n" * (MANY + 1), "There are 10,001 inputs; at most 10,000"),
        (b"\n\n", "There is no input yet"),
        (b"PK\x03\x04" + bytes(200), "an Excel workbook"),
    ):
        give_file(page, content)
        expect(page.get_by_text(says)).to_be_visible()
        press(page, "Decode")
        settle(page)
        expect(page.get_by_text(says)).to_be_visible()
        expect(page.locator(".answer_table")).to_have_count(0)
        page.get_by_role("button", name=re.compile("Remove|Delete")).first.click()
        expect(page.get_by_text("1 input.")).to_be_visible()
    give_file(page, b"abc\n" + b"x" * 2_001 + b"\nde\n")
    expect(page.get_by_text("3 inputs from many.tsv. Of these too long")).to_be_visible()
    press(page, "Decode 3 inputs")
    assert "more than 2,000 characters" in rows(page)[1][1]
    expect(page.get_by_label("Type or paste inputs here")).to_have_value("abc")


def test_who_stops_keeps_what_is_done_and_may_go_on(server: Server, new_page: NewPage) -> None:
    draw = random.Random(1)
    words = ["".join(draw.choices("abcdefghijklm", k=1 + n % 16)) for n in range(MANY)]
    page = new_page()
    open_panel(page, server, "checkpoint=pronunciation&part=batch")  # the slowest model
    give_file(page, "\n".join(words).encode())
    press(page, "Decode 10,000 inputs")
    at_work = page.get_by_text(re.compile(r"Decoding: [1-9]\d? %, about .* left"))
    expect(at_work).to_be_visible()
    page.get_by_role("button", name="Stop").press("Enter")
    expect(page.get_by_text(re.compile("of 10,000 inputs are decoded"))).to_be_visible()
    left = page.get_by_role("button", name=re.compile("Decode the other"))
    count = MANY - int(re.sub(r"\D", "", left.inner_text()))
    assert 0 < count < MANY
    found = downloaded(page, "What is decoded (CSV)")
    assert len(found) == count
    assert all(words[int(row["line"]) - 1] == row["input"] for row in found)
    every = page.get_by_role("button", name="All of it (CSV)")
    left.click()
    expect(at_work.or_(every)).to_be_visible()  # if few inputs were left, it may have ended already
    page.reload()
    expect(at_work.or_(every)).to_be_visible()
    expect(every).to_be_visible(timeout=180_000)
    assert len(downloaded(page, "All of it (CSV)")) == MANY


def test_panels_are_readable_and_fit(server: Server, new_page: NewPage) -> None:
    page = new_page()
    open_panel(page, server, "checkpoint=reverse&part=errors&length=longer")
    assert len(rows(page)) > 10
    check_readable(page)
    page.get_by_role("radio", name="Many inputs").click()
    type_inputs(page, "abc\tcba\nabc\tcbx\nÜ\n" + "x" * 90)
    press(page, "Decode 4 inputs")
    assert len(rows(page)) == 4
    check_readable(page)


def check_readable(page: Page) -> None:
    assert_accessible_in_both_themes(page)
    resize(page, PHONE)
    assert_not_cut_off(page)
    assert_not_cut_off(page, selector=".answer_table .scroll")
    resize(page, DESK)
