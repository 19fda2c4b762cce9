"""Tasks: right answers, disjoint splits, and users' own files of pairs."""

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from transformer.config import DataConfig
from transformer.errors import ConfigError, TaskError
from transformer.tasks import (
    SEVEN_PAIRS,
    TASKS,
    Pair,
    Task,
    build_task,
    read_pairs,
)
from transformer.tasks.base import GeneratedTask
from transformer.tasks.own_pairs.file import read_data
from transformer.tasks.own_pairs.layout import is_note
from transformer.tasks.own_pairs.task import MAX_TEXT, OwnPairs, parse_pairs, write_pairs
from transformer.tasks.presets import PRESETS

generated = pytest.mark.parametrize(
    "name", [name for name, kind in TASKS.items() if issubclass(kind, GeneratedTask)]
)
seeds = st.integers(0, 2**31 - 1)
lengths = st.tuples(st.integers(1, 12), st.integers(1, 12)).map(sorted)


def generated_task(name: str, span: list[int] | None = None, digits: int = 3) -> Task:
    low, high = span or [1, 12]
    return build_task(DataConfig(task=name, min_letters=low, max_letters=high, digits=digits))


# --- Generated tasks -------------------------------------------------------------------------


@generated
@settings(max_examples=8)
@given(seed=seeds, span=lengths, digits=st.integers(1, 5))
def test_training_never_sees_a_held_out_source(
    name: str, seed: int, span: list[int], digits: int
) -> None:
    task = generated_task(name, span, digits)
    held_out = {pair.source for pair in task.held_out(100)}
    for number in range(3):
        assert not held_out & {pair.source for pair in task.epoch(seed, number, 8)}


@generated
@pytest.mark.parametrize(("span", "digits"), [([1, 1], 1), ([1, 2], 2), ([12, 12], 9)])
def test_even_the_smallest_task_holds_something_out(
    name: str, span: list[int], digits: int
) -> None:
    """Evaluation divides by the number of held-out pairs."""
    task = generated_task(name, span, digits)
    assert task.held_out(20)
    assert task.epoch(0, 0, 1)


@generated
@settings(max_examples=8)
@given(seed=seeds, number=st.integers(0, 100), span=lengths, digits=st.integers(1, 9))
def test_answers_are_right_and_can_be_written(
    name: str, seed: int, number: int, span: list[int], digits: int
) -> None:
    task = generated_task(name, span, digits)
    pairs = [*task.epoch(seed, number, 2), *task.held_out(10), task.example]
    for pair in pairs:
        source, target = pair
        if name == "reverse":
            assert all(target[-1 - i] == mark for i, mark in enumerate(source))
            assert len(target) == len(source)
        elif name == "copy":
            assert target == source
        elif name == "sort":
            assert all(left <= right for left, right in pairwise(target))
            assert {m: target.count(m) for m in target} == {m: source.count(m) for m in source}
        elif name.startswith("addition"):
            left, right = map(int, source.split("+"))
            in_order = target if name == "addition" else "".join(reversed(target))
            assert in_order == str(left + right)
        assert task.is_right(pair, target)
        assert not task.is_right(pair, target + target[0])
        assert task.source_vocabulary.decode(task.source_vocabulary.encode(source)) == source
        assert task.target_vocabulary.decode(task.target_vocabulary.encode(target)) == target
    for source, _ in pairs[:-1]:
        if "+" in source:
            assert all(len(number) <= digits for number in source.split("+"))
        elif "min_letters" in task.data_fields:
            assert span[0] <= len(source) <= span[1]


@generated
@settings(max_examples=8)
@given(seed=seeds, number=st.integers(0, 100))
def test_an_epoch_is_a_function_of_its_arguments(name: str, seed: int, number: int) -> None:
    task, same = generated_task(name), generated_task(name)
    first = task.epoch(seed, number, 2)
    task.epoch(seed, number + 1, 4)  # what was drawn in between must not matter
    task.held_out(5)
    assert first == task.epoch(seed, number, 2) == same.epoch(seed, number, 2)
    assert first != task.epoch(seed, number + 1, 2)
    assert first != task.epoch(seed + 1, number, 2)


@generated
def test_held_out_pairs_are_the_same_for_every_run(name: str) -> None:
    task = generated_task(name)
    many = task.held_out(200)
    assert len({pair.source for pair in many}) == len(many) == 200
    # A short evaluation uses the first pairs of a long one.
    assert generated_task(name).held_out(50) == many[:50]


@generated
@settings(max_examples=4)
@given(seed=seeds, span=lengths, digits=st.integers(1, 4))
def test_nothing_is_longer_than_longest(name: str, seed: int, span: list[int], digits: int) -> None:
    task = generated_task(name, span, digits)
    source, target = task.longest()
    for pair in task.epoch(seed, 1, 8):
        assert len(pair.source) <= source
        assert len(pair.target) <= target


