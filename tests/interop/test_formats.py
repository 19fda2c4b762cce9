"""The registry of formats: what each accepts, and that a new one needs a single line."""

import json
import zipfile
from pathlib import Path

import pytest
import safetensors.torch
import torch

from tests.support.places import bundled_file
from transformer.__main__ import main
from transformer.checkpoint import Checkpoint
from transformer.errors import CheckpointError, UserError
from transformer.interop import formats
from transformer.interop.base import Format
from transformer.interop.files.state_dicts import read_state_dict

BUNDLED = bundled_file("reverse")


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """Files and folders with misleading names, by the format's name and a number."""
    weights = {"a.weight": torch.zeros(2)}
    torch.save(weights, tmp_path / "zip.txt")
    torch.save(weights, tmp_path / "old.zip", _use_new_zipfile_serialization=False)
    safetensors.torch.save_file(weights, tmp_path / "plain.bin")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "config.json").write_text("{}")
    with zipfile.ZipFile(tmp_path / "packed.pt", "w") as archive:
        archive.writestr("model/config.json", "{}")
    return {
        "own 1": BUNDLED,
        "state-dict 1": tmp_path / "zip.txt",
        "state-dict 2": tmp_path / "old.zip",
        "state-dict 3": tmp_path / "plain.bin",
        "marian 1": tmp_path / "folder",
        "marian 2": tmp_path / "packed.pt",
    }


def test_each_file_is_told_by_its_bytes(files: dict[str, Path]) -> None:
    assert {name: formats.recognise(path).name for name, path in files.items()} == {
        name: name.split()[0] for name in files
    }


def test_what_no_format_takes_is_named_with_what_is_taken(tmp_path: Path) -> None:
    (tmp_path / "notes.pt").write_text("Dear diary")
    with pytest.raises(CheckpointError) as raised:
        formats.recognise(tmp_path / "notes.pt")
    assert str(raised.value) == (
        "This is a text file. Taken are checkpoints of this app (.safetensors), captures of one's "
        "own model (.safetensors), state dicts of PyTorch (.pt, .pth, .bin, .ckpt or .safetensors) "
        "and MarianMT models (.zip)."
    )
    with pytest.raises(UserError, match="There is no file or folder"):
        formats.locate(str(tmp_path / "nothing"))


def test_a_new_format_is_one_line_of_the_registry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    toy = Format(
        name="toy",
        one="a toy (.toy)",
        several="toys (.toy)",
        recognise=lambda sample: sample.start.startswith(b"toy"),
        read=lambda path: Checkpoint.load(BUNDLED),
        fetch=lambda source: tmp_path / "a" if source == "toys:a" else None,
        work="Winding up {}…",
    )
    monkeypatch.setattr(formats, "FORMATS", (*formats.FORMATS, toy))
    (tmp_path / "a").write_bytes(b"toy" * 10)
    (tmp_path / "b").write_bytes(b"boy" * 10)
    for number, source in enumerate((str(tmp_path / "a"), "toys:a")):
        out = tmp_path / f"{number}.safetensors"
        assert main(["import", source, str(out), "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["out"] == str(out)
        assert Checkpoint.load(out).config == Checkpoint.load(BUNDLED).config
    with pytest.raises(CheckpointError, match=r"MarianMT models \(.zip\) and toys \(.toy\)\.$"):
        formats.recognise(tmp_path / "b")


def test_a_projection_saved_beside_the_model_is_kept(tmp_path: Path) -> None:
    whole = {"encoder.x.weight": torch.ones(2, 2)}
    beside = {"weight": torch.ones(3, 2), "bias": torch.ones(3)}
    torch.save({"model": whole, "generator": beside, "epoch": 3}, tmp_path / "m.pt")
    names = set(read_state_dict(tmp_path / "m.pt"))
    assert names == {"encoder.x.weight", "generator.weight", "generator.bias"}
