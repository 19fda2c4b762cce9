"""The command line, as real processes: what it prints, how it ends, what it imports.

A new process needs seconds to import torch. Tests that only check what is printed therefore run
the command in their own process.
"""

import codecs
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.attacks.strings import MARKS
from tests.support.places import ROOT, bundled_file
from transformer.__main__ import main
from transformer.checkpoint import Checkpoint
from transformer.runs.creation import About, create_run
from transformer.tasks import SEVEN_PAIRS, read_pairs
from transformer.tasks.presets import prepare

RESULT = {"run", "state", "steps", "seconds", "loss", "exact_match", "untrained", "checkpoint"}


def python(*arguments: str, cwd: Path, stdin: bytes = b"", **environment: str) -> Any:
    """Run Python in a new process that can import the library; return its output as text."""
    done = subprocess.run(
        [sys.executable, *arguments],
        input=stdin,
        capture_output=True,
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"} | environment,
        timeout=120,
    )
    out, err = done.stdout.decode(), done.stderr.decode()
    return subprocess.CompletedProcess(done.args, done.returncode, out, err)


def command(*arguments: str, cwd: Path, stdin: bytes = b"", **environment: str) -> Any:
    return python("-m", "transformer", *arguments, cwd=cwd, stdin=stdin, **environment)


def assert_failed_in_one_line(done: Any) -> None:
    """Check for status 1, one line on stderr without a traceback, and an empty stdout."""
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert "Traceback" not in done.stderr


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("command-line")


@pytest.fixture
def here(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Any]:
    """A function like ``command`` that runs in the test's own process, in ``folder``."""

    def run(*arguments: str, stdin: bytes = b"") -> Any:
        monkeypatch.chdir(folder)
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        code = main(list(arguments))
        out, err = capsys.readouterr()
        return subprocess.CompletedProcess(arguments, code, out, err)

    return run


@pytest.fixture(scope="module")
def trained(folder: Path) -> Any:
    """The finished command that trained on the seven bundled pairs to a loss below 0.003."""
    flags = "--task pairs --preset overfit --until-loss 0.003 --threads 1 --run-dir seven --json"
    return command("train", *flags.split(), "--data", str(SEVEN_PAIRS), cwd=folder)


@pytest.fixture(scope="module")
def result(trained: Any) -> dict[str, Any]:
    return json.loads(trained.stdout)


@pytest.fixture(scope="module")
def checkpoint(folder: Path, result: dict[str, Any]) -> str:
    """The path of the trained checkpoint."""
    return str(folder / result["checkpoint"])


def test_train_prints_one_object(trained: Any, result: dict[str, Any], folder: Path) -> None:
    assert trained.returncode == 0
    assert trained.stdout.count("\n") == 1
    assert result.keys() >= RESULT
    assert result["state"] == "finished"
    assert 0 < result["steps"] < 600  # it stopped when the loss was low
    assert result["seconds"] > 0
    assert result["exact_match"] == 1.0
    assert 0 < result["loss"] < 0.003
    assert result["untrained"] == {"loss": result["untrained"]["loss"], "exact_match": 0.0}
    assert result["untrained"]["loss"] > 3
    assert "step 0 of 600" in trained.stderr
    # The run is in --run-dir, and nothing else was written.
    assert folder / result["run"] == folder / "seven"
    assert [entry.name for entry in folder.iterdir()] == ["seven"]
    assert (folder / result["checkpoint"]).parent == folder / "seven" / "checkpoints"
    assert (folder / "seven" / "metrics.jsonl").exists()


def test_a_finished_run_prints_its_result_again(
    folder: Path, result: dict[str, Any], checkpoint: str, here: Callable[..., Any]
) -> None:
    before = {path: path.stat().st_mtime_ns for path in (folder / "seven").rglob("*.*")}
    again = here("train", "--run-dir", "seven", "--json")
    assert again.returncode == 0
    assert json.loads(again.stdout) == result
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert Path(checkpoint).exists()


