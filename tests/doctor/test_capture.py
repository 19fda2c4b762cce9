"""Captures: made in a separate process, without side effects; forged ones are refused."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tests.support.captures import Change, changed
from tests.support.own_models import own
from tests.support.places import ROOT
from transformer.doctor.capture import CaptureError, capture
from transformer.doctor.examine import examine
from transformer.errors import CheckpointError

THEIRS = """
import sys
sys.path.insert(0, {root!r})
from transformer import SECRET          # their own module of that name, not the app's
assert SECRET == 7
sys.path[0:0] = [{root!r}]
del sys.modules["transformer"]
from tests.support.captures import Change, changed
from tests.support.own_models import own

def build():
    return own(bug={bug!r})
"""


@pytest.fixture(scope="module")
def content() -> bytes:
    return capture(own())


def test_a_model_is_afterwards_as_it_was() -> None:
    model = own(qkv="fused", order="pre").train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    random = torch.get_rng_state()
    modes = [module.training for module in model.modules()]
    capture(model)
    assert torch.get_default_dtype() == torch.float32
    assert torch.equal(torch.get_rng_state(), random)
    assert [module.training for module in model.modules()] == modes
    for name, tensor in model.state_dict().items():
        assert tensor.dtype == before[name].dtype
        assert torch.equal(tensor, before[name])
    assert all(parameter.grad is None for parameter in model.parameters())


def test_a_model_that_cannot_be_called_is_told_what_to_do() -> None:
    class Odd(nn.Module):
        def forward(self, picture: Any, sound: Any, smell: Any) -> Any:
            raise ValueError("no")

    with pytest.raises(CaptureError, match="Put a function call"):
        capture(Odd())
    with pytest.raises(CaptureError, match=r"where an nn\.Module must be"):
        capture("a model")  # type: ignore[arg-type]


def command(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "transformer", "doctor", *arguments],
        cwd=folder, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(ROOT)},
        check=False,
    )  # fmt: skip


def test_the_command_watches_in_a_process_of_its_own(tmp_path: Path) -> None:
    """It works beside a user's own transformer.py, and writes nothing into their folder."""
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "transformer.py").write_text("SECRET = 7\n")
    text = THEIRS.replace("sys.path.insert(0, {root!r})\n", "", 1)
    (theirs / "mine.py").write_text(text.format(root=str(ROOT), bug="no scale"))
    before = sorted(path.name for path in theirs.iterdir())
    report = tmp_path / "report.html"
    done = command(ROOT, str(theirs / "mine.py") + ":build", "--json", "--report", str(report))
    assert done.returncode == 1, done.stderr
    found = json.loads(done.stdout)
    assert found["verdict"] == "departs"
    assert [d["fault"] for d in found["departures"]] == ["unscaled-scores"]
    assert found["departures"][0]["line"].startswith("own_models.py:")
    assert "not divided by √d_k" in report.read_text("utf-8")
    assert sorted(path.name for path in theirs.iterdir()) == before


def test_hints_keep_back_what_they_should(tmp_path: Path) -> None:
    file = tmp_path / "mine.safetensors"
    file.write_bytes(capture(own(bug="no scale")))
    report = examine(file)
    first, second, third = (report.to_dict(hint)["departures"][0] for hint in (1, 2, 3))
    assert first == {"harmless": False, "section": "3.2.1"}
    assert "fault" not in second
    assert second["line"].startswith("own_models.py:")
    assert third["fault"] == "unscaled-scores"
    assert "unscaled" not in report.text(1) + report.text(2)


# --- hostile files --------------------------------------------------------------------------------


def first_read(about: dict[str, Any]) -> dict[str, Any]:
    reads = (read for event in about["events"] for read in event["in"] if "e" in read)
    return next(read for read in reads if read["shape"])


def _huge(header: dict[str, Any], about: dict[str, Any]) -> None:
    read = first_read(about)
    read["shape"], read["stride"] = [1 << 27, 2], [0, 0]


def _outside(header: dict[str, Any], about: dict[str, Any]) -> None:
    first_read(about)["offset"] = 1 << 20


def _ahead(header: dict[str, Any], about: dict[str, Any]) -> None:
    about["events"][5]["in"] = [{"e": 90, "shape": [], "stride": [], "offset": 0}]


def _negative(header: dict[str, Any], about: dict[str, Any]) -> None:
    first_read(about)["stride"] = [-1] * len(first_read(about)["shape"])


def _wide(header: dict[str, Any], about: dict[str, Any]) -> None:
    about["events"][20]["out"] = [1 << 27, 1 << 27]


def _short(header: dict[str, Any], about: dict[str, Any]) -> None:
    header["v20"]["shape"] = [1]


def _no_probe(header: dict[str, Any], about: dict[str, Any]) -> None:
    about["events"] = "all"


def _op(header: dict[str, Any], about: dict[str, Any]) -> None:
    about["events"][7]["op"] = "__import__('os')"


def _nothing(header: dict[str, Any], about: dict[str, Any]) -> None:
    del header["__metadata__"]


def _format(header: dict[str, Any], about: dict[str, Any]) -> None:
    about["format"] = 99


LIES = (_huge, _outside, _ahead, _negative, _wide, _short, _no_probe, _op, _nothing, _format)


@pytest.mark.parametrize("lie", LIES)
def test_a_lie_is_refused_in_a_sentence(content: bytes, lie: Change) -> None:
    with pytest.raises(CheckpointError) as refused:
        examine(changed(content, lie))
    assert str(refused.value)[-1] in ".?"


@pytest.mark.parametrize("cut", [0, 7, 100, 5000, -1])
def test_a_file_that_is_cut_is_refused(content: bytes, cut: int) -> None:
    with pytest.raises(CheckpointError):
        examine(content[:cut])


def test_nan_in_the_logits_is_a_finding_and_no_crash(content: bytes) -> None:
    model = own()
    with torch.no_grad():
        model.out.bias[3] = float("nan")  # type: ignore[union-attr,operator]
    report = examine(capture(model))
    assert report.verdict == "unknown"
    assert "NaN" in report.text()


def test_marks_in_names_cannot_write_on_a_screen(content: bytes) -> None:
    def name(header: dict[str, Any], about: dict[str, Any]) -> None:
        about["model"] = "\x1b[31mX"
        about["sites"][0]["text"] = "a\u202eb"

    report = examine(changed(content, name))
    assert "\x1b" not in report.html() + json.dumps(report.to_dict())
