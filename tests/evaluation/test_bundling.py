"""Bundling a checkpoint: what is added, what stays, and the score of rounded weights."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.support.checkpoint_files import make
from tests.support.places import bundled_file
from transformer.__main__ import main
from transformer.checkpoint import Checkpoint
from transformer.checkpoint.verification import verify
from transformer.errors import CheckpointError, TaskError
from transformer.evaluation.bundling import bundle
from transformer.tasks import build_task


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "model.safetensors"
    make().save(path)
    return path


def test_a_licence_is_added_and_nothing_else_changes(file: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.safetensors"
    bundled = bundle(file, out, licence="MIT", notes="from a test")
    before, after = Checkpoint.load(file), Checkpoint.load(out)
    assert bundled.before is None
    assert (after.header.licence, after.header.notes) == ("MIT", "from a test")
    assert all(torch.equal(after.tensors[name], before.tensors[name]) for name in before.tensors)
    for name in ("config", "source_vocabulary", "data", "summary", "examples", "probe"):
        assert getattr(after.header, name) == getattr(before.header, name)
    assert all(check.ok for check in verify(out))


def test_without_notes_the_old_ones_stay(file: Path, tmp_path: Path) -> None:
    bundled = bundle(file, tmp_path / "out.safetensors", licence="MIT")
    assert bundled.checkpoint.header.notes == "für später"


def test_rounded_weights_are_scored_again(tmp_path: Path) -> None:
    """Weights too small for 16 bits lower the score, and the file has the new score."""
    checkpoint = Checkpoint.load(bundled_file("reverse"))
    assert checkpoint.summary is not None
    with torch.no_grad():  # too small for 16 bits: cross-attention is lost
        for name, tensor in checkpoint.tensors.items():
            if "cross_attention" in name:
                tensor.mul_(1e-9)
    path, out = tmp_path / "in.safetensors", tmp_path / "out.safetensors"
    summary = replace(checkpoint.summary, examples=50, exact_match=0.997)
    Checkpoint.of(
        checkpoint.model,
        checkpoint.source_vocabulary,
        checkpoint.target_vocabulary,
        checkpoint.header.data,
        summary,
        [("abc", "cba")],
    ).save(path)
    bundled = bundle(path, out, licence="MIT", precision="float16")
    after = Checkpoint.load(out)
    assert after.header.precision == "float16"
    assert bundled.before == summary
    assert after.summary is not None
    assert after.summary.exact_match == 0
    assert after.summary.loss > 1
    assert after.summary.examples == 50
    assert all(check.ok for check in verify(out))
    assert out.stat().st_size < 0.6 * path.stat().st_size


def test_chosen_examples_come_first(tmp_path: Path) -> None:
    source, out = bundled_file("sort"), tmp_path / "out.safetensors"
    header = Checkpoint.load(source).header
    wanted = [pair.source for pair in build_task(header.data).held_out(100)[-2:]]
    assert not set(wanted) & {example.source for example in header.examples}
    after = bundle(source, out, licence="MIT", examples=wanted).checkpoint.header
    assert [example.source for example in after.examples[:2]] == wanted
    assert after.examples[2:] == header.examples[:-2]
    for example in after.examples:
        assert example.target == "".join(sorted(example.source))
    trained = build_task(header.data).epoch(1, 0, 1)[0].source
    for text in ("no such letters", trained):
        with pytest.raises(TaskError, match="not a held-out input"):
            bundle(source, out, licence="MIT", examples=[text])


def test_a_model_that_changed_is_not_passed_on(tmp_path: Path) -> None:
    checkpoint = make()
    examples = [replace(checkpoint.header.examples[0], output="zzz")]
    checkpoint.header = replace(checkpoint.header, examples=examples)
    path, out = tmp_path / "in.safetensors", tmp_path / "out.safetensors"
    checkpoint.save(path)
    with pytest.raises(CheckpointError, match="does not behave"):
        bundle(path, out, licence="MIT")
    assert not out.exists()


def test_a_model_of_other_tokens_than_its_task_is_not_scored(file: Path, tmp_path: Path) -> None:
    with pytest.raises(TaskError, match="other vocabularies"):
        bundle(file, tmp_path / "out.safetensors", licence="MIT", precision="float16")


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, out = bundled_file("sort"), tmp_path / "out.safetensors"
    flags = ["--licence", "MIT", "--notes", "n", "--precision", "float16"]
    assert main(["bundle", str(file), str(out), *flags]) == 0
    printed = capsys.readouterr()
    assert printed.out == f"{out}\n"
    assert (
        "with float16 weights: exact match 99.80% of 1,000 (before 99.80% of 1,000)" in printed.err
    )
    assert Checkpoint.load(out).header.licence == "MIT"
    with pytest.raises(SystemExit):
        main(["bundle", str(file), str(out)])
    capsys.readouterr()
    assert main(["bundle", str(file), str(out), "--licence", "x" * 50_001]) == 1
    assert "50,000 characters" in capsys.readouterr().err
