"""Compares the speed of decoding many inputs in batches with that of one input at a time.

    python -m benchmarks.decoding_batch [--inputs N] [--beam N] [--device cuda] [CHECKPOINT ...]

Both run on one thread, in the same run. Single inputs are decoded as in the app: on the CPU, in
NumPy if possible. Times are CPU seconds, which depend least on other work on the machine; with a
GPU, both are wall-clock seconds, including the copy of the model to the GPU. The exit status is 1
if an output differs although its margin was not close to 0.
"""

import argparse
import random
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch

from transformer.checkpoint import Answer, Checkpoint
from transformer.checkpoint.answers import CLOSE
from transformer.checkpoint.placement import on_card
from transformer.decoding.strategies import by_beam_size
from transformer.tasks import build_task
from transformer.vocabulary.vocabulary import SPECIAL_TOKENS

BUNDLED = Path(__file__).parents[1] / "checkpoints"
WARM_UP = 20
REPEATS = 3


def held_out(checkpoint: Checkpoint, count: int) -> list[str]:
    return [pair.source for pair in build_task(checkpoint.header.data).held_out(count)]


def harder(checkpoint: Checkpoint, count: int) -> list[str]:
    """Half held-out examples, half random tokens of up to three times the length, for which the
    model is uncertain and sometimes writes no <eos>."""
    draw = random.Random(1)
    found = held_out(checkpoint, count // 2)
    vocabulary = checkpoint.source_vocabulary
    longest = 3 * max(len(vocabulary.encode(text)) for text in found)
    longest = min(longest, checkpoint.config.max_length - 1)
    ids = range(len(SPECIAL_TOKENS), len(vocabulary))
    while len(found) < count:
        found.append(vocabulary.decode(draw.choices(ids, k=draw.randint(1, longest))))
    draw.shuffle(found)
    return found


def one_at_a_time(checkpoint: Checkpoint, texts: list[str], beam: int) -> list[Answer]:
    strategy = by_beam_size(beam, 0.6)
    return [checkpoint.answers([text], strategy)[0] for text in texts]


def batched(
    checkpoint: Checkpoint, texts: list[str], beam: int, device: str, margins: bool = False
) -> list[Answer]:
    model = on_card(checkpoint) if device == "cuda" else checkpoint
    strategy = by_beam_size(beam, 0.6)
    if not margins:
        return model.answers(texts, strategy)
    found: dict[int, Answer] = {}
    for progress in model.answering(texts, strategy):
        found.update(progress.new)
    return [found[number] for number in range(len(texts))]


def compare(checkpoint: Checkpoint, kind: str, texts: list[str], beam: int, device: str) -> bool:
    """Print times, their ratio, and every output that is close or differs; returns False if one
    differs that is not close."""
    clock: Callable[[], float] = time.perf_counter if device == "cuda" else time.process_time
    batched(checkpoint, texts[:WARM_UP], beam, device)
    one_at_a_time(checkpoint, texts[:WARM_UP], beam)
    times = []
    for _ in range(REPEATS):
        started = clock()
        batched(checkpoint, texts, beam, device)
        times.append(clock() - started)
    many = batched(checkpoint, texts, beam, device, margins=True)
    started = clock()
    single = one_at_a_time(checkpoint, texts, beam)
    alone, together = clock() - started, statistics.median(times)
    count = len(texts)
    print(
        f"{checkpoint.task}, {kind}, beam {beam}: {count:,} inputs one at a time {alone:.1f} s, "
        f"batched ({device}) {together:.2f} s, {alone / together:.1f} times as fast"
    )
    pairs = list(zip(many, single, strict=True))
    differ = [(a, b) for a, b in pairs if a.tokens != b.tokens]
    close = [a for a, _ in pairs if a.close]
    print(
        f"  {count - len(differ):,} outputs are the same; margins below {CLOSE:g}: {len(close)}; "
        "largest difference of a log-probability "
        f"{max(abs(a.log_prob - b.log_prob) for a, b in pairs if a.tokens == b.tokens):.1e}"
    )
    for answer in close:
        print(f"  close   {answer.source!r} -> {answer.output!r}, margin {answer.margin:.1e}")
    for answer, other in differ:
        print(f"  differs {answer.source!r}: {answer.output!r}, alone {other.output!r}")
    return all(answer.close for answer, _ in differ)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--inputs", type=int, default=1000)
    parser.add_argument("--beam", type=int, default=1)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("checkpoints", type=Path, nargs="*")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    paths = chosen.checkpoints or sorted(BUNDLED.glob("*.safetensors"))
    well = [
        compare(checkpoint, kind, make(checkpoint, chosen.inputs), chosen.beam, chosen.device)
        for checkpoint in map(Checkpoint.load, paths)
        for kind, make in (("held-out inputs", held_out), ("harder inputs", harder))
    ]
    return int(not all(well))


if __name__ == "__main__":
    sys.exit(main())
