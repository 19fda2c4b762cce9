"""Malicious captures: each is refused in one sentence, quickly, and none of its code runs."""

import io
import json
import random
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.attacks.bombs import BOMBS
from tests.support.captures import changed, joined, parts
from tests.support.checkpoint_files import MEGABYTE, assert_sentence, little_memory
from tests.support.own_models import own
from transformer.doctor.capture import capture
from transformer.doctor.examine import examine
from transformer.errors import CheckpointError

MOST_SECONDS = 20
About = dict[str, Any]


@pytest.fixture(scope="module")
def content() -> bytes:
    return capture(own(layers=1, d=8, heads=2))


def refused(content: bytes, memory: int = 200) -> str:
    started = time.monotonic()
    with little_memory(memory * MEGABYTE), pytest.raises(CheckpointError) as caught:
        examine(content)
    assert time.monotonic() - started < MOST_SECONDS
    assert_sentence(caught.value)
    return str(caught.value)


# --- Files that are no captures -----------------------------------------------------------------

OTHERS = (
    *("a header of a million lists", "55,000 empty tensors", "10^12 paths"),
    *("a bytearray of 3 GiB", "a storage of 3 GiB"),
)


@pytest.mark.parametrize("name", OTHERS)
def test_a_bomb_is_no_capture(name: str) -> None:
    refused(BOMBS[name]())


def test_a_pickle_is_not_opened(tmp_path: Path) -> None:
    class Runs:
        def __reduce__(self) -> tuple[Any, tuple[str]]:
            return (exec, (f"open({str(tmp_path / 'canary')!r}, 'w')",))

    buffer = io.BytesIO()
    torch.save({"weight": Runs()}, buffer)
    refused(buffer.getvalue())
    assert not (tmp_path / "canary").exists()


# --- Malformed descriptions -----------------------------------------------------------------------

TEXTS = {
    "lists in lists": "[" * 200_000 + "]" * 200_000,
    "objects in objects": '{"a":' * 200_000 + "1" + "}" * 200_000,
    "a name twice": '{"format": 1, "format": 1}',
    "NaN": '{"format": NaN}',
    "a number without end": '{"format": ' + "9" * 100_000 + "}",
    "1e999": '{"format": 1e999}',
    "half a character": '{"format": "\\ud800"}',
    "a million events": '{"format": 1, "events": [' + "{}," * 1_000_000 + "{}]}",
    "no object": "[]",
}


@pytest.mark.parametrize("name", TEXTS)
def test_a_description_that_is_no_sound_json_is_refused(content: bytes, name: str) -> None:
    header, _, data = parts(content)
    refused(joined(header, TEXTS[name], data))


def _chain(about: About, count: int, **changes: Any) -> list[About]:
    """Append ``count`` operations, each of which reads the one before twice; returns them."""
    first = len(about["events"])
    for number in range(first, first + count):
        read = {"e": number - 1, "shape": [1], "stride": [1], "offset": 0}
        made = {"op": "add", "in": [read, read], "out": [1], "at": -1, "from": "", "args": []}
        about["events"].append(made | {"kwargs": {}} | changes)
    return list(about["events"][first:])


def _many(header: About, about: About) -> None:
    about["events"] += [about["events"][-1]] * 61_000


