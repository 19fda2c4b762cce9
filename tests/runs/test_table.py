"""Summaries of runs agree with files of any length, and a damaged run harms no other."""

import csv
import io
import json
import math
import os
import random
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from pages.components.widgets.run_table import row
from transformer.files import FORMULA
from transformer.runs.creation import About, create_run
from transformer.runs.directory import Run, Status, start_time
from transformer.runs.metrics import Record
from transformer.runs.snapshots import save_snapshot
from transformer.runs.table import (
    ORDERS,
    Stamp,
    Summaries,
    Summary,
    _stamp,
    ordered,
    search,
    summarise,
    table_csv,
)
from transformer.runs.trash import delete, restore
from transformer.tasks.presets import prepare

CONFIG = prepare("reverse", training={"steps": 5000})[1]


def make(root: Path, name: str = "", metrics: str = "", state: str = "finished") -> Run:
    run = create_run(CONFIG, about=About(name), root=root)
    run.set_status(Status(state))
    (run.path / "metrics.jsonl").write_text(metrics)
    return run


def some_metrics(seed: int) -> str:
    """Metrics as the trainer writes them, with few or many lines between two evaluations."""
    draw = random.Random(seed)
    lines: list[dict[str, Any]] = []

    def evaluate(step: int) -> None:
        extra = {"unigram": draw.random()} if step == 0 else {}
        lines.append({"kind": "eval", "step": step, "loss": draw.random(), **extra})
        if draw.random() < 0.8 or step == 0:
            matched = draw.choice([0.0, draw.random()])
            lines.append({"kind": "eval", "step": step, "exact_match": matched})

    evaluate(0)
    for step in range(1, draw.choice([1, 5, 300, 3000])):
        lines.append({"kind": "train", "step": step, "loss": draw.random(), "tokens": 90 * step})
        if draw.random() < 0.004:
            evaluate(step)
    for place, line in enumerate(lines):
        line["seconds"] = place / 8
    text = "".join(json.dumps(line) + "\n" for line in lines)
    return text + draw.choice(["", '{"kind": "train", "st', "\0\0\0"])


@pytest.mark.parametrize("seed", range(12))
def test_both_ends_say_what_the_whole_file_says(tmp_path: Path, seed: int) -> None:
    text = some_metrics(seed)
    found = summarise(make(tmp_path, metrics=text))
    records = [r for line in text.splitlines() if (r := Record.parse(line.encode()))]

    def values(name: str, kind: str) -> list[Any]:
        return [v for r in records if r.kind == kind and (v := getattr(r, name)) is not None]

    assert found.step == records[-1].step
    assert found.seconds == records[-1].seconds
    assert found.loss == values("loss", "eval")[-1]
    assert found.untrained_loss == values("loss", "eval")[0]
    assert found.exact_match == values("exact_match", "eval")[-1]
    assert found.untrained_exact_match == values("exact_match", "eval")[0]
    assert found.tokens == (values("tokens", "train") or [None])[-1]


def test_an_unchanged_run_is_not_read_again_and_a_changed_file_is(tmp_path: Path) -> None:
    run = make(tmp_path, "first", some_metrics(1))
    known = Summaries()
    [(_, before)] = known.of(tmp_path)
    assert known.of(tmp_path)[0][1] is before
    (run.path / "about.json").write_text('{"name": "second"}')
    [(_, renamed)] = known.of(tmp_path)
    assert renamed == replace(before, name="second", created=0.0)
    with (run.path / "metrics.jsonl").open("a") as file:
        file.write('\n{"kind": "eval", "step": 4000, "loss": 0.5, "seconds": 99}\n')
    assert known.of(tmp_path)[0][1].loss == 0.5
    (run.path / "config.json").unlink()
    assert known.of(tmp_path) == []


def test_a_trainer_that_dies_without_a_word_is_noticed(tmp_path: Path) -> None:
    run = make(tmp_path)
    process = subprocess.Popen(["sleep", "60"])
    began = start_time(psutil.Process(process.pid))
    run.set_status(Status("running", pid=process.pid, process_started=began))
    known = Summaries()
    assert known.of(tmp_path)[0][1].state == "running"
    process.kill()
    process.wait()
    assert known.of(tmp_path)[0][1].state == "interrupted"


