"""Decoding speed, with equal weights, sources and numbers of tokens for all variants."""

import gc
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import torch

from benchmarks.peers import bound
from benchmarks.peers.marian import Marian, ctranslate2_translator, hugging_face, make
from benchmarks.peers.measure import Sample, Spread
from benchmarks.peers.rows import OURS, Plan, Row
from benchmarks.peers.sizes import Size
from benchmarks.peers.training_peers import installed
from transformer.decoding.engines.int8 import FASTER_FROM, int8_copy
from transformer.decoding.many import decode_all
from transformer.decoding.strategies import by_beam_size, decode

PART = "decoding"
LENGTH = 32
"""Number of tokens of a source, including </s>, and of an output."""
CASES = ((1, 1), (32, 1), (1, 4), (32, 4))
"""(batch, beam)."""
HF, CT2, INT8 = "HF generate", "CTranslate2", "ours, int8"

Outputs = list[tuple[int, ...]]
Decode = Callable[[], Outputs]


def case_name(batch: int, beam: int) -> str:
    return f"{'greedy' if beam == 1 else f'beam {beam}'}, batch {batch}"


def ours(marian: Marian, rows: list[list[int]], beam: int, device: str) -> Decode:
    """Decode as the app does: a single input by itself, several in batches."""
    model = marian.model.to(device)
    strategy = by_beam_size(beam, 1.0, max_length=LENGTH)
    if len(rows) == 1:
        return lambda: [
            found.tokens for found in decode(model, torch.tensor(rows, device=device), strategy)
        ]

    return lambda: [found.tokens for found in decode_all(model, rows, strategy)]


def ours_int8(marian: Marian, rows: list[list[int]], beam: int, device: str) -> Decode:
    return ours(replace(marian, model=int8_copy(marian.model)), rows, beam, device)


def theirs(marian: Marian, rows: list[list[int]], beam: int, device: str) -> Decode:
    model = hugging_face(marian).to(device)

    def generate() -> Outputs:
        source = torch.tensor(rows, device=device)
        out = model.generate(
            input_ids=source,
            attention_mask=torch.ones_like(source),
            num_beams=beam,
            do_sample=False,
            max_length=None,
            max_new_tokens=LENGTH,
        )
        return [tuple(row[1:]) for row in out.tolist()]

    return generate


def ctranslate2(marian: Marian, rows: list[list[int]], beam: int, device: str) -> Decode:
    translator = ctranslate2_translator(marian, device)
    ids = {token: number for number, token in enumerate(marian.tokens)}

    def translate() -> Outputs:
        words = [[marian.tokens[one] for one in row] for row in rows]
        found = translator.translate_batch(words, beam_size=beam, max_decoding_length=LENGTH)
        return [tuple(ids[token] for token in result.hypotheses[0]) for result in found]

    return translate


VARIANTS: dict[str, tuple[str, str, Callable[[Marian, list[list[int]], int, str], Decode]]] = {
    OURS: ("torch", "fp32; no step is made where nobody looks", ours),
    INT8: ("torch", "linear layers in 8 bits, the rest in fp32", ours_int8),
    HF: ("transformers", "fp32; generate() with its cache, fused attention", theirs),
    CT2: ("ctranslate2", "fp32; C++, cannot show its steps", ctranslate2),
}
"""Name -> the module that must be installed, how the variant differs, and its decoder."""


def agreement(one: Outputs, other: Outputs) -> float:
    """The share of positions at which two lists of outputs have the same token."""
    pairs = [pair for a, b in zip(one, other, strict=True) for pair in zip(a, b, strict=False)]
    longest = sum(max(len(a), len(b)) for a, b in zip(one, other, strict=True))
    return sum(a == b for a, b in pairs) / longest


def compare(marian: Marian, size: Size, batch: int, beam: int, plan: Plan) -> Row:
    rows = marian.sources(batch, LENGTH)
    in_int8 = size.d_model >= FASTER_FROM and plan.device == "cpu"
    present = {
        name: (note, start(marian, rows, beam, plan.device))
        for name, (module, note, start) in VARIANTS.items()
        if installed(module, name) and (name != INT8 or in_int8)
    }
    outputs = {name: run() for name, (_, run) in present.items()}
    facts = {
        f"tokens equal to {name}'s": f"{agreement(outputs[OURS], found):.1%}"
        for name, found in outputs.items()
        if name != OURS
    }
    facts["different tokens written"] = str(len({t for row in outputs[OURS] for t in row}))
    times = 4 if batch == 1 and size.layers == 2 else 1

    def sample(run: Decode) -> Sample:
        return lambda: float(sum(len(row) for _ in range(times) for row in run()))

    samples = {name: sample(run) for name, (_, run) in present.items()}
    found = plan.measure(samples, warm=True)
    if plan.device == "cpu":
        seconds = Spread.of(found[OURS]).median * len(rows) * LENGTH
        vocabulary = len(marian.tokens)
        facts |= bound.shares(seconds, size, batch, beam, LENGTH, vocabulary)
    notes = {name: note for name, (note, _) in present.items()}
    return Row(PART, case_name(batch, beam), size.name, "token", found, notes, facts)


def measure(plan: Plan) -> Iterator[Row]:
    for size in plan.sizes:
        for batch, beam in CASES:
            with tempfile.TemporaryDirectory() as folder:
                marian = make(size, Path(folder, "marian"))
                yield compare(marian, size, batch, beam, plan)
            gc.collect()