def test_the_same_command_without_threads_finds_its_run(
    result: dict[str, Any], here: Callable[..., Any]
) -> None:
    """Without --threads, the command takes the number of threads from the run."""
    flags = "--task pairs --preset overfit --until-loss 0.003 --run-dir seven --json"
    again = here("train", "--data", str(SEVEN_PAIRS), *flags.split())
    assert again.returncode == 0
    assert json.loads(again.stdout) == result


def test_another_task_does_not_overwrite_a_run(
    result: dict[str, Any], here: Callable[..., Any]
) -> None:
    done = here("train", "--task", "copy", "--run-dir", "seven")
    assert_failed_in_one_line(done)
    assert "already holds a run" in done.stderr


def test_the_seven_pairs_come_back(checkpoint: str, here: Callable[..., Any]) -> None:
    pairs = read_pairs(SEVEN_PAIRS).pairs
    lines = "".join(pair.source + "\n" for pair in pairs)
    done = here("decode", checkpoint, "-", stdin=lines.encode())
    assert done.returncode == 0
    assert done.stdout.splitlines() == [pair.target for pair in pairs]


def test_a_bad_line_does_not_stop_the_others(folder: Path, checkpoint: str) -> None:
    """Each line gets its answer or error in order, and the exit status reports the errors."""
    pairs = read_pairs(SEVEN_PAIRS).pairs
    good = [pairs[index] for index in (2, 0, 2)]
    bad = ["of platypuses", "", "a " * 1000]
    texts = [
        text for pair in zip((pair.source for pair in good), bad, strict=True) for text in pair
    ]
    # An invalid UTF-8 byte is one more bad line, even if Python decodes strictly.
    stdin = "\r\n".join(texts).encode() + b"\n\xff\n"
    done = command(
        "decode",
        checkpoint,
        "-",
        "--json",
        cwd=folder,
        stdin=stdin,
        PYTHONIOENCODING="utf-8:strict",
    )
    assert done.returncode == 1, done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert [one["source"] for one in found[:6]] == texts
    assert len(found) == 7
    assert [one["output"] for one in found[::2][:3]] == [pair.target for pair in good]
    for one in (*found[1::2], found[6]):
        assert one.keys() == {"source", "error"}
        assert one["error"]
    assert "platypuses" in found[1]["error"]
    assert "Traceback" not in done.stderr


def test_one_text_is_decoded(folder: Path, checkpoint: str, here: Callable[..., Any]) -> None:
    """A new process, this process and the library give the same answer and log-probability.

    A console with another encoding (cp1252) does not stop any text from being printed.
    """
    pair, cyrillic = read_pairs(SEVEN_PAIRS).pairs[2], "\u0434\u0430"
    done = command(
        *("decode", checkpoint, "-", "--json"),
        cwd=folder,
        stdin=f"{pair.source}\n{cyrillic}\n".encode(),
        PYTHONIOENCODING="cp1252",
    )
    assert "Traceback" not in done.stderr
    decoded, refused = map(json.loads, done.stdout.splitlines())
    assert refused["source"] == cyrillic
    alone = here("decode", checkpoint, pair.source, "--json")
    assert alone.returncode == 0
    assert json.loads(alone.stdout) == decoded
    (answer,) = Checkpoint.load(checkpoint).answers([pair.source])
    assert decoded == {
        "source": pair.source,
        "output": pair.target,
        "tokens": list(answer.tokens),
        "log_prob": answer.log_prob,
        "complete": True,
        "unknown": [],
    }


