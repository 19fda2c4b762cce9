"""Checks the user's decoding: compares what it writes with what the model predicts step by step."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from transformer.doctor.checks import Check
from transformer.doctor.recording import Recording, require
from transformer.faults import plant
from transformer.hooks import own_modules
from transformer.model import Transformer

MALFORMED = "its account of the decoding is malformed"
MOST_ROWS = 16
MOST_TOKENS = 1_000
LONGEST = 8
"""Tokens per sentence that capture.py lets a decoding write."""


@dataclass(frozen=True)
class _Row:
    """One sentence. eos: id of the end token. wrote: ids from the user's decoding.

    steps: start token -> ids that the model predicts step by step; the right start token first.
    train: whether the model was in training mode meanwhile.
    """

    eos: int
    wrote: list[int]
    steps: dict[int, list[int]]
    train: bool


def decoding_checks(
    recording: Recording, plain: Mapping[str, Any], model: Transformer | None
) -> Iterator[Check]:
    """Compare what the user's decoding wrote with the model's own predictions.

    Args:
        model: our model that computes the same as theirs, if there is one.

    Raises:
        CheckpointError: the capture is damaged or forged.
    """
    name = "Your decoding"
    bos, rows = _rows(plain)
    if any(row.train for row in rows) and plain.get("drops") is True:
        yield Check(
            name + "'s mode",
            "warning",
            "It does not end training mode, so dropout stays on while it writes: call "
            "model.eval() in it, or always before it.",
        )
    count = len(rows)
    right = sum(_same(row, row.steps[bos], bos) for row in rows)
    if right == count:
        yield Check(name, "ok", f"{count} of {count} sentences are written as the model predicts.")
        return
    on_and_on = [row for row in rows if row.eos in row.steps[bos] and _goes_on(row, bos)]
    if on_and_on and right + len(on_and_on) >= count:
        yield Check(
            name,
            "problem",
            f"It does not stop at the end token that it was given: in {len(on_and_on)} of {count} "
            "sentences it goes on writing.",
        )
        return
    reasons = {
        f"It was given the start token {bos}, but it writes what the model writes from {start}": (
            "wrong-start-token"
        )
        for start in rows[0].steps
        if start != bos and all(_same(row, row.steps[start], start) for row in rows)
    }
    if model is not None and all(row.eos < model.config.target_vocab_size for row in rows):
        faulty = own_modules(model)
        plant(faulty, "decoding-position-zero")
        steps = [_stepped(faulty, recording, place, bos) for place in range(count)]
        if all(_same(row, own, bos) for row, own in zip(rows, steps, strict=True)):
            reasons["It writes what the model writes when every token has position 0"] = (
                "decoding-position-zero"
            )
    if reasons:  # several, if the model writes much the same whatever it reads
        said = ". Or: ".join(reasons)
        fault = next(iter(reasons.values())) if len(reasons) == 1 else ""
        yield Check(name, "problem", f"{said}, in all {count} sentences.", fault)
        return
    first = next(row for row in rows if not _same(row, row.steps[bos], bos))
    wrote, own = _ended(first.wrote, first.eos), _ended(first.steps[bos], first.eos)
    wrote = wrote[1:] if wrote[:1] == [bos] else wrote
    place = next((i for i, (a, b) in enumerate(zip(wrote, own, strict=False)) if a != b), None)
    at = f"from position {place} on" if place is not None else "in length"
    yield Check(
        name,
        "problem",
        f"Its output differs from what the model predicts for the same tokens, {at}, in "
        f"{count - right} of {count} sentences: check the ids and positions that each step feeds, "
        "and the cache.",
    )


def _stepped(faulty: Transformer, recording: Recording, place: int, bos: int) -> list[int]:
    """The ids that our model with this fault writes for a source of the main probe."""
    sources = recording.probes["main"].source
    source = torch.from_numpy(sources[place % len(sources)][None].copy())
    written = torch.tensor([[bos]])
    with torch.no_grad():
        for _ in range(LONGEST):
            memory = faulty.encode(source)
            logits = faulty.decode(written, memory)[0, -1]
            written = torch.cat([written, logits.argmax().reshape(1, 1)], 1)
    return list(written[0, 1:].tolist())


def _rows(plain: Any) -> tuple[int, list[_Row]]:
    bos, rows = plain.get("bos"), plain.get("rows")
    require(type(bos) is int and isinstance(rows, list), MALFORMED)
    require(1 <= len(rows) <= MOST_ROWS, MALFORMED)
    found = []
    for row in rows:
        require(isinstance(row, dict) and type(row.get("train")) is bool, MALFORMED)
        steps, eos = row.get("steps"), row.get("eos")
        require(type(eos) is int and isinstance(steps, list) and len(steps) <= MOST_ROWS, MALFORMED)
        pairs = all(isinstance(s, list) and len(s) == 2 and type(s[0]) is int for s in steps)
        require(pairs, MALFORMED)
        made = {start: _numbers(ids) for start, ids in steps}
        require(bos in made, MALFORMED)
        found.append(_Row(eos, _numbers(row.get("wrote")), made, row["train"]))
    require(len({tuple(row.steps) for row in found}) == 1, MALFORMED)
    return bos, found


def _numbers(plain: Any) -> list[int]:
    require(isinstance(plain, list) and len(plain) <= MOST_TOKENS, MALFORMED)
    require(all(type(n) is int and 0 <= n < 2**31 for n in plain), MALFORMED)
    return list(plain)


def _ended(ids: list[int], eos: int) -> list[int]:
    """The ids before the end token."""
    return ids[: ids.index(eos)] if eos in ids else ids


def _same(row: _Row, own: list[int], start: int) -> bool:
    """Whether the user's decoding wrote ``own``, with or without start and end token."""
    wanted = _ended(own, row.eos)
    for wrote in (row.wrote, row.wrote[1:] if row.wrote[:1] == [start] else row.wrote):
        # A decoding may count the start token in its maximum length, and so write one token less.
        ended = _ended(wrote, row.eos)
        stops = row.eos not in own or not _after_end(wrote, row.eos)
        short = row.eos not in own and ended == wanted[:-1]
        if (ended == wanted and stops) or short:
            return True
    return False


def _after_end(wrote: list[int], eos: int) -> list[int]:
    """The ids after the first end token, without further end tokens and zeros."""
    rest = wrote[wrote.index(eos) + 1 :] if eos in wrote else []
    return [token for token in rest if token != eos and token != 0]


def _goes_on(row: _Row, bos: int) -> bool:
    wrote = row.wrote[1:] if row.wrote[:1] == [bos] else row.wrote
    own = row.steps[bos]
    return wrote[: len(own)] == own[: len(wrote)] and len(wrote) > own.index(row.eos) + 1
