"""Trains the small runs whose verdicts are tested, and saves the files that a verdict reads.

    python -m tests.support.record_verdicts [NAME ...]

Each case really trains, in a minute at most, and saves config.json, status.json, metrics.jsonl
(thinned), goals.json and health.json in tests/data/verdicts/NAME.
"""

import json
import random
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.health.test_health import targets_not_shifted
from transformer.config import TransformerConfig
from transformer.faults import plant
from transformer.health import check_and_keep
from transformer.model import Transformer
from transformer.runs.creation import create_run
from transformer.runs.directory import Run
from transformer.tasks.presets import prepare
from transformer.trainer.trainer import Trainer

INTO = Path(__file__).resolve().parents[1] / "data" / "verdicts"
KEPT = ("config.json", "status.json", "goals.json", "health.json")
SMALL = {"d_model": 32, "d_ff": 64, "num_heads": 2}
SHORT = {"steps": 400, "eval_every": 50, "batch_size": 64, "warmup_steps": 40, "threads": 1}
FEW = {"eval_examples": 100, "final_examples": 500, "precision": "fp32", "device": "cpu"}
FIRST_LINES, EVERY = 4, 12
"""The updates that are kept: the first FIRST_LINES, then one in EVERY, and the last five."""


@dataclass(frozen=True)
class Case:
    """The settings of one run. pairs: lines of its TSV file. stop_at: the step to stop at.

    inject: plants a fault by patching.
    """

    task: str = "reverse"
    preset: str = "tiny"
    data: dict[str, Any] = field(default_factory=dict)
    model: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    pairs: list[tuple[str, str]] = field(default_factory=list)
    stop_at: int = 0
    inject: Callable[[pytest.MonkeyPatch], None] = lambda _: None


def _letters(count: int, length: int, seed: int = 3) -> list[str]:
    drawn = random.Random(seed)
    return list(
        dict.fromkeys("".join(drawn.choices("abcdefgh", k=length)) for _ in range(2 * count))
    )[:count]


def _planted(fault: str) -> Callable[[pytest.MonkeyPatch], None]:
    def inject(patch: pytest.MonkeyPatch) -> None:
        build = Transformer.__init__

        def faulty(self: Transformer, config: TransformerConfig) -> None:
            build(self, config)
            plant(self, fault)

        patch.setattr(Transformer, "__init__", faulty)

    return inject


def _coins(count: int) -> list[tuple[str, str]]:
    drawn = random.Random(5)
    return [(word, drawn.choice(("yes", "no"))) for word in _letters(count, 5)]


def _parity(length: int) -> list[tuple[str, str]]:
    return [
        (f"{number:0{length}b}", ("even", "odd")[number.bit_count() % 2])
        for number in range(2**length)
    ]


WORDS = {"max_letters": 4}
EASY = {"max_letters": 3}
LONGER = {"steps": 600, "learning_rate": 4e-3}
OWN = {"tokens": "characters"}
OWN_WORDS = [(word, word[::-1]) for word in _letters(12, 4)]
DEEP = {"num_encoder_layers": 4, "num_decoder_layers": 4}
RANDOM = list(zip(_letters(80, 5), _letters(80, 5, seed=11), strict=True))

