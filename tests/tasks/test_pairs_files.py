"""Files of pairs from users and attackers: read, or refused with the faulty line's number."""

import codecs
import json
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.places import ROOT
from transformer.config import DataConfig
from transformer.errors import TaskError
from transformer.tasks import Pair, build_task, read_pairs
from transformer.tasks.own_pairs.file import (
    MAX_FILE_BYTES,
    MAX_NAMED,
    PairsReader,
    parse_pairs,
)
from transformer.tasks.own_pairs.lines import MAX_LINE_BYTES
from transformer.tasks.own_pairs.survey import Survey, survey
from transformer.tasks.own_pairs.task import held_out_count
from transformer.tasks.presets import PRESETS
from transformer.vocabulary.vocabulary import KINDS

GOOD = [Pair("one", "eins"), Pair("größer", "bigger")]
TEXT = "one\teins\ngrößer\tbigger\n"
LONG = "x" * 1_000_000


def written(folder: Path, content: bytes, name: str = "pairs.tsv") -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


# --- Files that can be read ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content"),
    [
        pytest.param("a.tsv", codecs.BOM_UTF8 + TEXT.encode(), id="UTF-8 with BOM"),
        pytest.param("a.tsv", codecs.BOM_UTF16_LE + TEXT.encode("utf-16-le"), id="UTF-16 LE"),
        pytest.param("a.tsv", codecs.BOM_UTF16_BE + TEXT.encode("utf-16-be"), id="UTF-16 BE"),
        pytest.param("a.tsv", TEXT.encode("latin-1"), id="Latin-1"),
        pytest.param("a.tsv", TEXT.replace("\n", "\r").encode(), id="CR alone"),
        pytest.param("a.tsv", TEXT.replace("\n", "\t\t\r\n").encode(), id="empty columns"),
        *(
            pytest.param("a.tsv", TEXT.replace("\t", typed).encode(), id=f"typed {typed}")
            for typed in ("=>", " => ", "->", " → ", " | ")
        ),
        pytest.param("a.csv", TEXT.replace("\t", ";").encode("cp1252"), id="German Excel"),
        pytest.param("a.csv", TEXT.encode(), id="tabs in a file named CSV"),
        pytest.param("a.csv", b'"one","eins"\n"gr\xc3\xb6\xc3\x9fer",bigger', id="quoted CSV"),
        pytest.param("a.csv", '"one\n",eins\ngrößer,"\nbigger"\n'.encode(), id="lines in cells"),
    ],
)
def test_what_programs_save_is_read(tmp_path: Path, name: str, content: bytes) -> None:
    found = read_pairs(written(tmp_path, content, name))
    assert found.pairs == GOOD
    assert not found.refused


def test_words_stay_words(tmp_path: Path) -> None:
    words = ["NA", "null", "1e5", "NaN", "None", "007", "=1+1", "TRUE", "-", "1,5", "#REF!"]
    content = "".join(f"{word}\t{word}\n" for word in words).encode()
    assert read_pairs(written(tmp_path, content)).pairs == [Pair(word, word) for word in words]


def test_quotes_inside_a_cell_are_text(tmp_path: Path) -> None:
    content = b'a 5" pipe,ein Rohr\nsay "hi",sag "hallo"\n'
    found = read_pairs(written(tmp_path, content, "a.csv"))
    assert found.pairs == [Pair('a 5" pipe', "ein Rohr"), Pair('say "hi"', 'sag "hallo"')]


def test_a_third_column_throughout_is_passed_over(tmp_path: Path) -> None:
    """Well-known files of sentence pairs have a licence as the third column."""
    lines = [f"go {n}\tgeh {n}\tCC-BY {n}" for n in range(20)]
    path = written(tmp_path, "\n".join([*lines, "odd\tone"]).encode())
    pairs = [Pair(f"go {n}", f"geh {n}") for n in range(20)]
    assert read_pairs(path).pairs == [*pairs, Pair("odd", "one")]
    with path.open("rb") as file:
        assert PairsReader(file).layout.columns == 3


