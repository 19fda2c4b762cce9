"""The overfit check, the file that stores its result, and the loss of guessing by frequency."""

import json
import math
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch

from transformer.config import RunConfig
from transformer.runs.goals import Goals, OverfitCheck, Reload, add_evidence, read_goals
from transformer.tasks import Pair, Task
from transformer.tasks.baselines import unigram_loss
from transformer.tasks.own_pairs.task import OwnPairs
from transformer.tasks.presets import data_config, prepare, run_config
from transformer.trainer import overfit
from transformer.trainer.overfit import PAIRS, STEPS, choose_pairs, run_overfit_check


@pytest.fixture(autouse=True)
def _no_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lift the limit on elapsed time (not on CPU time): a busy machine cuts no check short."""
    monkeypatch.setattr(overfit, "SECONDS", math.inf)


CHOICES: dict[str, dict[str, Any]] = {
    "paper": {"norm_first": False, "final_norm": False, "d_model": 512, "num_heads": 8},
    "gelu, untied, three heads": {
        "activation": "gelu",
        "tie_embeddings": False,
        "output_bias": True,
        "d_model": 48,
        "num_heads": 3,
    },
    "shared": {"share_embeddings": True, "position_layout": "halves", "scale_embeddings": False},
    "narrow, much dropout": {"d_model": 2, "num_heads": 1, "d_ff": 1, "dropout": 0.9},
    "no last norm": {"norm_first": True, "final_norm": False},
}
IN_SHORT = ("paper", "gelu, untied, three heads", "narrow, much dropout")


def own_pairs(pairs: list[Pair], **data: Any) -> tuple[Task, RunConfig]:
    settings = data_config("pairs", "medium", data)
    task = OwnPairs(settings, pairs)
    return task, run_config(task.facts(), settings, "medium")


@pytest.mark.parametrize(
    "name", ["sort", pytest.param("reverse", marks=pytest.mark.long), "addition"]
)
def test_the_model_of_a_task_learns_its_pairs_by_heart(name: str) -> None:
    task, config = prepare(name)
    found = run_overfit_check(config, task)
    assert (found.pairs, found.right) == (8, 8)
    assert found.loss is not None
    assert found.loss < 0.01
    assert not found.cut_short
    assert found.curve[0][0] == 0
    assert found.curve[-1] == [found.steps, found.loss]
    # The first loss is that of an untrained model.
    assert found.curve[0][1] > math.log(8)


@pytest.mark.parametrize(
    "choice",
    [pytest.param(name, marks=[pytest.mark.long] * (name not in IN_SHORT)) for name in CHOICES],
)
def test_the_small_model_shares_the_runs_choices_and_not_its_size(choice: str) -> None:
    task, config = prepare("reverse", "small", model=CHOICES[choice])
    assert run_overfit_check(config, task).proven


def test_a_large_vocabulary_costs_the_check_nothing() -> None:
    words = [f"w{number}" for number in range(32_000)]
    pairs = [
        Pair(" ".join(words[i : i + 8]), " ".join(reversed(words[i : i + 8])))
        for i in range(0, len(words), 8)
    ]
    task, config = own_pairs(pairs, tokens="words")
    assert config.model.target_vocab_size > 32_000
    found = run_overfit_check(config, task)
    assert found.proven
    assert found.steps < STEPS


def test_the_check_is_a_function_of_the_config_and_leaves_no_trace() -> None:
    task, config = prepare("addition")
    torch.manual_seed(1)
    untouched = torch.rand(3)
    torch.manual_seed(1)
    first = run_overfit_check(config, task).to_dict()
    assert torch.equal(torch.rand(3), untouched)
    torch.manual_seed(99)
    second = run_overfit_check(config, task).to_dict()
    del first["seconds"], second["seconds"]
    assert first == second
    other = prepare("addition", training={"seed": 2})[1]
    assert choose_pairs(other, task) != choose_pairs(config, task)


def test_a_check_that_has_no_time_left_says_so() -> None:
    task, config = prepare("reverse")
    found = run_overfit_check(config, task, cpu_seconds=0.0)
    assert found.cut_short
    assert not found.proven
    assert found.curve == [[0, found.loss]]


def test_the_check_takes_short_pairs_with_sources_of_their_own() -> None:
    long = [Pair(f"{'far ' * 20}{number}", "too long") for number in range(50)]
    twice = [Pair("one source", target) for target in ("one", "two", "three")]
    short = [Pair(f"short {number}", "short") for number in range(20)]
    task, config = own_pairs([*long, *twice, *short], tokens="characters", held_out=0.0)
    chosen = choose_pairs(config, task)
    assert len({pair.source for pair in chosen}) == len(chosen) == PAIRS
    assert not set(chosen) & set(long)


def test_few_pairs_and_only_long_ones_make_a_check_too() -> None:
    pairs = [Pair(f"{'a b ' * 15}{name}", name) for name in "xyz"]
    task, config = own_pairs(pairs, tokens="words", held_out=0.0)
    found = run_overfit_check(config, task)
    assert (found.pairs, found.right) == (3, 3)


# --- goals.json --------------------------------------------------------------------------

CHECK = OverfitCheck(8, 8, [[0, 4.5], [40, 0.009]], 0.009, 40, 1.2)
RELOAD = {
    "step": 100,
    "ok": True,
    "checks": [{"name": "logits", "ok": True, "detail": "equal bit for bit"}],
}


def test_evidence_comes_back_as_it_was_put_in_one_after_the_other(tmp_path: Path) -> None:
    assert read_goals(tmp_path) == Goals()
    add_evidence(tmp_path, "twin", CHECK.to_dict())
    assert read_goals(tmp_path) == Goals(overfit=CHECK)
    add_evidence(tmp_path, "reload", RELOAD)
    reload = Reload(100, True, [("logits", True, "equal bit for bit")])
    assert read_goals(tmp_path) == Goals(CHECK, reload)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe",
        b"[]",
        b'{"twin": 3, "reload": []}',
        b'{"twin": {"pairs": 8}, "reload": {"step": "9", "checks": []}}',
        b"[" * 100_000,
        json.dumps({"twin": CHECK.to_dict() | {"curve": [[0, "<b>"]]}}).encode(),
        json.dumps({"twin": CHECK.to_dict() | {"loss": math.nan}}).encode(),
        json.dumps({"twin": CHECK.to_dict() | {"right": True}}).encode(),
        json.dumps({"reload": RELOAD | {"checks": [{"name": 1, "ok": True}]}}).encode(),
    ],
)
def test_a_damaged_file_is_no_evidence(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "goals.json").write_bytes(content)
    assert read_goals(tmp_path) == Goals()


# --- Guessing by frequency ---------------------------------------------------------------


def test_the_unigram_loss_is_the_entropy_of_what_is_counted() -> None:
    pairs = [Pair(f"s{i}", target) for i, target in enumerate(["a a b", "a", "b a a", "a b"] * 50)]
    task, _ = own_pairs(pairs, tokens="words", held_out=0.0)
    counts = Counter(token for pair in pairs for token in [*pair.target.split(), "<eos>"])
    total = sum(counts.values())
    entropy = -sum(n / total * math.log(n / total) for n in counts.values())
    assert unigram_loss(task, pairs) == pytest.approx(entropy, abs=0.02)
    letters = {token: n for token, n in counts.items() if token != "<eos>"}
    known = -sum(n * math.log(n / sum(letters.values())) for n in letters.values()) / total
    assert unigram_loss(task, pairs, ends_known=True) == pytest.approx(known, abs=0.02)


def test_a_token_never_counted_costs_a_finite_loss() -> None:
    # "rare" is held out: its checksum is the smallest.
    pairs = [Pair("common", "a"), Pair("usual", "a"), Pair("rare", "zebra")]
    task, _ = own_pairs(pairs, tokens="words", held_out=0.34)
    never = Pair("rare", "zebra")
    assert never in task.held_out(5)
    assert never not in task.epoch(0, 0, 8)
    loss = unigram_loss(task, [never])
    assert math.isfinite(loss)
    assert loss > unigram_loss(task, [Pair("common", "a")])


@pytest.mark.parametrize("name", ["reverse", "addition"])
def test_guessing_by_frequency_beats_guessing_uniformly(name: str) -> None:
    task, config = prepare(name)
    loss = unigram_loss(task, task.held_out(200))
    assert loss < math.log(config.model.target_vocab_size)
    assert unigram_loss(task, task.held_out(200), ends_known=True) < loss