@pytest.mark.parametrize("name", TASKS)
def test_every_task_describes_itself(name: str) -> None:
    data = DataConfig(task=name)
    task = build_task(data, SEVEN_PAIRS if name == "pairs" else None)
    assert task.name == name
    assert task.default_preset in PRESETS
    assert task.title
    assert task.description.endswith(".")
    assert task.look_for.endswith(".")


def test_tasks_that_cannot_be_built() -> None:
    with pytest.raises(ConfigError, match=r"'subtraction'.*reverse"):
        build_task(DataConfig(task="subtraction"))
    with pytest.raises(TaskError, match="--data"):
        build_task(DataConfig(task="pairs"))
    with pytest.raises(TaskError, match="'copy'"):
        build_task(DataConfig(task="copy"), SEVEN_PAIRS)


# --- Files of pairs --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "comma"),
    [
        pytest.param(b"one\teins\ntwo\tzwei\n", False, id="plain"),
        pytest.param(b"one\teins\ntwo\tzwei", False, id="no newline at the end"),
        pytest.param(b"\xef\xbb\xbfone\teins\ntwo\tzwei\n", False, id="BOM"),
        pytest.param(b"one\teins\r\ntwo\tzwei\r\n", False, id="CRLF"),
        pytest.param(b"\xef\xbb\xbfone\teins\r\n\r\ntwo\tzwei\r\n\r\n", False, id="empty lines"),
        pytest.param(b"  one \teins  \n two\t zwei\n", False, id="white space around"),
        pytest.param(b"one\xe2\x80\xa8\teins\x0c\ntwo\tzwei\n", False, id="odd line breaks"),
        pytest.param(b"one,eins\ntwo,zwei\n", True, id="CSV"),
        pytest.param(b'"one","eins"\r\n"two","zwei"\r\n', True, id="CSV with quotes"),
        pytest.param(b"\xef\xbb\xbfone,eins\r\n\r\ntwo,zwei\r\n", True, id="CSV from a sheet"),
        pytest.param(b'"one\n",eins\ntwo,"\nzwei"\n', True, id="CSV with newlines in cells"),
    ],
)
def test_files_as_programs_save_them(content: bytes, comma: bool) -> None:
    found = parse_pairs(content, comma=comma)
    assert found.pairs == [Pair("one", "eins"), Pair("two", "zwei")]
    assert not found.refused


def test_csv_quotes_protect_commas_and_quotes() -> None:
    found = parse_pairs(b'"yes, please","ja, ""bitte"""\n', comma=True)
    assert found.pairs == [Pair("yes, please", 'ja, "bitte"')]


def test_tsv_quotes_and_commas_are_text() -> None:
    """Sentences contain quotes and commas; only a tab separates here."""
    found = parse_pairs(b'"Yes", he said, "no\tIt\'s "so"\n')
    assert found.pairs == [Pair('"Yes", he said, "no', 'It\'s "so"')]


@pytest.mark.parametrize("word", ["NA", "null", "None", "nan", "1e5", "007", "TRUE", "#x", "="])
@pytest.mark.parametrize("comma", [False, True])
def test_every_cell_is_text(word: str, comma: bool) -> None:
    """A reader of tables would turn these into numbers or missing values."""
    line = f"{word}{',' if comma else chr(9)}{word}\n"
    assert parse_pairs(line.encode(), comma=comma).pairs == [Pair(word, word)]


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        pytest.param("no tab here", "found 0", id="no tab"),
        pytest.param("a\tb\tc", "found 2", id="too many columns"),
        pytest.param("\tb", "source is empty", id="empty source"),
        pytest.param("a\t", "target is empty", id="empty target"),
        pytest.param("a\t \u00a0 ", "target is empty", id="white target"),
        pytest.param("a\0b\tc", "source holds a NUL", id="NUL"),
        pytest.param("a\t" + "b" * (MAX_TEXT + 1), "target has more than", id="long"),
    ],
)
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_a_bad_line_is_named_and_the_others_are_read(bad: str, reason: str, newline: str) -> None:
    content = newline.join(["one\teins", "", bad, "two\tzwei"]).encode()
    found = parse_pairs(content)
    assert found.pairs == [Pair("one", "eins"), Pair("two", "zwei")]
    [(line, why)] = found.refused
    assert line == 3
    assert reason in why
    if bad == "a\tb\tc":  # alone, it is a table of three columns
        return
    with pytest.raises(TaskError, match=f"Line 1: .*{reason}"):
        parse_pairs(bad.encode())