# --- Lines that are refused ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "bad", "reason"),
    [
        pytest.param("a.tsv", b"no column", "found 0", id="one column"),
        pytest.param("a.tsv", b"\tone\teins", "found 2", id="a tab before"),
        pytest.param("a.tsv", b"one\t\teins", "found 2", id="two tabs between"),
        pytest.param("a.tsv", b"one\t", "target is empty", id="a tab after"),
        pytest.param("a.tsv", b"o\0ne\teins", "NUL", id="NUL"),
        pytest.param("a.tsv", LONG.encode() + b"\teins", "bytes", id="a million characters"),
        pytest.param("a.tsv", LONG.encode()[:3000] + b"\teins", "2,000", id="a long text"),
        pytest.param("a.csv", b'"one,eins', "never closed", id="open quote"),
        pytest.param("a.csv", b'"one"x,eins', "not those of CSV", id="text after a quote"),
        pytest.param("a.csv", b"one,two,three", "found 2", id="an unquoted comma"),
    ],
)
def test_a_bad_line_is_named_and_costs_no_other(
    tmp_path: Path, name: str, bad: bytes, reason: str
) -> None:
    mark = b"," if name.endswith("csv") else b"\t"
    good = [b"good%d%sgut%d" % (n, mark, n) for n in range(60)]
    content = b"\n".join([*good[:3], b"", bad, *good[3:]])
    found = read_pairs(written(tmp_path, content, name))
    assert [pair.source for pair in found.pairs] == [f"good{n}" for n in range(60)]
    [(line, why)] = found.refused
    assert line == 5
    assert reason in why


# --- Files that are refused ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        pytest.param(b"", "No pair was found", id="empty"),
        pytest.param(b"\n \r\n\t\n", "No pair was found", id="blank lines"),
        pytest.param(b"one\ntwo\nthree\n", "Line 1: expected one tab", id="one column"),
        pytest.param(LONG.encode(), f"Line 1: .* {MAX_LINE_BYTES:,} bytes", id="one endless line"),
        pytest.param(
            b"one\teins\nf\xc3\xbcr\tfor\ngr\xf6\xdfer\tx\n", "line 3", id="UTF-8 and Latin-1"
        ),
        pytest.param(b"one\teins\n\n\x81\tx\n", "line 3", id="no encoding"),
        pytest.param(
            codecs.BOM_UTF16_LE + "a\tb\nc\td".encode("utf-16-le")[:-1], "line 2", id="half UTF-16"
        ),
        pytest.param(bytes(range(256)) * 40, "not a text file", id="binary"),
        pytest.param(b"PK\x03\x04" + b"\0" * 99, "Excel", id="a workbook"),
    ],
)
def test_a_file_that_cannot_be_read_says_why(tmp_path: Path, content: bytes, sentence: str) -> None:
    path = written(tmp_path, content)
    with pytest.raises(TaskError, match=sentence) as caught:
        read_pairs(path)
    assert len(str(caught.value)) < 300
    with pytest.raises(TaskError, match=sentence):
        survey(path, tmp_path / "out.tsv")


def test_a_gigabyte_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "huge.tsv"
    with path.open("wb") as file:
        file.truncate(1 << 30)
    with pytest.raises(TaskError, match=f"larger than {MAX_FILE_BYTES // 1_000_000} MB"):
        read_pairs(path)


def test_only_the_first_refused_lines_are_kept(tmp_path: Path) -> None:
    found = survey(written(tmp_path, b"a\tb\n" + b"bad\n" * 1000), tmp_path / "out.tsv")
    assert found.refused == 1000
    assert [line for line, _ in found.named] == list(range(2, MAX_NAMED + 2))


# --- The survey ------------------------------------------------------------------------------

cells = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=12) | st.text("ab ▁<>")
texts = cells.map(lambda text: " ".join(text.split())).filter(bool)
lists = st.lists(st.builds(Pair, texts, texts), min_size=1, max_size=8)


@settings(max_examples=60)
@given(lists, st.sampled_from(KINDS))
def test_its_facts_are_those_of_the_task(
    tmp_path_factory: pytest.TempPathFactory, pairs: list[Pair], kind: str
) -> None:
    """A config made from a survey must fit the task that the trainer builds."""
    folder = tmp_path_factory.mktemp("survey")
    source = written(folder, "".join(f"{a}\t{b}\n" for a, b in pairs).encode())
    data = folder / "data.tsv"
    try:
        found = survey(source, data, bpe_size=60)
    except TaskError:
        return
    config = DataConfig(task="pairs", tokens=kind, bpe_size=60, held_out=0.0)
    if found.cuts[kind].error:
        with pytest.raises(ValueError, match=r"."):
            build_task(config, data).facts()
    else:
        task = build_task(config, data)
        assert found.cuts[kind].facts == task.facts()
        assert found.pairs == len(task.held_out(100))


