"""The Runs page in a real browser: choose, compare, search, sort, and save."""

import csv
import io
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import psutil
import pytest
from playwright.sync_api import Download, Page, expect

from tests.browser.conftest import NewPage
from tests.runs.test_table import make, some_metrics
from tests.support.access import PHONE, assert_fit_for_all
from tests.support.recorded_run import record_run
from tests.support.server import Server, settle
from tests.support.small_training import made
from transformer.runs.directory import Run, Status, start_time

MARKUP = "<b>bold</b> **x** & =1"


@pytest.fixture(scope="module")
def runs(server: Server) -> Iterator[list[Run]]:
    """Three runs on the server, two of them with equal metrics; removed afterwards."""
    root = server.folder / "runs"
    found = [make(root, name, some_metrics(seed)) for name, seed in (("one", 5), ("two", 5))]
    found.append(make(root, MARKUP, some_metrics(8)))
    yield found
    for run in found:
        shutil.rmtree(run.path)


def address(server: Server, runs: list[Run], more: str = "") -> str:
    return f"{server.url}/runs?runs={','.join(run.id for run in runs)}{more}"


def open_comparison(page: Page, url: str) -> None:
    page.goto(url)
    expect(page.locator(".run_compare figure svg").first).to_be_visible()
    settle(page)


def test_runs_are_chosen_by_keyboard_and_the_address_keeps_them(
    server: Server, new_page: NewPage, runs: list[Run]
) -> None:
    page = new_page()
    page.goto(f"{server.url}/runs")
    for name in ("one", MARKUP):
        page.get_by_label(f"Compare {name}", exact=True).focus()
        # The second box is pressed before the page has answered the first; neither is lost.
        page.keyboard.press("Space")
    page.wait_for_url(lambda url: runs[0].id in url and runs[2].id in url)
    expect(page.get_by_role("heading", name="2 runs side by side")).to_be_visible()
    # The box keeps the focus while the page is drawn again.
    expect(page.get_by_label(f"Compare {MARKUP}", exact=True)).to_be_focused()
    page.get_by_role("radio", name="Tokens").click()
    page.wait_for_url(re.compile("x=tokens"))
    page.reload()
    rows = page.locator(".run_compare tbody th")
    expect(rows).to_have_text(["one", MARKUP])
    expect(page.locator(".run_compare figure").first).to_contain_text("source and target tokens")


def test_a_run_at_work_moves_on_without_a_click(server: Server, new_page: NewPage) -> None:
    run = make(server.folder / "runs", "at work", some_metrics(5))
    process = subprocess.Popen(["sleep", "100"])
    begun = start_time(psutil.Process(process.pid))
    run.set_status(Status("running", pid=process.pid, process_started=begun))
    try:
        page = new_page()
        page.goto(f"{server.url}/runs?search=at+work")
        row = page.locator(".run_table tbody tr")
        expect(row.locator(".chip")).to_have_text("running")
        with (run.path / "metrics.jsonl").open("a") as file:
            file.write('\n{"kind": "eval", "step": 4321, "loss": 0.125, "seconds": 1}\n')
        expect(row).to_contain_text("4,321 / 5,000")
        expect(row).to_contain_text("0.125")
        process.kill()
        process.wait()
        expect(row.locator(".chip")).to_have_text("interrupted")
    finally:
        process.kill()
        shutil.rmtree(run.path)


def test_table_is_sorted_searched_and_saved(
    server: Server, new_page: NewPage, runs: list[Run], tmp_path: Path
) -> None:
    page = new_page()
    page.goto(f"{server.url}/runs")
    names = page.locator(".run_table td.name button")
    expect(page.get_by_role("button", name=MARKUP)).to_be_visible()
    page.get_by_role("button", name="Run", exact=True).click()
    page.wait_for_url(re.compile("order=name"))
    settle(page)
    assert names.all_inner_texts() == sorted(names.all_inner_texts(), key=str.casefold)
    expect(page.locator(".run_table th[aria-sort=ascending]")).to_contain_text("Run")
    field = page.get_by_label("Search in names")
    field.fill("bold")
    field.press("Enter")
    expect(names).to_have_text([MARKUP])
    settle(page)
    with page.expect_download() as download:
        page.get_by_role("button", name="Table as CSV").click()
    download.value.save_as(tmp_path / "runs.csv")
    [row] = csv.DictReader(io.StringIO((tmp_path / "runs.csv").read_text("utf-8-sig")))
    assert (row["name"], row["id"]) == (MARKUP, runs[2].id)
    names.first.click()
    page.wait_for_url(re.compile(f"train.*run={runs[2].id}"))
    expect(page.get_by_role("heading", name="Train", level=1)).to_be_visible()