CASES = {
    "healthy": Case(data=EASY, training=LONGER),
    "healthy-until-a-loss": Case(data=EASY, training=LONGER | {"until_loss": 0.05}),
    "memorised": Case("pairs", "overfit", {"held_out": 0.0} | OWN, pairs=OWN_WORDS),
    "memorised-three-pairs": Case("pairs", "overfit", OWN, pairs=OWN_WORDS[:3]),
    "memorised-not-learned": Case("pairs", "small", {"held_out": 0.25} | OWN, pairs=RANDOM),
    "memorised-half": Case(
        "pairs", "overfit", OWN, training={"steps": 24, "eval_every": 4}, pairs=OWN_WORDS
    ),
    "rate-too-high": Case(training={"learning_rate": 0.03, "warmup_steps": 0, "steps": 300}),
    "rate-too-low": Case(data=WORDS, training={"learning_rate": 2e-5, "steps": 300}),
    "no-warm-up": Case(
        data=WORDS,
        model={"norm_first": False, "final_norm": False} | DEEP,
        training={"learning_rate": 0.012, "warmup_steps": 0, "steps": 300},
    ),
    "stopped-early": Case(data=WORDS, stop_at=60),
    "stopped-half-way": Case(data=EASY, training=LONGER | {"steps": 2000}, stop_at=500),
    "stopped-before-a-score": Case(data=WORDS, stop_at=0),
    "too-few-updates": Case(training={"steps": 120}),
    "partly-learned": Case(data={"max_letters": 5}, training={"steps": 300}),
    "diverged": Case(
        model={"final_norm": False},
        training={
            "learning_rate": 10.0,
            "gradient_clip": 1e6,
            "warmup_steps": 0,
            "adam_eps": 1e-30,
            "steps": 100,
        },
    ),
    "one-pair-held-out": Case("pairs", "small", {"held_out": 0.1} | OWN, pairs=OWN_WORDS[:10]),
    "coins": Case("pairs", "small", {"held_out": 0.3, "tokens": "characters"}, pairs=_coins(200)),
    "parity": Case("pairs", "small", {"held_out": 0.3, "tokens": "characters"}, pairs=_parity(8)),
    "no-causal-mask": Case(data=WORDS, inject=_planted("no-causal-mask")),
    "no-source-padding-mask": Case(data=WORDS, inject=_planted("no-source-padding-mask")),
    "softmax-over-queries": Case(data=WORDS, inject=_planted("softmax-over-queries")),
    "targets-not-shifted": Case(data=WORDS, inject=targets_not_shifted),
}


def record(case: Case, folder: Path) -> Run:
    """Train one case in a folder, with its fault, and run the health check."""
    pairs = None
    if case.pairs:
        pairs = folder / "pairs.tsv"
        pairs.write_text("".join(f"{source}\t{target}\n" for source, target in case.pairs))
    _, config = prepare(
        case.task,
        case.preset,
        pairs=pairs,
        data=case.data,
        model=SMALL | case.model,
        training=(FEW if case.preset == "overfit" else SHORT | FEW) | case.training,
    )
    run = create_run(config, pairs=pairs, path=folder / "run")
    with pytest.MonkeyPatch.context() as patch:
        case.inject(patch)
        trainer = Trainer(run, lambda _: None)
        look = trainer._next_action

        def stop(training: Any, log: Any) -> str:
            return "stop" if training.step >= case.stop_at else look(training, log)

        if case.stop_at or case is CASES["stopped-before-a-score"]:
            patch.setattr(trainer, "_next_action", stop)
        trainer.train()
        check_and_keep(run)
    return run


def keep(run: Run, into: Path) -> None:
    """Save the files that a verdict reads, with only as many updates as show the curve."""
    shutil.rmtree(into, ignore_errors=True)
    into.mkdir(parents=True)
    for name in KEPT:
        if (run.path / name).exists():
            plain = json.loads((run.path / name).read_text("utf-8"))
            (into / name).write_text(json.dumps(plain, ensure_ascii=False) + "\n", "utf-8")
    lines = (run.path / "metrics.jsonl").read_text("utf-8").splitlines(keepends=True)
    train = [place for place, line in enumerate(lines) if '"kind": "train"' in line]
    kept = {*train[:FIRST_LINES], *train[::EVERY], *train[-5:]}
    text = "".join(line for place, line in enumerate(lines) if place not in train or place in kept)
    (into / "metrics.jsonl").write_text(text, "utf-8")


def main(names: list[str]) -> None:
    torch.set_num_threads(1)
    for name in names or CASES:
        with tempfile.TemporaryDirectory() as folder:
            run = record(CASES[name], Path(folder))
            keep(run, INTO / name)
        from transformer.runs.verdict import verdict_of

        print(f"{name}: {verdict_of(Run(INTO / name))}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