def test_metrics_are_read_again_after_a_while_and_other_changes_at_once(tmp_path: Path) -> None:
    run = make(tmp_path, "first", some_metrics(1))
    patient = Summaries(live_max_age=60.0)
    [(_, before)] = patient.of(tmp_path)
    with (run.path / "metrics.jsonl").open("a") as file:
        file.write('\n{"kind": "eval", "step": 4000, "loss": 0.5, "seconds": 99}\n')
    assert patient.of(tmp_path)[0][1] is before
    run.change(name="second")
    assert (patient.of(tmp_path)[0][1].name, patient.of(tmp_path)[0][1].loss) == ("second", 0.5)
    make(tmp_path, "another")
    assert len(patient.of(tmp_path)) == 2


def test_at_rest_it_looks_only_when_this_process_has_changed_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make(tmp_path, "first")
    resting, looks = Summaries(min_interval=60.0), list[Path]()

    def counted(path: Path) -> Stamp:
        looks.append(path)
        return _stamp(path)

    monkeypatch.setattr("transformer.runs.table._stamp", counted)
    assert [summary.name for _, summary in resting.of(tmp_path)] == ["first"]
    (run.path / "about.json").write_text('{"name": "by another process"}')
    assert resting.of(tmp_path)[0][1].name == "first"
    assert len(looks) == 1
    run.change(name="second")
    assert resting.of(tmp_path)[0][1].name == "second"
    run.set_status(Status("paused"))
    assert resting.of(tmp_path)[0][1].state == "paused"
    other = make(tmp_path, "another")
    assert len(resting.of(tmp_path)) == 2
    delete(other)
    assert len(resting.of(tmp_path)) == 1
    restore(other.id, tmp_path)
    assert len(resting.of(tmp_path)) == 2
    # Another folder has its own list.
    assert resting.of(tmp_path / "elsewhere") == []


def test_a_new_snapshot_is_seen(tmp_path: Path) -> None:
    run = make(tmp_path, "first", some_metrics(1))
    known = Summaries(live_max_age=60.0)
    assert known.of(tmp_path)[0][1].saved == ()
    save_snapshot(run.path, 0, 2.5, b"weights", b"state")
    save_snapshot(run.path, 4, 0.5, b"weights", b"state")
    assert known.of(tmp_path)[0][1].saved == ((0, 2.5), (4, 0.5))


def test_concurrent_readers_share_one_scan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path)
    known, looks = Summaries(), list[Path]()

    def slow(path: Path) -> Stamp:
        looks.append(path)
        time.sleep(0.1)
        return _stamp(path)

    monkeypatch.setattr("transformer.runs.table._stamp", slow)
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(known.of, [tmp_path] * 8))
    assert len(looks) <= 3  # the first, and one or two shared by the calls made meanwhile
    assert all(len(one) == 1 for one in found)


DAMAGE = [
    *("", "[1]", "null", "[" * 100_000, '{"preset": 5}', "\0" * 50, '{"created": 1e300}'),
    *('{"name": {"a": 1}, "parent": 7, "notes": ["x"], "shared": 3}', '"\\ud800"'),
    '{"state": "running", "pid": -5, "step": 1e999}',
    '{"kind": "eval", "step": 1, "loss": 1e999, "exact_match": true}\n{"kind": "train"}\n[]\n5',
    '{"kind": "eval", "step": ' + "9" * 500 + ', "loss": 1}',
]


@pytest.mark.parametrize("name", ["config.json", "about.json", "status.json", "metrics.jsonl"])
def test_a_damaged_run_is_shown_and_takes_nothing_else_down(tmp_path: Path, name: str) -> None:
    sound = make(tmp_path, "sound", some_metrics(2))
    for text in DAMAGE:
        (make(tmp_path, "damaged").path / name).write_text(text)
    (make(tmp_path, "binary").path / name).write_bytes(bytes(range(256)))
    found = [summary for _, summary in Summaries().of(tmp_path)]
    assert len(found) == len(DAMAGE) + 2
    assert summarise(sound) in found
    if name == "config.json":
        assert [summary.state for summary in found].count("damaged") == len(DAMAGE) + 1
        assert all("is damaged" in s.reason for s in found if s.state == "damaged")
    for summary in found:
        values = [value for value in asdict(summary).values() if isinstance(value, int | float)]
        assert all(math.isfinite(value) and abs(value) < 1e16 for value in values)
        assert row(summary, True)
    for order in ORDERS:
        assert len(ordered(found, order)) == len(found)
    assert table_csv(found)


