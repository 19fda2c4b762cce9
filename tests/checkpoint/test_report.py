"""A checkpoint's card: stored loss curve, evidence report, vocabularies, comparisons."""

import hashlib
import json
import math
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.support.checkpoint_files import SUMMARY, make
from tests.support.places import bundled_file
from transformer.__main__ import main
from transformer.checkpoint import Checkpoint
from transformer.checkpoint.comparison import compare, weights_distance
from transformer.checkpoint.header import MAX_CURVE, read_header
from transformer.checkpoint.verification import verify
from transformer.errors import CheckpointError
from transformer.report import evidence
from transformer.vocabulary import SpecialIds, Vocabulary
from transformer.vocabulary.entries import entries, search
from transformer.vocabulary.vocabulary import SPACE_MARK

CURVE: list[list[float]] = [[0, 3.5, 0.0], [10, 1.25, 0.5], [20, 0.5, 1.0]]


# --- the curve in a file --------------------------------------------------------------------------


def with_curve(curve: list[Any]) -> bytes:
    made = make()
    made.header = replace(made.header, summary=replace(SUMMARY, curve=curve))
    return made.to_bytes()


def test_a_curve_goes_along_with_the_file() -> None:
    summary = Checkpoint.load(with_curve(CURVE)).summary
    assert summary is not None
    assert summary.curve == CURVE


def test_a_file_without_one_is_as_it_was() -> None:
    """A header without a curve has no such field, so older files keep their checksum."""
    content = with_curve([])
    assert b"curve" not in content
    header = read_header(bundled_file("sort"))[0]
    assert '"curve"' not in header.to_json()
    Checkpoint.load(bundled_file("sort"))


@pytest.mark.parametrize(
    "curve",
    [
        [[0, 1.0]],
        [[0, 1.0, 0.0, 0.0]],
        ["a curve"],
        [[0.5, 1.0, 0.0]],
        [[-1, 1.0, 0.0]],
        [[0, -1.0, 0.0]],
        [[0, 1.0, 1.5]],
        [[0, True, 0.0]],
        [[0, "1", 0.0]],
        [[0, 1e20, 0.0]],
        [[5, 1.0, 0.0], [5, 1.0, 0.0]],
        [[5, 1.0, 0.0], [4, 1.0, 0.0]],
        [[step, 1.0, 0.0] for step in range(MAX_CURVE + 1)],
    ],
)
def test_a_curve_that_is_none_is_refused(curve: list[Any]) -> None:
    with pytest.raises(CheckpointError, match="curve is malformed"):
        read_header(with_curve(curve))


# --- evidence -------------------------------------------------------------------------------------


