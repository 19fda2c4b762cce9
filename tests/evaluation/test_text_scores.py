"""Scores of outputs against their targets, and parsing of files with many inputs."""

import csv
import io

import pytest
import sacrebleu
from hypothesis import given
from hypothesis import strategies as st

from pages.components.decoding import many_inputs
from pages.components.decoding.many_inputs_fields import EnteredInputs
from tests.support.places import BUNDLED
from transformer.checkpoint import Answer, Checkpoint
from transformer.errors import TaskError
from transformer.evaluation.text_scores import Scorer, edit_distance
from transformer.files import is_formula
from transformer.tasks.own_pairs.inputs import MAX_BYTES, MAX_INPUTS, parse_inputs
from transformer.tasks.own_pairs.layout import SEPARATORS, as_line

words = st.lists(st.sampled_from("abc"), max_size=7)


def plain_distance(left: list[str], right: list[str]) -> int:
    """The edit distance by its recursive definition."""
    if not left or not right:
        return len(left) + len(right)
    return min(
        plain_distance(left[1:], right) + 1,
        plain_distance(left, right[1:]) + 1,
        plain_distance(left[1:], right[1:]) + (left[0] != right[0]),
    )


@given(st.lists(st.sampled_from("abc"), max_size=5), st.lists(st.sampled_from("abc"), max_size=5))
def test_edit_distance_is_the_fewest_edits(left: list[str], right: list[str]) -> None:
    assert edit_distance(left, right) == plain_distance(left, right)


@given(words, words, words)
def test_edit_distance_is_a_distance(one: list[str], two: list[str], three: list[str]) -> None:
    assert edit_distance(one, two) == edit_distance(two, one)
    assert (edit_distance(one, two) == 0) == (one == two)
    assert edit_distance(one, three) <= edit_distance(one, two) + edit_distance(two, three)


def test_scores_of_words_are_those_of_sacrebleu() -> None:
    outputs = ["the cat sat on the mat today", "a dog", ""]
    targets = ["the cat sat on a mat today", "a dog", "something else"]
    scorer = Scorer()
    assert scorer.scores(text=True) is None
    for output, target in zip(outputs, targets, strict=True):
        scorer.add(output, target, output.split(), target.split())
    found = scorer.scores(text=True)
    assert found is not None
    assert found.count == 3
    assert found.exact_match == pytest.approx(1 / 3)
    assert found.token_error_rate == pytest.approx((1 + 0 + 2) / (7 + 2 + 2))
    assert found.bleu == sacrebleu.corpus_bleu(outputs, [targets]).score
    assert found.chrf == sacrebleu.corpus_chrf(outputs, [targets]).score
    letters = scorer.scores(text=False)
    assert letters is not None
    assert letters.bleu is letters.chrf is None


def test_lines_become_inputs_with_their_numbers_and_targets() -> None:
    content = "\ufeffgood  morning\tguten Morgen\r\n\r\n plain \r\nx\t\r\na\tb\tc\n\ty\n"
    found = parse_inputs(content.encode())
    assert [(one.line, one.text, one.target) for one in found.inputs] == [
        (1, "good morning", "guten Morgen"),
        (3, "plain", None),
        (4, "x", None),
        (5, "a", "b"),
        (6, "", "y"),
    ]
    assert (found.targets, found.extra) == (3, 1)
    assert not any(one.problem for one in found.inputs)


@pytest.mark.parametrize(
    ("line", "text", "target"),
    [
        ("a => b", "a", "b"),
        ("  12  +  3   =>  15 ", "12 + 3", "15"),
        ("a => b => c", "a", "b => c"),
        ("a => b\tc", "a => b", "c"),
        ("a\tb => c", "a", "b => c"),
        ("a =>", "a", None),
        ("=> b", "", "b"),
        ("a=>b", "a=>b", None),
        ("a =>b", "a =>b", None),
        ("f(x) >= 2", "f(x) >= 2", None),
        ("a -> b", "a", "b"),
        ("a → b | c", "a", "b | c"),
        ("a | b", "a", "b"),
        ("a->b|c", "a->b|c", None),
    ],
)
def test_an_arrow_between_spaces_parts_a_line_that_has_no_tab(
    line: str, text: str, target: str | None
) -> None:
    found = parse_inputs(line.encode())
    [one] = found.inputs
    assert (one.text, one.target, found.extra) == (text, target, 0)