def test_search_finds_every_word_in_any_field() -> None:
    runs = [
        Summary("a", name="Straße, first", task="Reverse letters", state="finished"),
        Summary("b", name="second", task="Sort letters", state="failed", notes="rate too HIGH"),
    ]
    for text, found in (
        *(
            ("", "ab"),
            ("letters", "ab"),
            ("STRASSE", "a"),
            ("sort high", "b"),
            ("second first", ""),
        ),
        *(("failed", "b"), ("  reverse   finished ", "a"), (".*", "")),
    ):
        assert "".join(run.id for run in search(runs, text)) == found, text


def test_order_puts_what_is_unknown_last_either_way() -> None:
    runs = [
        Summary("none", created=3),
        Summary("high", loss=2.0, created=1),
        Summary("low", loss=0.0, created=2),
    ]
    assert [run.id for run in ordered(runs, "loss")] == ["low", "high", "none"]
    assert [run.id for run in ordered(runs, "-loss")] == ["high", "low", "none"]
    for unknown in ("", "-nothing", "__class__"):
        assert [run.id for run in ordered(runs, unknown)] == ["none", "low", "high"]


FORMULAS = [
    *("=SUM(A1)", "+1+1", "-1+1", "@SUM(A1)", "\t=1", "\r=1", "\0=1", "  =1", "\n=1", "=1,2\n=3"),
    *('=HYPERLINK("http://x")', '"=1'),
]


@pytest.mark.parametrize("text", FORMULAS)
def test_no_text_is_a_formula_in_a_spreadsheet(tmp_path: Path, text: str) -> None:
    run = create_run(CONFIG, about=About(text), root=tmp_path)
    about = run.about() | {"notes": text, "parent": text}
    (run.path / "about.json").write_text(json.dumps(about))
    exported = table_csv([summarise(run)]).decode()
    titles, cells = csv.reader(io.StringIO(exported, newline=""))
    row = dict(zip(titles, cells, strict=True))
    assert {row["name"], row["notes"], row["parent"]} <= {text, f"'{text}"}
    for cell in cells:
        assert not cell.lstrip(" \n\v\f").startswith(FORMULA)


def test_table_csv_keeps_numbers_times_and_words(tmp_path: Path) -> None:
    run = make(tmp_path, 'Grün, "schnell" 🙂', some_metrics(3))
    summary = summarise(run)
    titles, cells = csv.reader(io.StringIO(table_csv([summary]).decode(), newline=""))
    row = dict(zip(titles, cells, strict=True))
    assert row["name"] == 'Grün, "schnell" 🙂'
    assert float(row["loss"]) == summary.loss
    assert int(row["parameters"]) == CONFIG.model.num_parameters
    created = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(run.about()["created"]))
    assert row["created"] == created
    assert row["private"] == "False"


def test_memory_does_not_grow_with_a_run(tmp_path: Path) -> None:
    """Only the two ends of a metrics file are read, however long it is."""
    run = make(tmp_path, metrics=some_metrics(4))
    with (run.path / "metrics.jsonl").open("a") as file:
        os.truncate(file.fileno(), 2_000_000_000)  # sparse: 2 GB without a line
        file.write('\n{"kind": "eval", "step": 9, "loss": 1, "exact_match": 0.5, "seconds": 1}\n')
        file.write('{"kind": "train", "step": 9, "loss": 1, "tokens": 8, "seconds": 1}\n')
    before = psutil.Process().memory_info().rss
    assert summarise(run).exact_match == 0.5
    assert psutil.Process().memory_info().rss - before < 50_000_000