def test_curves_and_figure_are_saved_without_another_machine(
    server: Server, new_page: NewPage, runs: list[Run], tmp_path: Path
) -> None:
    page = new_page()
    open_comparison(page, address(server, runs[1:]))

    def save(name: str) -> bytes:
        with page.expect_download() as download:
            page.get_by_role("button", name=name).click()
        download.value.save_as(tmp_path / "file")
        return (tmp_path / "file").read_bytes()

    rows = list(csv.DictReader(io.StringIO(save("Curves as CSV").decode("utf-8-sig"))))
    assert {row["id"] for row in rows} == {run.id for run in runs[1:]}
    assert len(rows) == sum(len(run.metrics()) for run in runs[1:])

    page.get_by_text("A figure to save").click()
    expect(page.locator(".js-plotly-plot .main-svg").first).to_be_visible()
    settle(page)
    picture = save_with_camera(page, tmp_path)
    assert picture.startswith(b"\x89PNG\r\n\x1a\n")
    assert int.from_bytes(picture[16:20], "big") == 1800
    page.get_by_role("radio", name="SVG").click()
    page.get_by_text("saves it as SVG").wait_for()
    settle(page)
    expect(page.locator(".js-plotly-plot .main-svg").first).to_be_visible()
    drawing = save_with_camera(page, tmp_path)
    root = ElementTree.fromstring(drawing)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    words = "".join(root.itertext())
    assert "two" in words
    assert MARKUP in words
    assert "loss (nats per token)" in words
    lines = [e for e in root.iter() if e.get("class") == "js-line"]
    assert len(lines) >= 4


def save_with_camera(page: Page, folder: Path) -> bytes:
    with page.expect_download() as download:
        page.locator(".js-plotly-plot .modebar-btn").first.click()
    download.value.save_as(folder / "picture")
    return (folder / "picture").read_bytes()


def test_a_comparison_is_accessible_and_fits_a_phone(
    server: Server, new_page: NewPage, runs: list[Run]
) -> None:
    page = new_page(scheme="dark", width=PHONE)
    open_comparison(page, address(server, runs))
    assert_fit_for_all(page)


def test_gradients_by_layer_are_accessible_and_fit_a_phone(
    server: Server, new_page: NewPage
) -> None:
    _, config = made("reverse", model={"num_decoder_layers": 2})
    [*_, run] = record_run(config, server.folder / "runs")
    page = new_page(width=PHONE)
    page.goto(f"{server.url}/train?run={run.id}")
    settle(page)
    page.get_by_role("tab", name="Checks").click()
    page.get_by_role("button", name="Gradients by layer").focus()
    page.keyboard.press("Enter")
    expect(page.locator(".js-plotly-plot .main-svg").first).to_be_visible()
    settle(page)
    assert_fit_for_all(page)


def test_what_was_typed_just_before_the_click_stands_in_the_page_to_hand_in(
    server: Server, new_page: NewPage
) -> None:
    _, config = made("reverse")
    [*_, run] = record_run(config, server.folder / "runs")
    page = new_page()
    page.goto(f"{server.url}/train?run={run.id}")
    settle(page)
    page.get_by_role("tab", name="Hand in").click()
    button = page.get_by_role("button", name="Download the page to hand in")
    for said in ("It turns words around.", "It turns words around. Heads 1 and 2 do."):
        page.get_by_label("What did the model learn").fill(said)  # the field keeps the focus
        with page.expect_download() as download:
            button.click()
        assert said in download.value.path().read_text("utf-8")
        settle(page)
    page.get_by_label("Name on it").fill("Grace")
    with page.expect_download() as download:
        button.click()
    assert download.value.suggested_filename.startswith("grace-")
    settle(page)
    downloads: list[Download] = []
    page.on("download", lambda one: downloads.append(one))
    page.get_by_label("What did the model learn").fill("Nothing new.")
    page.keyboard.press("Tab")
    settle(page)
    assert not downloads  # one download per click
