"""A run directory as a trainer leaves it, made in this process: for tests and benchmarks."""

import json
import math
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from transformer.attention_history import AttentionRecorder, moments
from transformer.config import RunConfig
from transformer.model import Transformer
from transformer.runs import Run, Status, create_run
from transformer.tasks import Task, build_task
from transformer.training import Loss, Outputs, Update, train

SAMPLES = 8


def record_run(config: RunConfig, root: Path) -> Iterator[Run]:
    """Train, writing metrics, samples and attention; yields the run after each moment."""
    import torch

    run = create_run(config, name="recorded", root=root)
    torch.manual_seed(config.training.seed)
    task = build_task(config.data)
    model = Transformer(config.model)
    recorder = AttentionRecorder(run.path, config.model, task)
    wanted = set(moments(config.training.steps))
    recorder.record(0, model)
    for event in train(model, task, config.training):
        run.set_status(Status("running", step=event.step))
        write(run, task, event)
        if isinstance(event, Update) and event.step in wanted:
            recorder.record(event.step, model)
            yield run
    run.set_status(Status("finished", step=config.training.steps))


def write(run: Run, task: Task, event: Update | Loss | Outputs) -> None:
    line: dict[str, Any] = {"step": event.step, "seconds": event.step * 0.03}
    if isinstance(event, Update):
        if event.step > 20 and event.step % 5:
            return
        line |= {"kind": "train", "loss": event.loss, "tokens": event.tokens}
        line |= {"learning_rate": event.learning_rate}
    elif isinstance(event, Loss):
        line |= {"kind": "eval", "loss": event.loss, "token_accuracy": event.token_accuracy}
        if event.step == 0:
            line |= {"unigram": unigram(task)}
    else:
        pairs = task.held_out(len(event.outputs))
        kinds = Counter(map(task.error_kind, pairs, event.outputs))
        line |= {"kind": "eval", "exact_match": event.exact_match, "examples": len(pairs)}
        line |= {"errors": {kind: count for kind, count in kinds.items() if kind}}
        samples = [
            {
                "source": pair.source,
                "target": task.target_vocabulary.cut(pair.target),
                "output": tokens,
                "right": task.is_right(pair, output),
            }
            for pair, output, tokens in zip(
                pairs[:SAMPLES], event.outputs, event.tokens, strict=False
            )
        ]
        append(run, "samples.jsonl", {"step": event.step, "samples": samples})
    append(run, "metrics.jsonl", line)


def unigram(task: Task) -> float:
    """Loss in nats a token of guessing by the training targets' frequencies."""
    counts = Counter(mark for pair in task.epoch(0, 0, 256) for mark in [*pair.target, "<eos>"])
    total = sum(counts.values())
    losses = [
        -math.log(max(counts[mark], 1) / total)
        for pair in task.held_out(200)
        for mark in [*pair.target, "<eos>"]
    ]
    return sum(losses) / len(losses)


def append(run: Run, name: str, record: dict[str, Any]) -> None:
    with (run.path / name).open("a", encoding="utf-8") as file:
        file.write(json.dumps(record) + "\n")
