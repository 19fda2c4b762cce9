"""The report on a run is one page, from which its numbers are read back."""

import io
import json
import re
import struct
import zlib
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from tests.support.recorded_run import record_run
from tests.support.small_training import made
from transformer.__main__ import main
from transformer.errors import RunError
from transformer.report.contents import Report, report_on
from transformer.report.drawing import Line, attention_map, chart, png
from transformer.report.grading import results
from transformer.report.page import page_of
from transformer.report.reading import MOST_BYTES, read_report
from transformer.runs.directory import Run

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(1)>\u202e"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A small complete run whose name and notes hold hostile HTML."""
    _, config = made("reverse")
    [*_, last] = record_run(config, tmp_path_factory.mktemp("runs"))
    last.change(name=HOSTILE, notes=f"First line\n{HOSTILE}")
    return last


@pytest.fixture(scope="module")
def report(run: Run) -> Report:
    return report_on(run, author=HOSTILE, sentences=[(HOSTILE, HOSTILE)])


class Elements(HTMLParser):
    """Collects a page's tags and the addresses that they load."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.loaded: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            assert not name.startswith("on"), f"{name} would run a program"
            if name in ("src", "href", "action"):
                self.loaded.append(value or "")


def test_a_page_says_what_the_run_came_to(run: Run, report: Report) -> None:
    page = page_of(report).decode()
    assert str(report.verdict) in page
    assert "nats per token" in page
    assert "Exact match" in page
    assert f"Seed {run.config().training.seed}" in page
    for sample in run.samples()[-1]["samples"]:
        assert sample["source"] in page
    for head in ("layer 1, head 1", "layer 1, head 2"):
        assert page.count(f"<figcaption>{head}</figcaption>") == 3


def test_nothing_that_a_person_wrote_becomes_a_part_of_the_page(report: Report) -> None:
    elements = Elements()
    page = page_of(report).decode()
    elements.feed(page)
    assert elements.tags.count("script") == 1  # the JSON
    assert "\u202e" not in page.partition("<script")[0]
    assert all(loaded.startswith("data:image/png;base64,") for loaded in elements.loaded)
    assert "&lt;img src=x" in page


def test_a_page_is_read_again_as_its_numbers(run: Run, report: Report) -> None:
    found = read_report(page_of(report), "ada.html")
    assert found == read_report(json.dumps(report.to_dict()).encode(), "ada.json")
    last = [one for one in run.metrics() if one.kind == "eval"][-1]
    assert found.exact_match == last.exact_match
    assert (found.title, found.author, found.steps) == (HOSTILE, HOSTILE, 6)
    assert found.sentences == f"First line\n{HOSTILE} / {HOSTILE}"
    assert found.untrained_exact_match == 0


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "not a report"),
        (b"<html><body>Hello", "not a report"),
        (b"\xff\xfe\x00", "not a report"),
        (b"[" * 100_000, "not a report"),
        (b'{"format": "transformer-workbench-report", "version": 7}', "another version"),
        (b'{"format": "transformer-workbench-report", "version": 1}', "damaged"),
        (b" " * (MOST_BYTES + 1), "larger than"),
    ],
)
def test_a_file_that_is_no_report_is_refused(content: bytes, said: str) -> None:
    with pytest.raises(RunError, match=said):
        read_report(content, "x.html")


@pytest.mark.parametrize(
    ("part", "value"),
    [
        (("scores", "trained", "exact_match"), 7),
        (("scores", "trained", "exact_match"), True),
        (("scores", "untrained", "exact_match"), "all"),
        (("scores", "trained", "loss"), -1),
        (("scores", "trained"), []),
        (("steps",), -1),
        (("seed",), "1"),
        (("title",), 3),
        (("author",), "a" * 30_000),
        (("verdict",), "Learned"),
        (("sentences",), [{"answer": 1}]),
    ],
)
def test_a_number_that_cannot_be_true_is_refused(
    report: Report, part: tuple[str, ...], value: object
) -> None:
    plain = json.loads(json.dumps(report.to_dict()))
    place = plain
    for name in part[:-1]:
        place = place[name]
    place[part[-1]] = value
    with pytest.raises(RunError, match="damaged"):
        read_report(json.dumps(plain).encode(), "x.html")


def test_infinity_in_a_report_is_refused(report: Report) -> None:
    text = re.sub(
        r'"exact_match": [0-9.]+', '"exact_match": Infinity', json.dumps(report.to_dict())
    )
    with pytest.raises(RunError, match="damaged"):
        read_report(text.encode(), "x.html")


def test_too_many_words_are_refused(run: Run) -> None:
    with pytest.raises(RunError, match="shorten"):
        report_on(run, sentences=[("?", "a" * 10_001)])


def test_results_count_goals_and_right_answers(report: Report) -> None:
    found = results(report)
    assert {test["name"]: test["score"] for test in found["tests"]} == {
        "near-zero loss on a few pairs": 0,
        "the saved model works after loading": 0,
        "exact match": report.scores["trained"]["exact_match"],
    }
    assert found["score"] == report.scores["trained"]["exact_match"]
    assert all(0 <= test["score"] <= test["max_score"] for test in found["tests"])


def test_the_command_writes_both_files(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words, page, graded = (tmp_path / name for name in ("words.txt", "report.html", "results.json"))
    words.write_text("It reverses short words first.", "utf-8")
    command = ["report", str(run.path), str(page), "--author", "Ada", "--sentences", str(words)]
    assert main([*command, "--results", str(graded)]) == 0
    assert read_report(page.read_bytes(), "report.html").author == "Ada"
    assert "It reverses short words first." in page.read_text("utf-8")
    assert json.loads(graded.read_bytes())["tests"]
    assert capsys.readouterr().out.startswith(str(page))


def test_the_command_refuses_what_is_no_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", str(tmp_path), str(tmp_path / "report.html")]) == 1
    assert "There is no run" in capsys.readouterr().err
    assert not (tmp_path / "report.html").exists()


def test_a_curve_is_drawn_from_zero_to_its_highest_point() -> None:
    drawn = chart("Loss & more", "updates", "nats", [Line("held-out", [[0, 4], [10, 2]], "one")])
    [picture] = re.findall(r"<svg viewBox.*?</svg>", drawn, re.DOTALL)
    [line] = ElementTree.fromstring(picture).iter("polyline")
    (x0, y0), (x1, y1) = (tuple(map(float, p.split(","))) for p in line.attrib["points"].split())
    assert (x0, y0) == (56, 12)
    assert x1 == 468
    assert y1 == pytest.approx((12 + 220) / 2)
    assert "Loss &amp; more" in drawn


def test_a_curve_without_a_number_is_left_out_where_it_has_none() -> None:
    drawn = chart("", "", "", [Line("loss", [[0, 4], [1, float("nan")], [2, 1]], "one")])
    assert "nan" not in drawn


def test_a_map_is_a_picture_of_its_weights() -> None:
    weights = np.array([[0, 255], [51, 0], [0, 0]], np.uint8)
    assert 'width="24" height="36"' in attention_map("head", weights)
    pixels = np.zeros((3, 2, 3), np.uint8)
    pixels[0, 1] = 8, 48, 107
    content = png(pixels)
    assert struct.unpack(">II", content[16:24]) == (2, 3)
    length = struct.unpack(">I", content[33:37])[0]
    rows = zlib.decompress(io.BytesIO(content[41 : 41 + length]).read())
    assert rows[:7] == bytes([0, 0, 0, 0, 8, 48, 107])