texts = st.lists(st.sampled_from(["a", "b", "=", ">", *SEPARATORS]), min_size=1).map(" ".join)


@given(texts, st.none() | texts)
def test_what_was_read_is_written_so_that_it_is_read_again(text: str, target: str | None) -> None:
    [one] = parse_inputs(as_line(text, target).encode()).inputs
    assert (one.text, one.target) == (text, target)


def test_no_bundled_task_has_the_arrow_in_its_inputs() -> None:
    for path in sorted(BUNDLED.glob("*.safetensors")):
        vocabulary = Checkpoint.load(path).source_vocabulary
        ordinary = (t for i, t in enumerate(vocabulary.tokens) if i not in vocabulary.special)
        assert ">" not in "".join(ordinary), path.stem


def test_a_line_that_is_too_long_costs_itself_alone() -> None:
    lines = ["a", "b" * 2001, "c\t" + "d" * 2001, "e" * 70_000, "f"]
    found = parse_inputs("\n".join(lines).encode()).inputs
    assert [bool(one.problem) for one in found] == [False, True, True, True, False]
    assert [one.line for one in found] == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "no input"),
        (b"\n \n\t\n", "no input"),
        (b"a\n" * (MAX_INPUTS + 1), "10,001 inputs"),
        (b"a" * (MAX_BYTES + 1), "MB"),
        ("grün\n".encode() + b"gr\xfcn\n", "UTF-8"),
        (b"PK\x03\x04" + bytes(100), "Excel"),
    ],
)
def test_what_cannot_be_read_is_refused_in_a_sentence(content: bytes, says: str) -> None:
    with pytest.raises(TaskError, match=says) as refused:
        parse_inputs(content)
    assert str(refused.value).endswith(".")


def test_in_the_csv_of_results_no_text_is_a_formula() -> None:
    texts = [*("=SUM(A1)", "+1", "-1+1", "@x"), '=HYPERLINK("http://x")']
    lines = "\n".join(f"{text}\t{text}" for text in texts)
    results = many_inputs.Results(EnteredInputs("", parse_inputs(lines.encode())), 1, 0.6)
    for place, text in enumerate(texts):
        error = "-3 is no word." if place == 2 else ""
        results.answers[place] = Answer(text, text, (text,), -1.5, error=error)
    titles, *rows = csv.reader(
        io.StringIO(many_inputs.as_csv(results).decode("utf-8-sig"), newline="")
    )
    numbers = {titles.index("log_probability"), titles.index("margin")}
    assert len(rows) == len(texts)
    for row in rows:
        for column, text in enumerate(row):
            assert column in numbers or not is_formula(text)
    assert {float(row[titles.index("log_probability")] or "-1.5") for row in rows} == {-1.5}
    assert [row[titles.index("exact_match")] for row in rows] == ["True"] * 2 + [""] + ["True"] * 2


def test_there_is_no_bleu_where_no_target_has_four_words() -> None:
    """BLEU is None, not 0.0, if no target has four words."""
    scorer = Scorer()
    for target in ("K AE T", "B IH G"):
        scorer.add(target, target, target.split(), target.split())
    found = scorer.scores(text=True)
    assert found is not None
    assert (found.exact_match, found.bleu, found.chrf) == (1.0, None, 100.0)
    assert "no target has four" in found.why_no_bleu
    scorer.add("a b c d", "a b c d", ["a", "b", "c", "d"], ["a", "b", "c", "d"])
    found = scorer.scores(text=True)
    assert found is not None
    assert found.bleu == pytest.approx(100.0)
    assert found.why_no_bleu == ""
