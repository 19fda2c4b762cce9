"""The bundled checkpoints verify, have licences and score what their card says."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch

from pages.components.attention.inspected_input import InspectedInput
from pages.components.shared.inspection import inspect
from transformer.analysis.patterns import ideal_places
from transformer.checkpoint import Checkpoint
from transformer.checkpoint.header import read_header
from transformer.checkpoint.verification import verify
from transformer.hooks import record
from transformer.tasks import Pair, Task, build_task
from transformer.tasks.base import GeneratedTask
from transformer.tasks.shipped import ShippedTask
from transformer.training.loop import evaluate_loss, evaluate_outputs

FOLDER = Path(__file__).parents[2] / "checkpoints"
CARD = (FOLDER / "README.md").read_text("utf-8")
EOS = "<eos>"
NAMES = ("reverse", "sort", "dates", "numbers", "addition-plain", "addition-reversed")
PUBLISHED = ("pronunciation", "scan-simple", "scan-length", "scan-add-jump")
SAMPLE = 100

every = pytest.mark.parametrize("name", sorted(path.stem for path in FOLDER.glob("*.safetensors")))


def load(name: str) -> tuple[Checkpoint, Task]:
    checkpoint = Checkpoint.load(FOLDER / f"{name}.safetensors")
    task = build_task(checkpoint.header.data)
    # Otherwise the task has changed since the model was trained.
    assert task.source_vocabulary == checkpoint.source_vocabulary
    assert task.target_vocabulary == checkpoint.target_vocabulary
    return checkpoint, task


@pytest.mark.parametrize("name", NAMES)
def test_it_is_here_and_on_the_card(name: str) -> None:
    assert (FOLDER / f"{name}.safetensors").exists()
    assert f"`{name}.safetensors`" in CARD


@every
def test_it_behaves_as_when_it_was_saved(name: str) -> None:
    checks = verify(FOLDER / f"{name}.safetensors")
    assert {check.name for check in checks} == {"file", "logits", "outputs", "cache"}
    assert all(check.ok for check in checks), checks


@every
def test_it_says_under_which_licence_it_comes(name: str) -> None:
    header, _, _ = read_header(FOLDER / f"{name}.safetensors")
    assert header.licence


@every
def test_its_number_is_reproduced_on_a_sample(name: str) -> None:
    """Score the first 100 of the evaluated pairs, with none to all of the wrong answers."""
    checkpoint, task = load(name)
    assert checkpoint.summary is not None
    total = checkpoint.summary.examples
    right = round(checkpoint.summary.exact_match * total)
    pairs = task.held_out(SAMPLE)
    answers = checkpoint.answers([pair.source for pair in pairs])
    found = sum(
        task.is_right(pair, answer.output) for pair, answer in zip(pairs, answers, strict=True)
    )
    assert len(pairs) - (total - right) <= found <= min(right, len(pairs))


@pytest.mark.long
@every
def test_its_number_is_reproduced(name: str) -> None:
    checkpoint, task = load(name)
    summary = checkpoint.summary
    assert summary is not None
    pairs = task.held_out(summary.examples)
    outputs = evaluate_outputs(checkpoint.model, task, pairs, 0)
    assert outputs.exact_match == pytest.approx(summary.exact_match)
    assert evaluate_loss(checkpoint.model, task, pairs, 0).loss == pytest.approx(summary.loss, 1e-3)


@pytest.mark.parametrize("name", NAMES)
def test_the_card_says_the_number_of_the_file(name: str) -> None:
    summary = read_header(FOLDER / f"{name}.safetensors")[0].summary
    assert summary is not None
    [row] = [line for line in CARD.splitlines() if line.startswith(f"| `{name}.safetensors`")]
    assert f"| {100 * summary.exact_match:.1f} % of {summary.examples:,} |" in row
    assert f"| {summary.steps:,} |" in row
    assert f"| {summary.seed} |" in row
    # The commands of the card make and bundle this very file.
    assert re.search(rf"checkpoints/step-{summary.steps}\.safetensors .*{name}\.safetensors", CARD)


def published(name: str) -> tuple[float, list[Pair]]:
    """The card's share of right answers on the published test set, and that set's pairs."""
    [row] = [line for line in CARD.splitlines() if line.startswith(f"| `{name}.safetensors`")]
    [(kind, percent, count)] = re.findall(
        r"\| (exact match|word error) ([\d.]+) % of ([\d,]+)", row
    )
    task = build_task(Checkpoint.load(FOLDER / f"{name}.safetensors").header.data)
    assert isinstance(task, ShippedTask)
    pairs = task.test_pairs()
    assert f"{len(pairs):,}" == count
    share = float(percent) / 100
    return (1 - share if kind == "word error" else share), pairs


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_published_number_is_reproduced_on_a_sample(name: str) -> None:
    said, pairs = published(name)
    checkpoint, task = load(name)
    sample = pairs[:: len(pairs) // 300][:300]
    answers = checkpoint.answers([pair.source for pair in sample])
    right = sum(
        task.is_right(pair, answer.output) for pair, answer in zip(sample, answers, strict=True)
    )
    error = (said * (1 - said) / len(sample)) ** 0.5
    assert abs(right / len(sample) - said) < 4 * error + 1 / len(sample)


@pytest.mark.long
@pytest.mark.parametrize("name", PUBLISHED)
def test_a_published_number_is_reproduced(name: str) -> None:
    said, pairs = published(name)
    checkpoint, task = load(name)
    found = evaluate_outputs(checkpoint.model, task, pairs, 0).exact_match
    assert found == pytest.approx(said, abs=6e-4)


@every
def test_its_examples_were_never_trained_on(name: str) -> None:
    checkpoint, task = load(name)
    if not isinstance(task, GeneratedTask):
        pytest.skip("its pairs are listed; their split has a test of its own")
    for example in checkpoint.header.examples:
        assert task.answer(example.source) == example.target
        assert task.is_held_out(Pair(example.source, example.target))


def share_on(name: str, layer: int, head: int, *, shift: int = 0) -> float:
    """Mean weight of a cross-attention head on the source positions of the right answer.

    shift: use the positions of the output token this many places earlier (negative: later).
    """
    checkpoint, task = load(name)
    start = checkpoint.config.decoder_start_id
    shares = []
    for pair in task.held_out(40):
        target = torch.tensor([[start, *checkpoint.target_vocabulary.encode(pair.target)]])
        with torch.inference_mode(), record(checkpoint.model) as trace:
            checkpoint.model(checkpoint.encode(pair.source), target)
        weights = trace.cross_attention[layer, head].numpy()
        ideal = ideal_places(checkpoint.task, [*pair.source, EOS], [*pair.target, EOS])
        assert ideal is not None
        length = len(pair.target)
        for row in range(max(shift, 0), length + min(shift, 0)):
            # A row counts only if both output tokens have known source positions.
            if ideal[1][row].any() and ideal[1][row - shift].any():
                shares.append(weights[row, ideal[1][row - shift]].sum())
    return float(np.mean(shares))


@pytest.mark.parametrize(
    ("name", "layer", "head", "shift", "share"),
    [
        ("dates", 2, 1, 0, "95 %"),
        ("numbers", 2, 1, 0, "92 %"),
        ("numbers", 2, 4, 0, "86"),
        ("addition-plain", 1, 1, 0, "49 %"),
        ("addition-plain", 1, 1, -1, "37 %"),
        ("addition-reversed", 1, 1, 0, "99 %"),
        ("addition-reversed", 1, 2, 1, "86 %"),
    ],
)
def test_what_to_look_for_is_there(
    name: str, layer: int, head: int, shift: int, share: str
) -> None:
    """Heads attend as much as the task's text says, measured on 40 held-out pairs."""
    task = load(name)[1]
    assert share in task.look_for
    found = share_on(name, layer - 1, head - 1, shift=shift)
    assert found == pytest.approx(int(share.split()[0]) / 100, abs=0.06)


@pytest.mark.parametrize(
    ("name", "text", "verb"),
    [
        ("dates", "Montag, 8. März 2021", "reads the field"),
        ("numbers", "two hundred and forty-one", "reads the digit's word"),
    ],
)
def test_the_page_names_heads_after_what_they_read(name: str, text: str, verb: str) -> None:
    """Heads get names also for inputs with spaces, which maps show as another character."""
    checkpoint = load(name)[0]
    shown = InspectedInput("", checkpoint, text, inspect(checkpoint, text))
    assert any(scores.label.startswith(verb) for scores in shown.scores.values())