def _as(name: str, dtype: str) -> Callable[[About, About], None]:
    def change(header: About, about: About) -> None:
        entry = header[name]
        factor = {"F64": 8, "F32": 4, "I64": 8}[entry["dtype"]]
        size = {"BOOL": 1, "U8": 1, "F32": 4, "I64": 8, "F64": 8, "Q1": 1}[dtype]
        entry["dtype"] = dtype
        entry["shape"] = [*entry["shape"][:-1], entry["shape"][-1] * factor // size]

    return change


def _set(name: str, value: Any) -> Callable[[About, About], None]:
    def change(header: About, about: About) -> None:
        about[name] = value

    return change


def _practice(**said: Any) -> Callable[[About, About], None]:
    return _set("practice", said)


VALUES = [["main", 3.0], ["padded", 3.0], ["target", 3.0]]
ROW = {"eos": 2, "wrote": [1], "steps": [[1, [1, 1]]], "train": False}
LIES: dict[str, Callable[[About, About], None]] = {
    "60,000 events too many": _many,
    "ids that are fractions": _as("probe.main.source", "F64"),
    "logits that are whole numbers": _as("probe.main.logits", "I64"),
    "logits that are true or false": _as("probe.main.logits", "BOOL"),
    "places that are fractions": _as("a.logits", "F64"),
    "a type that is none": _as("probe.main.source", "Q1"),
    "a padding id below 0": _set("pad_id", -1),
    "a padding id without end": _set("pad_id", 10**300),
    "a padding id that is a truth": _set("pad_id", True),
    "a part that is none": _set("part", "../../etc"),
    "parameters without end": _set(
        "parameters", [{"name": "x", "shape": [1 << 13] * 2, "event": 0, "gradient": ""}] * 9
    ),
    "parameters of no event": _set(
        "parameters", [{"name": "x", "shape": [1], "event": 10**9, "gradient": ""}]
    ),
    "practice that is a list": _set("practice", []),
    "practice of something else": _practice(shell={}),
    "a loss of no probe": _practice(loss={"values": [["x", 1.0]], "eos": 2}),
    "a loss of a list": _practice(loss={"values": [[[], 1.0]], "eos": 2}),
    "a loss that is a text": _practice(loss={"values": [["main", "1"]], "eos": 2}),
    "a loss without its end": _practice(loss={"values": VALUES, "eos": 10**12}),
    "a loss below 0": _practice(loss={"values": VALUES, "eos": -7}),
    "an optimizer of nothing": _practice(optimizer={}),
    "an optimizer of numbers": _practice(
        optimizer={"kind": "A", "rates": [1], "missing": [3], "still": []}
    ),
    "decoding without sentences": _practice(greedy={"bos": 1, "rows": []}),
    "decoding of fractions": _practice(greedy={"bos": 1, "rows": [ROW | {"wrote": [0.5]}]}),
    "decoding without a start": _practice(greedy={"bos": 9, "rows": [ROW]}),
    "decoding without end": _practice(greedy={"bos": 1, "rows": [ROW | {"wrote": [1] * 100_000}]}),
}


@pytest.mark.parametrize("name", LIES)
def test_a_lie_is_refused(content: bytes, name: str) -> None:
    refused(changed(content, LIES[name]))


def test_probes_of_nothing_are_refused(content: bytes) -> None:
    header, about, data = parts(content)
    place, kept = 0, b""
    for name, entry in header.items():
        if name != "__metadata__":
            start, end = entry["data_offsets"]
            if name.startswith("probe."):
                entry["shape"], end = [0, *entry["shape"][1:]], start
            kept += data[start:end]
            entry["data_offsets"] = [place, place + end - start]
            place += end - start
    assert "has wrong shapes" in refused(joined(header, about, kept))


# --- Captures that would take for ever, or all memory ---------------------------------------------


def test_constants_that_are_read_twice_each_take_no_time(content: bytes) -> None:
    """2^5000 paths lead back to the first constant, but each constant is visited once."""

    def change(header: About, about: About) -> None:
        _chain(about, 5_000)
        last = len(about["events"]) - 1
        read = {"e": last, "shape": [1], "stride": [1], "offset": 0}
        for event in about["events"][:last]:
            if event["op"] in ("mul", "add", "div"):
                break
        about["events"].append(about["events"][last] | {"from": "st", "in": [read, read]})

    started = time.monotonic()
    examine(changed(content, change))
    assert time.monotonic() - started < MOST_SECONDS


def test_products_without_end_take_no_memory(content: bytes) -> None:
    """Each number depends on all products before it; a list of them for each would be too large."""

    def change(header: About, about: About) -> None:
        first = len(about["events"])
        data = next(n for n in range(first - 1, 0, -1) if about["events"][n]["from"] == "st")
        for number in range(first, first + 6_000, 2):
            one = {"e": number - 1, "shape": [1, 1, 1], "stride": [1, 1, 1], "offset": 0}
            made = {"at": -1, "from": "st", "out": [1, 1, 1], "args": [], "kwargs": {}}
            zero = {"e": data, "shape": [1, 1, 1], "stride": [0, 0, 0], "offset": 0}
            about["events"].append({**made, "op": "bmm", "in": [zero, zero]})
            both = [{**one, "e": number}, one]
            about["events"].append({**made, "op": "add", "in": both})

    started = time.monotonic()
    with little_memory(150 * MEGABYTE):
        examine(changed(content, change))
    assert time.monotonic() - started < MOST_SECONDS


def test_what_takes_too_long_is_ended(content: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("transformer.doctor.graph.MOST_SECONDS", 0)
    assert "takes more than 0 s" in refused(content)


# --- Random changes -------------------------------------------------------------------------------

ODD: tuple[Any, ...] = (
    *(-1, 0, 1, 3, 7, 2**31, 2**62, 10**30, 0.5, 1e300, True, None, "", "x", "\x1b[31m", [], {}),
    *([[]], [0], [1, 1], [10**9], {"e": 0}, "softmax", "bmm", "leaf", "_softmax", "s", "st"),
)


def spoilt(content: bytes, seed: int) -> bytes:
    """The capture with one to four values of its JSON, or bytes of its tensors, replaced."""
    chance = random.Random(seed)
    header, about, data = parts(content)
    raw = bytearray(data)
    for _ in range(chance.randint(1, 4)):
        kind = chance.random()
        if kind < 0.2:
            place = chance.randrange(0, len(raw) - 8, 8)
            raw[place : place + 8] = chance.choice(
                [struct.pack("<d", float("nan")), b"\xff" * 8, struct.pack("<q", 1 << 40)]
            )
            continue
        node: Any = header if kind < 0.3 else about
        while True:
            keys = list(node) if isinstance(node, dict) else range(len(node))
            if not len(keys):
                break
            key = chance.choice(list(keys))
            if isinstance(node[key], dict | list) and node[key] and chance.random() < 0.85:
                node = node[key]
                continue
            node[key] = chance.choice(ODD)
            break
    return joined(header, about, bytes(raw))


def survives(content: bytes, seed: int) -> None:
    started = time.monotonic()
    try:
        report = examine(spoilt(content, seed))
    except CheckpointError as error:
        assert_sentence(error)
    else:
        json.dumps(report.to_dict(), allow_nan=False)
        assert "\x1b" not in report.html() + report.text()
    assert time.monotonic() - started < MOST_SECONDS


@pytest.mark.parametrize("seed", range(20))
def test_whatever_is_changed_ends_in_a_report_or_a_sentence(content: bytes, seed: int) -> None:
    survives(content, seed)


@pytest.mark.long
def test_a_thousand_changes_end_in_a_report_or_a_sentence(content: bytes) -> None:
    for seed in range(20, 1_020):
        survives(content, seed)