def test_one_line_comes_out_for_each_that_went_in(
    checkpoint: str, here: Callable[..., Any]
) -> None:
    """Also for input from PowerShell: UTF-16, or UTF-8 with a byte order mark."""
    pair = read_pairs(SEVEN_PAIRS).pairs[2]
    text = f"{pair.source}\nplatypuses\n\n{pair.source}\n"
    for content in (
        *(text.encode(), codecs.BOM_UTF8 + text.encode()),
        codecs.BOM_UTF16_LE + text.replace("\n", "\r\n").encode("utf-16-le"),
    ):
        done = here("decode", checkpoint, "-", stdin=content)
        assert done.returncode == 1
        assert done.stdout.split("\n") == [pair.target, "", "", pair.target, ""]
        assert done.stderr.splitlines()[0].startswith("error: line 2: This model does not know")
        assert done.stderr.splitlines()[1] == "line 3: it is empty"


def test_verify_finds_all_in_order(checkpoint: str, here: Callable[..., Any]) -> None:
    done = here("verify", checkpoint, "--json")
    assert done.returncode == 0
    found = json.loads(done.stdout)
    assert found["ok"] is True
    assert [check["name"] for check in found["checks"]] == ["file", "logits", "outputs", "cache"]
    assert all(check["ok"] for check in found["checks"])


def test_what_is_no_checkpoint_is_refused(here: Callable[..., Any]) -> None:
    assert_failed_in_one_line(here("verify", str(SEVEN_PAIRS)))


@pytest.mark.parametrize("zipped", [True, False])
def test_what_pytorch_saved_is_to_be_imported_first(
    zipped: bool, here: Callable[..., Any], tmp_path: Path
) -> None:
    saved = tmp_path / "my.pt"
    torch.save({"weight": torch.zeros(2)}, saved, _use_new_zipfile_serialization=zipped)
    done = here("decode", str(saved), "abc")
    assert_failed_in_one_line(done)
    assert "python -m transformer import FILE OUT" in done.stderr


def test_a_sum_written_as_none_that_was_trained_on_is_named(here: Callable[..., Any]) -> None:
    model = str(bundled_file("addition-plain"))
    done = here("decode", model, "-", stdin=b"007+05\n7+5\n")
    assert done.returncode == 0
    assert done.stdout.splitlines()[1] == "12"
    assert done.stderr == "line 1: It has seen no number with a 0 in front: try 7+5.\n"


