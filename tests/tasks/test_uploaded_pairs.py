"""Files of pairs as users upload them: each is read as intended, and the notes say how."""

import codecs
import io
import json
import time
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

import pytest

from tests.tasks.more_uploaded_files import ELSEWHERE
from tests.tasks.uploaded_files import GIVEN, OTHERS, Pairs, text
from transformer.__main__ import main
from transformer.config import DataConfig
from transformer.errors import TaskError
from transformer.files import write_csv
from transformer.tasks.own_pairs.file import parse_pairs, read_data, read_pairs
from transformer.tasks.own_pairs.layout import Choices
from transformer.tasks.own_pairs.survey import Survey, notes, survey
from transformer.tasks.own_pairs.task import OwnPairs

CASES = GIVEN | OTHERS | ELSEWHERE


def test_there_are_enough_variants() -> None:
    assert len(OTHERS) >= 60
    assert len(ELSEWHERE) >= 40


@pytest.mark.parametrize("name", CASES)
def test_a_file_is_read_as_a_person_means_it(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    path = tmp_path / case.name
    path.write_bytes(case.content)
    read = read_pairs(path)
    assert [tuple(pair) for pair in read.pairs] == case.pairs
    assert not read.refused
    found = survey(path, tmp_path / "data.tsv")
    said = " ".join(notes(found))
    for words in case.says:
        assert words in said
    if not case.says:
        assert said == ""
    # The terminal and the page show the same sentences, and a run's copy of the pairs is read
    # as it stands, whatever its first line looks like.
    assert " ".join(read.interpretation.sentences()) in said
    assert [tuple(pair) for pair in read_data(tmp_path / "data.tsv").pairs] == case.pairs
    plain = json.loads(json.dumps(asdict(found)))
    assert Survey.from_dict(plain).interpretation == found.interpretation


@pytest.mark.parametrize("line", ["|" * 60_000, "(" * 60_000, "#" * 60_000, '" ' * 30_000])
def test_no_line_takes_long(line: str) -> None:
    started = time.process_time()
    with suppress(TaskError):
        parse_pairs(text([f"{line}\tx"] * 5 + [line] * 5), comma=True)
    assert time.process_time() - started < 2


def test_the_commands_say_what_was_taken(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    case = CASES["Windows-1251 with a header and ids"]
    path = tmp_path / case.name
    path.write_bytes(case.content)
    assert main(["pairs", str(path)]) == 0
    said = capsys.readouterr().out
    for each in case.says:
        assert each in said
    words = ["train", "--task", "pairs", "--data", str(path), "--run-dir", str(tmp_path / "run")]
    assert main([*words, "--steps", "1", "--preset", "overfit"]) == 0
    said = capsys.readouterr().err
    for each in case.says:
        assert each in said
    assert (tmp_path / "run" / "data.tsv").read_text("utf-8") == "".join(
        f"{one}\t{two}\n" for one, two in case.pairs
    )


# --- choices of the user ------------------------------------------------------------------------


def read(content: bytes, **choices: object) -> Pairs:
    found = parse_pairs(content, choices=Choices(**choices))  # type: ignore[arg-type]
    return [(pair.source, pair.target) for pair in found.pairs]


def test_a_header_that_is_none_comes_back() -> None:
    content = b"english\tgerman\ngo\tgeh\nrun\tlauf\n"
    assert read(content)[0] == ("go", "geh")
    assert read(content, header=False)[0] == ("english", "german")
    assert read(b"go\tgeh\nrun\tlauf\n", header=True) == [("run", "lauf")]


@pytest.mark.parametrize(
    ("choices", "first"),
    [
        ({"source": 2, "target": 0}, ("x 0", "0")),
        ({"source": "3", "target": "2"}, ("x 0", "a 0")),
        ({"target": 2}, ("a 0", "x 0")),
        ({"source": 2}, ("x 0", "a 0")),
    ],
)
def test_columns_are_chosen(choices: dict[str, object], first: tuple[str, str]) -> None:
    content = text([f"{n}\ta {n}\tx {n}" for n in range(5)])
    assert read(content, **choices)[0] == first


def test_columns_are_chosen_by_name_and_wrong_ones_are_named() -> None:
    content = text(["id,english,german,french", *(f"{n},a {n},b {n},c {n}" for n in range(5))])
    found = parse_pairs(content, comma=True, choices=Choices(source="french", target="english"))
    assert found.pairs[0] == ("c 0", "a 0")
    with pytest.raises(TaskError, match="no column klingon: the file has 4 columns, named id, e"):
        parse_pairs(content, comma=True, choices=Choices(source="klingon"))
    with pytest.raises(TaskError, match="no column 9"):
        parse_pairs(content, comma=True, choices=Choices(source="9"))
    with pytest.raises(TaskError, match="the same; choose two"):
        parse_pairs(content, comma=True, choices=Choices(source=1, target=1))


def test_a_guess_can_be_changed() -> None:
    content = "größer\tbigger\n".encode("cp1252")
    assert read(content, encoding="cp1251")[0][0] == "grцЯer"
    with pytest.raises(TaskError, match="is not one of utf-8"):
        read(content, encoding="ebcdic")
    with pytest.raises(TaskError, match="not UTF-8 text"):
        read(content, encoding="utf-8")


# --- two files ----------------------------------------------------------------------------------


def two(folder: Path, sources: bytes, targets: bytes) -> tuple[Path, Path]:
    paths = folder / "a.en", folder / "a.de"
    for path, content in zip(paths, (sources, targets), strict=True):
        path.write_bytes(content)
    return paths


def test_two_files_belong_together_line_by_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = two(tmp_path, b"go -> on\n\nrun, now\n", "geh\r\n\r\nlauf größer\r\n".encode())
    expected = [("go -> on", "geh"), ("run, now", "lauf größer")]
    assert [tuple(pair) for pair in read_pairs(*paths).pairs] == expected
    assert main(["pairs", *map(str, paths)]) == 0
    assert "Two files, line by line" in capsys.readouterr().out
    run = tmp_path / "run"
    words = ["train", "--task", "pairs", "--data", *map(str, paths), "--run-dir", str(run)]
    assert main([*words, "--steps", "1", "--preset", "overfit"]) == 0
    assert (run / "data.tsv").read_text("utf-8") == "go -> on\tgeh\nrun, now\tlauf größer\n"


def test_two_files_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match="the file of the targets ends before the other"):
        read_pairs(*two(tmp_path, b"a\nb\nc\n", b"x\ny\n"))
    found = read_pairs(*two(tmp_path, b"a\n\nc\n", b"x\ny\nz\n"))
    assert found.refused == [(2, "the source is empty")]
    with pytest.raises(TaskError, match="could not be"):
        read_pairs(tmp_path / "a.en", tmp_path / "nowhere")


# --- the split ----------------------------------------------------------------------------------


def test_texts_that_look_equal_are_one_source_for_the_split() -> None:
    """Otherwise a held-out source could be a trained one in other characters."""
    from transformer.tasks import Pair

    pairs = [
        Pair(form, f"x{n}") for n in range(40) for form in (f"caf\u00e9 {n}", f"cafe\u0301 {n}")
    ]
    task = OwnPairs(DataConfig(task="pairs", held_out=0.5, tokens="characters"), pairs)
    held = {pair.target for pair in task.held_out(100)}
    trained = {pair.target for pair in task.epoch(0, 0, 1)}
    assert held
    assert not held & trained


def test_what_a_run_keeps_is_read_as_it_stands(tmp_path: Path) -> None:
    """In a run's copy of the pairs, a first line that looks like a header is a pair."""
    path = tmp_path / "data.tsv"
    path.write_bytes(b'english\tgerman\n"a, b"\tc\ngo\tgeh\n')
    assert [tuple(pair) for pair in read_data(path).pairs] == [
        *(("english", "german"), ('"a, b"', "c"), ("go", "geh"))
    ]


@pytest.mark.parametrize("lines", [15_000, pytest.param(50_000, marks=pytest.mark.long)])
def test_a_large_file_is_streamed(lines: int, tmp_path: Path) -> None:
    content = io.BytesIO()
    for n in range(lines):
        content.write(f"{n};Строка {n};line {n}\n".encode("cp1251"))
    path = tmp_path / "large.csv"
    path.write_bytes("id;русский;english\n".encode("cp1251") + content.getvalue())
    found = survey(path, tmp_path / "data.tsv")
    assert (found.pairs, found.encoding, found.source, found.target) == (lines, "cp1251", 1, 2)


def test_what_we_export_comes_back_unchanged() -> None:
    """A spreadsheet runs no text of the export as a formula, and its numbers stay numbers."""
    pairs = [
        *(("12-17", "-5"), ("x", "- Hallo"), ("=1+1", "+7,5 %")),
        *(("'quoted'", "@home"), ("a, b", "c")),
    ]
    content = write_csv(("input", "output"), pairs)
    assert content.startswith(codecs.BOM_UTF8)
    assert b"12-17,-5\r\n" in content
    found = parse_pairs(content, comma=True)
    assert [tuple(pair) for pair in found.pairs] == pairs