class Shown(HTMLParser):
    """A parsed HTML page: its text and its tags."""

    def __init__(self, content: bytes) -> None:
        super().__init__()
        self.text = ""
        self.tags: set[str] = set()
        self.feed(content.decode())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_report_holds_what_was_found(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    make().save(path)
    found = evidence.report(path, verify(path))
    assert found["ok"]
    assert found["file"]["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert found["file"]["bytes"] == path.stat().st_size
    assert found["versions"]["torch"] == torch.__version__
    _, logits, outputs, _ = found["checks"]
    assert logits["evidence"]["largest_difference"] == 0
    assert logits["evidence"]["equal_bit_for_bit"] is True
    kept = read_header(path)[0].examples
    assert [(one["source"], one["then"]) for one in outputs["evidence"]["examples"]] == [
        (one.source, one.output) for one in kept
    ]
    assert all(one["then"] == one["now"] for one in outputs["evidence"]["examples"])
    assert json.loads(evidence.as_json(found)) == found
    page = Shown(evidence.as_html(found))
    for said in (found["file"]["sha256"], found["date"], "behaves exactly", torch.__version__):
        assert said in page.text
    for one in kept:
        assert one.output in page.text
    assert not page.tags & {"script", "img", "link", "iframe"}


def changed(checkpoint: Checkpoint) -> Checkpoint:
    """The checkpoint with other weights but the same probe and examples."""
    other = make(seed=9)
    return Checkpoint(replace(checkpoint.header, sha256=""), other.tensors)


def test_a_model_that_behaves_otherwise_is_shown_as_such(tmp_path: Path) -> None:
    path = tmp_path / "changed.safetensors"
    changed(make()).save(path)
    found = evidence.report(path, verify(path))
    assert not found["ok"]
    assert "does not behave" in found["verdict"]
    assert found["checks"][1]["evidence"]["largest_difference"] > 0.1
    examples = found["checks"][2]["evidence"]["examples"]
    now = changed(make()).answers([one["source"] for one in examples])
    assert [one["now"] for one in examples] == [answer.output for answer in now]
    page = Shown(evidence.as_html(found))
    assert "✗ differs" in page.text
    assert "FAILS" in page.text


def test_texts_from_the_file_are_shown_and_never_run(tmp_path: Path) -> None:
    made = make()
    evil = "<script>alert(1)</script>\u202e"
    examples = [replace(one, target=evil) for one in made.header.examples]
    made.header = replace(made.header, examples=examples, origin=evil)
    made.save(tmp_path / "evil.safetensors")
    found = evidence.report(tmp_path / "evil.safetensors", verify(tmp_path / "evil.safetensors"))
    page = Shown(evidence.as_html(found))
    assert "script" not in page.tags
    assert "<script>alert(1)</script>U+202E" in page.text


def test_a_probe_that_is_no_number_still_makes_a_report() -> None:
    assert evidence._finite({"a": [math.nan, 1.5]}) == {"a": ["nan", 1.5]}


def test_the_help_offers_what_a_report_can_be(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["verify", "--help"])
    offered = re.findall(r"\.[a-z]+\b", capsys.readouterr().out.split("--report REPORT")[-1])
    assert tuple(offered) == evidence.FORMATS


@pytest.mark.parametrize("ending", ["html", "json"])
def test_verify_writes_a_report(
    ending: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make().save(tmp_path / "m.safetensors")
    out = tmp_path / f"report.{ending}"
    assert main(["verify", str(tmp_path / "m.safetensors"), "--json", "--report", str(out)]) == 0
    told = json.loads(capsys.readouterr().out)
    assert all(check.keys() == {"name", "ok", "detail"} for check in told["checks"])
    assert b"behaves exactly as it did" in out.read_bytes()
    assert main(["verify", str(tmp_path / "m.safetensors"), "--report", "report.pdf"]) == 1
    assert "must end in .html or .json" in capsys.readouterr().err


# --- vocabularies ---------------------------------------------------------------------------------


def test_every_token_is_listed_as_it_can_be_seen() -> None:
    found = entries(Vocabulary("characters", ["a", "7", " ", "\u202e", "+", "<"]))
    assert [entry.shown for entry in found[:4]] == ["<pad>", "<bos>", "<eos>", "<unk>"]
    assert [(entry.id, entry.shown, entry.kind) for entry in found[4:]] == [
        (4, "a", "letter"),
        (5, "7", "digit"),
        (6, "␣", "space"),
        (7, "U+202E", "invisible"),
        (8, "+", "sign"),
        (9, "<", "sign"),
    ]
    pieces = Vocabulary("bpe", [SPACE_MARK, "a", "b", f"{SPACE_MARK}a", "ab", "!"], [])
    kinds = [entry.kind for entry in entries(pieces)[4:]]
    assert kinds == [
        "starts a word",
        *["within a word"] * 2,
        "starts a word",
        "within a word",
        "sign",
    ]
    words = entries(Vocabulary("words", ["cat", "1984", "?!", "it's"]))
    assert [entry.kind for entry in words[4:]] == ["word", "number", "sign", "word"]


def test_special_tokens_are_where_the_vocabulary_has_them() -> None:
    """A MarianMT vocabulary begins with the end token and ends with padding."""
    own = Vocabulary("words", ["</s>", "?", "cat", "<pad>"], special=SpecialIds(3, 3, 0, 1))
    assert [entry.kind for entry in entries(own)] == ["special", "special", "word", "special"]


def test_a_search_puts_the_exact_hit_first() -> None:
    found = entries(Vocabulary("words", ["concat", "catalogue", "Cat", "dog", "4"]))
    assert [entry.shown for entry in search(found, " cat ")] == ["Cat", "catalogue", "concat"]
    assert [entry.shown for entry in search(found, "4")] == ["concat", "4"]
    assert [entry.shown for entry in search(found, "special")] == [e.shown for e in found[:4]]
    assert search(found, "zebra") == []
    assert search(found, "") == found


# --- comparisons ----------------------------------------------------------------------------------


def test_what_differs_between_two_is_named() -> None:
    one, other = make(), make(d_ff=9)
    other.header = replace(other.header, summary=replace(SUMMARY, loss=1.0), licence="MIT")
    lines = compare(one.header, other.header)
    unlike = {line.name: (line.left, line.right) for line in lines if line.differs}
    assert unlike["d_ff"] == (8, 9)
    assert unlike["loss"] == (2.5, 1.0)
    assert unlike["licence"] == (None, "MIT")
    assert unlike["all"] == (one.config.num_parameters, other.config.num_parameters)
    assert "Encoder feed-forward" in unlike
    assert not {"d_model", "task", "Norms", "source vocabulary"} & set(unlike)
    assert not any(line.differs for line in compare(one.header, one.header))


def test_vocabularies_of_one_size_are_told_apart() -> None:
    one = make().header
    other = replace(one, target_vocabulary=Vocabulary("characters", "fedcba"))
    unlike = {line.name for line in compare(one, other) if line.differs}
    assert unlike == {"target vocabulary"}


def test_a_model_from_elsewhere_can_be_compared() -> None:
    one = make().header
    lines = compare(one, replace(one, summary=None, origin="From elsewhere."))
    found = {line.name: line.right for line in lines}
    assert found["exact match"] is None
    assert found["origin"] == "From elsewhere."


def test_distances_are_those_of_the_weights() -> None:
    one, other = make(0), make(1)
    assert all(part.relative == 0 for part in weights_distance(one, one) or [])
    doubled = Checkpoint(one.header, {name: 2 * tensor for name, tensor in one.tensors.items()})
    for part in weights_distance(one, doubled) or []:
        assert part.relative == pytest.approx(1 / 1.5)
        assert part.cosine == pytest.approx(1)
    found = {part.title: part for part in weights_distance(one, other) or []}
    ours, theirs = (
        torch.cat([t.flatten() for n, t in sorted(m.tensors.items()) if ".cross_attention." in n])
        for m in (one, other)
    )
    expected = (ours - theirs).norm() / ((ours.norm() + theirs.norm()) / 2)
    assert found["Decoder cross-attention"].relative == pytest.approx(expected.item(), rel=1e-5)
    cosine = torch.nn.functional.cosine_similarity(ours, theirs, dim=0)
    assert found["Decoder cross-attention"].cosine == pytest.approx(cosine.item(), abs=1e-5)
    assert weights_distance(one, make(d_ff=9)) is None
