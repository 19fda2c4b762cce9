"""Whether a checkpoint behaves as it did when it was saved."""

from collections.abc import Generator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from transformer.checkpoint.answers import Answer
from transformer.checkpoint.checkpoint import Checkpoint, proof_strategy
from transformer.checkpoint.header import Probe
from transformer.checkpoint.probe import environment, logits, one_thread, saved_logits
from transformer.decoding.steps import Search
from transformer.errors import CheckpointError

NOT_COMPARED = (
    "not compared with its original: heads, norms, activation, scaling and positions are guesses"
)
TOLERANCE = 1e-4
"""Largest accepted difference of a logit on another machine or version of torch."""


@dataclass(frozen=True)
class Check:
    """The result of one check: whether it passed, and the evidence in words and in numbers."""

    name: str
    ok: bool
    detail: str
    evidence: dict[str, Any] = field(default_factory=dict)

    def verdict(self) -> dict[str, Any]:
        """The check without its numbers: name, ok and detail."""
        return {"name": self.name, "ok": self.ok, "detail": self.detail}


def verify(source: Path | bytes) -> list[Check]:
    """Load a file afresh and check that the model behaves as it did when it was saved.

    Raises:
        CheckpointError: the file cannot be loaded at all.
    """
    steps = verifying(source)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            found: list[Check] = end.value
            return found


def verifying(source: Path | bytes) -> Generator[float, None, list[Check]]:
    """Like :func:`verify`, but yields the share done, so that the user can stop it: a model may
    write to its greatest length for every example."""
    checkpoint = Checkpoint.load(source)
    header = checkpoint.header
    size = len(source) if isinstance(source, bytes) else source.stat().st_size
    checks = [
        Check(
            "file",
            True,
            f"{size:,} bytes, {header.config.num_parameters:,} parameters, all finite, "
            f"checksum {header.sha256[:12]}… matches",
            {"bytes": size, "parameters": header.config.num_parameters, "sha256": header.sha256},
        )
    ]
    if not header.compared:
        checks.append(Check("original", True, NOT_COMPARED, {"compared": False}))
    if header.probe is not None:
        checks.append(_check_probe(checkpoint, header.probe))
    if header.examples:
        checks.extend((yield from _check_outputs(checkpoint)))
    return checks


def _check_probe(checkpoint: Checkpoint, probe: Probe) -> Check:
    saved = saved_logits(probe, checkpoint.config)
    with one_thread():
        now = logits(checkpoint.model, probe.source, probe.target)
        here = environment()
    difference = (saved - now).abs().max().item()
    same = ", ".join(f"{key} {value}" for key, value in here.items())
    evidence = {
        "logits": saved.numel(),
        "largest_difference": difference,
        "equal_bit_for_bit": torch.equal(saved, now),
        "saved_in": probe.environment,
        "compared_in": here,
    }
    if here == probe.environment:
        ok = torch.equal(saved, now)
        word = "equal bit for bit" if ok else f"differ by up to {difference:.1e}"
        return Check(
            "logits",
            ok,
            f"{saved.numel():,} logits {word} in the same environment ({same})",
            evidence | {"allowed_difference": 0.0},
        )
    saved_in = ", ".join(f"{key} {value}" for key, value in probe.environment.items())
    return Check(
        "logits",
        difference <= TOLERANCE,
        f"{saved.numel():,} logits differ by at most {difference:.1e} (allowed {TOLERANCE:.0e}); "
        f"saved with {saved_in}, here {same}",
        evidence | {"allowed_difference": TOLERANCE},
    )


def _check_outputs(checkpoint: Checkpoint) -> Generator[float, None, list[Check]]:
    examples = checkpoint.header.examples
    texts = [example.source for example in examples]
    fast, slow = proof_strategy(checkpoint), proof_strategy(checkpoint, cached=False)
    answers = yield from _answers(checkpoint, texts, fast, 0.0)
    same = [a.output == e.output for a, e in zip(answers, examples, strict=True)]
    again = yield from _answers(checkpoint, texts, slow, 0.5)
    agree = [a.tokens == b.tokens for a, b in zip(answers, again, strict=True)]
    count = len(examples)
    return [
        Check(
            "outputs",
            all(same),
            f"{sum(same)} of {count} examples written token by token as when it was saved",
            {
                "examples": [
                    {"source": e.source, "target": e.target, "then": e.output, "now": a.output}
                    for e, a in zip(examples, answers, strict=True)
                ]
            },
        ),
        Check(
            "cache",
            all(agree),
            f"{sum(agree)} of {count} examples the same with and without the key-value cache",
        ),
    ]


def _answers(
    checkpoint: Checkpoint, texts: list[str], strategy: Search, begun: float
) -> Generator[float, None, list[Answer]]:
    found: dict[int, Answer] = {}
    for progress in checkpoint.answering(texts, strategy, margins=False):
        if any(answer.error for answer in progress.new.values()):
            raise CheckpointError("The model cannot read the checkpoint's own examples.")
        found.update(progress.new)
        yield begun + 0.5 * progress.share
    return [found[number] for number in range(len(texts))]