@pytest.mark.parametrize("bad", [b"a", b"a,b,c", b",b", b"a,", b"a\0b,c"])
def test_a_bad_csv_line_is_named(bad: bytes) -> None:
    found = parse_pairs(b"one,eins\n" + bad + b"\ntwo,zwei\n", comma=True)
    assert [pair.source for pair in found.pairs] == ["one", "two"]
    assert [line for line, _ in found.refused] == [2]


@pytest.mark.parametrize("comma", [False, True])
@pytest.mark.parametrize("content", [b"", b"\xef\xbb\xbf", b"\n\n", b" \r\n\t\r\n", b"\0"])
def test_an_empty_file_says_what_to_write(content: bytes, comma: bool) -> None:
    with pytest.raises(TaskError, match="a comma" if comma else "a tab"):
        parse_pairs(content, comma=comma)


@settings(max_examples=100)
@given(st.binary(max_size=40), st.booleans())
def test_any_bytes_are_read_or_refused(content: bytes, comma: bool) -> None:
    try:
        found = parse_pairs(content, comma=comma)
    except TaskError:
        return
    for pair in found.pairs:
        for text in pair:
            assert text == " ".join(text.split()) != ""


cells = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
texts = cells.map(lambda text: " ".join(text.split())).filter(bool)
pairs_of = st.builds(Pair, texts, texts)


@given(st.lists(pairs_of, min_size=1, max_size=6))
@example([Pair("x", "number"), Pair("1", "one")])  # would name columns in a user's file
@example([Pair('[{"a": 1}]', "one")])  # would be a list in JSON
def test_written_pairs_are_read_back(
    tmp_path_factory: pytest.TempPathFactory, pairs: list[Pair]
) -> None:
    if any(pair.source.startswith("\ufeff") for pair in pairs):
        return  # a byte order mark at the start of a file, or of one appended to it
    written = write_pairs(pairs)
    if any(is_note(line, first=True) for line in written.split("\n")):
        return  # runs were trained without it, so it stays left out
    file = tmp_path_factory.getbasetemp() / "written.tsv"
    file.write_text(written, "utf-8")
    assert read_data(file).pairs == pairs


def test_the_name_of_a_file_says_what_separates(tmp_path: Path) -> None:
    for name, content in (("a.tsv", "x,y\tz"), ("a.txt", "x,y\tz"), ("a.CSV", '"x,y",z')):
        path = tmp_path / name
        path.write_text(content, encoding="utf-8")
        assert read_pairs(path).pairs == [Pair("x,y", "z")]
    with pytest.raises(TaskError, match="could not be read"):
        read_pairs(tmp_path / "missing.tsv")
    with pytest.raises(TaskError, match="could not be read"):
        read_pairs(tmp_path)


def test_the_seven_bundled_pairs() -> None:
    found = read_pairs(SEVEN_PAIRS)
    assert not found.refused
    assert len(found.pairs) == len({pair.source for pair in found.pairs}) == 7
    for pair in found.pairs:
        for text in pair:
            assert 10 <= len(text.split()) <= 45


# --- A user's own pairs as a task ------------------------------------------------------------

few_sources = st.lists(
    st.builds(Pair, st.sampled_from("abcdefgh"), st.text("xyz", min_size=1, max_size=3)),
    min_size=1,
    max_size=12,
)


def own(pairs: list[Pair], **changes: float | str) -> OwnPairs:
    return OwnPairs(DataConfig.from_dict({"task": "pairs", **changes}), pairs)


@given(few_sources, seeds)
def test_with_nothing_held_out_it_is_evaluated_on_all_pairs(pairs: list[Pair], seed: int) -> None:
    task = own(pairs, held_out=0.0)
    assert task.held_out(len(pairs)) == pairs
    assert sorted(task.epoch(seed, 0, 4)) == sorted(pairs)


@given(few_sources, st.floats(0.001, 0.5), seeds)
def test_the_split_is_by_source_even_with_duplicates(
    pairs: list[Pair], share: float, seed: int
) -> None:
    sources = {pair.source for pair in pairs}
    if len(sources) < 2:
        with pytest.raises(TaskError, match="two different sources"):
            own(pairs, held_out=share)
        return
    task = own(pairs, held_out=share)
    train, held_out = task.epoch(seed, 0, 4), task.held_out(len(pairs))
    assert sorted([*train, *held_out]) == sorted(pairs)
    seen, unseen = {pair.source for pair in train}, {pair.source for pair in held_out}
    assert not seen & unseen
    assert seen
    assert abs(len(unseen) - max(1, share * len(sources))) <= 0.5
    # The split does not depend on the order of the lines.
    other = own(pairs[::-1], held_out=share)
    assert {pair.source for pair in other.held_out(len(pairs))} == unseen