@pytest.mark.parametrize(
    "arguments",
    [
        "train --task reverse --no-such-flag 1",
        "train --task reverse --steps many",
        "decode",
        "",
    ],
)
def test_wrong_use_exits_with_2(
    arguments: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        main(arguments.split())
    said = capsys.readouterr()
    assert ended.value.code == 2
    assert said.out == ""
    assert "usage:" in said.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ("--task reverse --steps 0", "steps = 0"),
        ("--task reverse --learning-rate nan", "learning_rate"),
        ("--task reverse --d-model 30 --num-heads 4", "num_heads = 4"),
        ("--task pairs --data missing.tsv", "could not be read"),
        ("--task copy --run-dir file/run", "file"),
        ("--task copy --run-dir file", "file"),
        ("", "--task"),
    ],
)
def test_what_cannot_be_trained_is_refused(
    arguments: str,
    says: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The command fails in one line and creates no run."""
    (tmp_path / "file").write_text("mine")
    monkeypatch.chdir(tmp_path)
    code = main(["train", *arguments.split()])
    said = capsys.readouterr()
    assert_failed_in_one_line(subprocess.CompletedProcess(arguments, code, said.out, said.err))
    assert says in said.err
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_light_modules_do_not_import_torch(tmp_path: Path) -> None:
    """These modules do not import torch, so the app's pages appear at once."""
    code = (
        "import sys; from transformer import config, vocabulary, tasks, errors, files, __main__\n"
        "from transformer.runs import directory; from transformer.checkpoint import header\n"
        "assert not {'torch', 'numpy', 'safetensors'} & sys.modules.keys()"
    )
    done = python("-c", code, cwd=tmp_path)
    assert done.returncode == 0, done.stderr


def test_the_library_does_not_import_the_app(tmp_path: Path) -> None:
    code = (
        "import pkgutil, sys, transformer\n"
        "for found in pkgutil.walk_packages(transformer.__path__, 'transformer.'):\n"
        "    __import__(found.name)\n"
        "for name in transformer.__all__: getattr(transformer, name)\n"
        "assert 'torch' in sys.modules\n"
        "assert not {'streamlit', 'pages', 'app'} & sys.modules.keys()"
    )
    done = python("-c", code, cwd=tmp_path)
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a graphics card")
def test_a_card_is_taken_where_there_is_one_and_missed_in_a_sentence(
    capsys: pytest.CaptureFixture[str],
) -> None:
    few = ["evaluate", str(bundled_file("reverse")), "--examples", "5"]
    assert main([*few, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["device"] == "cpu"
    assert main(few) == 0
    assert capsys.readouterr().out.endswith(" s on the processor\n")
    assert main([*few, "--device", "cuda"]) == 1
    assert "finds no CUDA graphics card" in capsys.readouterr().err
    assert main([*few, "--device", "cuda", "--int8"]) == 1
    assert "--int8 is for the processor" in capsys.readouterr().err


def test_faults_are_listed(here: Callable[..., Any]) -> None:
    done = here("faults", "--json")
    listed = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0
    assert {"name": "softmax-over-heads", "section": "3.2.1"}.items() <= listed[10].items()
    assert [fault["name"] for fault in listed if fault["harmless"]] == [
        "layer-norm-unbiased",
        "layer-norm-eps-outside",
    ]
    assert len(here("faults").stdout.splitlines()) == len(listed)


@pytest.mark.parametrize("mark", [*MARKS.values(), "\x1b[2J\x1b[1;1H", "\r"])
def test_a_name_cannot_rewrite_the_terminal(
    mark: str, here: Callable[..., Any], tmp_path: Path
) -> None:
    """Names may come from other people: control characters are shown by their code."""
    run = create_run(prepare("reverse")[1], about=About(f"mine{mark}not mine"), root=tmp_path)
    done = here("runs", str(tmp_path))
    [line] = [line for line in done.stdout.split("\n") if run.id in line]
    assert "not mine" in line
    assert line.isprintable()
    done = here("health", f"runs/{mark.replace(chr(0), '')}")
    assert done.returncode == 1
    assert done.stderr.replace("\n", "").isprintable()


CHECKPOINT = str(bundled_file("reverse"))


@pytest.mark.parametrize(
    "words",
    [
        ["verify", CHECKPOINT, "--report"],
        ["bundle", CHECKPOINT, "--licence", "MIT"],
        ["average", CHECKPOINT, CHECKPOINT],
        ["import", "--num-heads", "4", "model.safetensors"],
        ["export", CHECKPOINT, "--format", "state-dict"],
    ],
    ids=lambda words: words[0],
)
@pytest.mark.parametrize("place", ["nowhere/evidence.html", "is-a-folder.html"])
def test_an_output_that_cannot_be_written_is_one_sentence(
    words: list[str], place: str, here: Callable[..., Any], folder: Path
) -> None:
    (folder / "is-a-folder.html" / "full").mkdir(parents=True, exist_ok=True)
    here("export", CHECKPOINT, "model.safetensors", "--format", "state-dict")
    done = here(*words, place)
    assert_failed_in_one_line(done)
    assert place in done.stderr


@pytest.mark.parametrize(
    ("path", "says"),
    [
        (".", "There is no run ."),
        ("nothing", "There is no run nothing"),
        ("loss.csv", "at least four make a curve"),
    ],
)
def test_what_is_no_run_is_said_so(
    path: str, says: str, here: Callable[..., Any], folder: Path
) -> None:
    (folder / "loss.csv").write_text("step,loss\n1,2\n")
    done = here("health", path)
    assert_failed_in_one_line(done)
    assert says in done.stderr
