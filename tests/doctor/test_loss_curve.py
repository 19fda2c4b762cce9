"""A user's own loss curve: reading the file, and the findings."""

import json
import math
import re
from pathlib import Path

import pytest

from transformer.__main__ import main
from transformer.doctor.loss_file import read_loss
from transformer.doctor.loss_reading import SUSPECTS, read_curve
from transformer.errors import UserError
from transformer.faults import FAULTS

LOSSES = [3.0, 2.5, 2.0, 1.5, 1.0]
POINTS = tuple((float(step), loss) for step, loss in enumerate(LOSSES))
WRITTEN = {
    "TensorBoard's CSV": "Wall time,Step,Value\n"
    + "\n".join(f"1700000000.1,{step:.0f},{loss}" for step, loss in POINTS),
    "Weights & Biases": '"Step","run - train/loss","run - train/loss__MIN","run - val/loss"\n'
    + "\n".join(f'"{step:.0f}","{loss}","0","9"' for step, loss in POINTS),
    "lines of JSON": "\n".join(
        json.dumps({"kind": "train", "step": step, "loss": loss}) for step, loss in POINTS
    )
    + '\n{"step": 5, "lo',
    "TensorBoard's JSON": json.dumps([[1.7e9, step, loss] for step, loss in POINTS]),
    "a history": json.dumps({"val_loss": [9.0] * 5, "loss": LOSSES}),
    "numbers": " ".join(map(str, LOSSES)),
    "a number a line": "\n".join(map(str, LOSSES)),
    "two columns": "\n".join(f"{step} {loss}" for step, loss in POINTS),
    "semicolons": "epoch;loss\n" + "\n".join(f"{step};{loss}" for step, loss in POINTS),
}


@pytest.mark.parametrize("kind", WRITTEN)
def test_a_curve_is_read_however_it_is_written(kind: str) -> None:
    assert read_loss(WRITTEN[kind].encode("utf-8-sig")).points == POINTS


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "There is nothing in it"),
        ("hello\nworld", "There is no loss in it"),
        ('{"accuracy": [1, 2, 3, 4]}', "There is no loss in it"),
        ("1 2", "Losses found: 2"),
        ("[" * 100_000, "There is no loss in it|nested too deeply"),
        ("1 " * 4_100_000, "larger than 8 MB"),
    ],
)
def test_what_is_no_curve_is_refused_in_a_sentence(text: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        read_loss(text)


def flat(level: float) -> str:
    return " ".join(map(str, [4.0, 3.5, 3.2, *[level] * 40]))


@pytest.mark.parametrize(
    ("text", "size", "said", "suspect"),
    [
        (flat(math.log(8)), 8, "it guesses uniformly", "cross-attention-reads-decoder"),
        (
            flat(math.log(1 + 29 / math.e)),
            30,
            "the softmax is taken twice",
            "softmax-before-cross-entropy",
        ),
        (flat(math.log(8)), None, "With 8.0 tokens this is a uniform guess", "no-residual"),
        (" ".join(map(str, [3.4, 0.5, *[0.001] * 60])), 30, "below 0.05", "targets-not-shifted"),
        ("3.4 2.0 1.0 0.9 nan nan", 30, "not a finite number", "learning-rate-too-high"),
        (
            " ".join(map(str, [3.4, 1.0, 0.5, 0.9, 1.5, 2.5, 3.5])),
            30,
            "Its lowest value was 0.5",
            "no-warmup",
        ),
    ],
)
def test_what_a_curve_says_and_whom_to_suspect(
    text: str, size: int | None, said: str, suspect: str
) -> None:
    found = read_curve(read_loss(text), size)
    assert any(said in finding.sentence for finding in found.findings)
    assert suspect in found.suspects


def test_a_healthy_curve_raises_nothing() -> None:
    losses = " ".join(f"{0.02 + 3.4 * math.exp(-i / 40):.4f}" for i in range(300))
    found = read_curve(read_loss(losses), 30)
    assert not any(finding.alarm for finding in found.findings)
    assert found.suspects == ()


def test_a_curve_that_still_falls_says_so_and_how_fast_and_names_nothing() -> None:
    losses = " ".join(f"{3.4 * math.exp(-step / 200):.5f}" for step in range(400))
    found = read_curve(read_loss(losses), 30)
    end = found.findings[-1]
    assert (end.state, found.suspects) == ("waiting", ())
    # 3.4 exp(-t / 200) is 0.1 at t = 705; the median of the last fifth is half a fifth old.
    more = int(re.search(r"after about ([\d,]+) more", end.sentence)[1].replace(",", ""))  # type: ignore[index]
    assert abs(399 - 40 + more - 705) < 20
    assert "still falls" in end.sentence
    assert "(median of 80 steps), 33 % less than before that" in end.sentence
    assert end.advice.startswith("Train on")


def test_the_command_reads_a_curve_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "my_loss.csv"
    file.write_text(flat(math.log(8)))
    assert main(["health", str(file), "--vocabulary", "8", "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["suspects"][0] == "cross-attention-reads-decoder"
    assert not found["ok"]
    file.write_text("no numbers")
    assert main(["health", str(file)]) == 1
    assert capsys.readouterr().err.startswith("error: There is no loss in it")


def test_all_suspects_are_faults() -> None:
    assert {name for names in SUSPECTS.values() for name in names} <= FAULTS.keys()