@given(few_sources, seeds, st.integers(0, 50))
def test_an_epoch_of_own_pairs_is_a_function_of_its_arguments(
    pairs: list[Pair], seed: int, number: int
) -> None:
    task = own(pairs, held_out=0.0)
    first = task.epoch(seed, number, 4)
    task.epoch(seed, number + 1, 4)
    assert first == task.epoch(seed, number, 4) == own(pairs, held_out=0.0).epoch(seed, number, 4)


def test_epochs_are_shuffled_again() -> None:
    pairs = [Pair(str(number), str(number)) for number in range(50)]
    task = own(pairs, held_out=0.0)
    orders = {tuple(task.epoch(seed, number, 4)) for seed in range(3) for number in range(3)}
    assert len(orders) == 9


@pytest.mark.parametrize("tokens", ["characters", "words", "bpe"])
@pytest.mark.parametrize("held_out", [0.0, 0.3])
def test_both_vocabularies_know_all_pairs(tokens: str, held_out: float) -> None:
    """Includes held-out pairs, or evaluation would stop at the first unknown word."""
    pairs = read_pairs(SEVEN_PAIRS).pairs
    task = own(pairs, tokens=tokens, held_out=held_out)
    source_length, target_length = task.longest()
    for source, target in pairs:
        source_ids = task.source_vocabulary.encode(source)
        target_ids = task.target_vocabulary.encode(target)
        assert task.source_vocabulary.decode(source_ids) == source
        assert task.target_vocabulary.decode(target_ids) == target
        assert len(source_ids) <= source_length
        assert len(target_ids) <= target_length


# --- Kinds of errors -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "pair", "outputs"),
    [
        (
            "sort",
            Pair("cab", "abc"),
            {
                "": "nothing written",
                "ab": "too short",
                "abca": "too long",
                "acb": "right letters, wrong order",
                "abd": "one letter wrong",
                "aab": "wrong letters",
                "a<unk>": "too long",
            },
        ),
        ("copy", Pair("a", "a"), {"b": "one letter wrong"}),
        (
            "addition",
            Pair("5000+678", "5678"),
            {
                "678": "too short",
                "56780": "too long",
                "5679": "ones wrong",
                "5668": "tens wrong",
                "5778": "hundreds wrong",
                "4678": "thousands wrong",
                "8765": "several digits wrong",
            },
        ),
        (
            "addition-reversed",
            Pair("128+367", "594"),
            {"494": "ones wrong", "593": "hundreds wrong"},
        ),
    ],
)
def test_errors_are_told_apart(name: str, pair: Pair, outputs: dict[str, str]) -> None:
    task = generated_task(name)
    assert task.error_kind(pair, pair.target) == ""
    assert {output: task.error_kind(pair, output) for output in outputs} == outputs


def test_each_digit_of_the_longest_sum_has_a_name() -> None:
    task = build_task(DataConfig(task="addition", digits=9))
    pair = Pair("999999999+999999999", "1999999998")
    kinds = [task.error_kind(pair, pair.target[:i] + "0" + pair.target[i + 1 :]) for i in range(10)]
    assert kinds[0] == "billions wrong"
    assert kinds[-2:] == ["tens wrong", "ones wrong"]
    assert len(set(kinds)) == 10


@pytest.mark.parametrize("tokens", ["characters", "words", "bpe"])
def test_errors_of_own_pairs_are_told_apart_by_tokens(tokens: str) -> None:
    pair = Pair("one two", "eins zwei drei")
    task = own([pair, Pair("x", "vier")], tokens=tokens, held_out=0.0)
    assert task.error_kind(pair, pair.target) == ""
    assert task.error_kind(pair, "") == "nothing written"
    assert task.error_kind(pair, "eins") == "too short"
    # An output may hold names of special tokens, which a byte-pair vocabulary cannot encode.
    assert task.error_kind(pair, "<bos>" * 20 + " <unk>" * 20) in ("too long", "nothing right")
    if tokens == "words":
        assert task.error_kind(pair, "eins zwei vier") == "one token wrong"
        assert task.error_kind(pair, "eins drei zwei") == "some tokens wrong"
        assert task.error_kind(pair, "drei eins zwei") == "nothing right"
        assert task.error_kind(pair, "eins zwei drei vier") == "too long"


@generated
@given(seeds, st.text("abcxyz0123456789<>", max_size=8))
def test_an_error_has_a_kind_exactly_where_the_output_is_wrong(
    name: str, seed: int, output: str
) -> None:
    task = generated_task(name)
    pair = task.epoch(seed, 0, 1)[0]
    assert bool(task.error_kind(pair, output)) == (output != pair.target)