def test_it_counts(tmp_path: Path) -> None:
    content = "a b\tx\n\na b\tx\na b\ty\nbad\nc\t„z“\n"
    found = survey(written(tmp_path, content.encode()), tmp_path / "data.tsv")
    assert (found.pairs, found.sources, found.duplicates, found.ambiguous) == (4, 2, 1, 1)
    assert (found.empty_lines, found.refused) == (1, 1)
    words = found.cuts["words"].source
    assert words is not None
    assert (words.size, words.longest, words.once) == (4 + 3, 2, 1)
    assert words.frequent[0] in (("a", 3), ("b", 3))
    assert sum(count for _, _, count in words.lengths) == 4
    plain = json.loads(json.dumps(asdict(found)))
    assert json.loads(json.dumps(asdict(Survey.from_dict(plain)))) == plain
    assert (tmp_path / "data.tsv").read_text("utf-8") == "a b\tx\na b\tx\na b\ty\nc\t„z“\n"


@pytest.mark.parametrize("sources", [1, 2, 9, 1000])
@pytest.mark.parametrize("share", [0.0, 0.1, 0.5])
def test_the_split_it_announces_is_the_one_that_is_made(sources: int, share: float) -> None:
    from transformer.tasks.own_pairs.task import OwnPairs

    pairs = [Pair(str(n), "x") for n in range(sources)]
    data = DataConfig(task="pairs", held_out=share)
    if sources == 1 and share:
        with pytest.raises(TaskError):
            held_out_count(sources, share)
        return
    task, count = OwnPairs(data, pairs), held_out_count(sources, share)
    assert len(task.epoch(0, 0, 1)) == sources - count
    assert len(task.held_out(sources)) == (count or sources)


@pytest.mark.parametrize(
    ("lines", "tokens", "preset"),
    [
        pytest.param([f"t{n} good morning\tgut" for n in range(20)], "words", "overfit", id="few"),
        pytest.param([f"w{n:x}\tx{n:x}" for n in range(500)], "characters", "small", id="words"),
        pytest.param(
            [f"the {n % 50} sees {n % 70}\tdie {n % 50} sieht {n % 70}" for n in range(2500)],
            "words",
            "medium",
            id="few words, many pairs",
        ),
        pytest.param(
            [f"a{n}x goes home\tder{n}y geht heim" for n in range(2500)],
            "bpe",
            "medium",
            id="rare words",
        ),
    ],
)
def test_its_advice_fits_the_file(
    tmp_path: Path, lines: list[str], tokens: str, preset: str
) -> None:
    found = survey(written(tmp_path, "\n".join(lines).encode()), tmp_path / "data.tsv")
    assert (found.suggestion.tokens, found.suggestion.preset) == (tokens, preset)
    assert preset in PRESETS
    for reason in (found.suggestion.tokens_reason, found.suggestion.preset_reason):
        assert reason.endswith(".")


def test_its_advice_makes_room_for_the_longest_text(tmp_path: Path) -> None:
    long = " ".join(f"w{n % 7}" for n in range(200))
    found = survey(written(tmp_path, f"{long}\tx y\nb c\tc d\n".encode()), tmp_path / "data.tsv")
    assert found.suggestion.max_length == 224


def test_the_command_prints_it_and_imports_no_torch(tmp_path: Path) -> None:
    path = written(tmp_path, TEXT.encode())
    code = (
        "import sys; from transformer.__main__ import main; "
        f"status = main(['pairs', {str(path)!r}, '--json']); "
        "assert not {'torch', 'numpy', 'streamlit'} & sys.modules.keys(); sys.exit(status)"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, env=environment, check=True
    )
    assert json.loads(done.stdout)["pairs"] == 2
    assert done.stderr.decode().split()[-1] == "95%"


@pytest.mark.parametrize(
    ("line", "pair"),
    [
        ("x => x+1 -> arrow function", ("x => x+1", "arrow function")),
        ("a <=> b | iff", ("a <=> b", "iff")),
        ("p => q", ("p", "q")),
    ],
)
def test_an_arrow_inside_a_text_gives_way_to_the_mark_between_the_two(
    line: str, pair: tuple[str, str]
) -> None:
    [read] = parse_pairs(line.encode()).pairs
    assert (read.source, read.target) == pair
