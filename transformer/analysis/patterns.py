"""How well each head fits known attention patterns, as scores and as one sentence.

A pattern is a set of places, [query, key], where a head of that kind would look. A head's score
is the share of its weight on those places, averaged over the rows in which the pattern has any;
``chance`` is the score of evenly spread weights. Both describe one input and may differ for others.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from transformer.analysis.heads import Head
from transformer.tasks.registry import TASKS
from transformer.vocabulary.vocabulary import EOS_ID, SPECIAL_TOKENS

CLEAR = 0.6
"""Share of a head's weight that a pattern must hold for the head to be named after it."""
ABOVE_CHANCE = 1.5
"""A pattern must also hold this many times the weight that an even spread would give it."""
EVEN = 0.8
"""Overlap with an even spread from which a head is labelled "spread evenly"."""
TIE = 0.03
"""Patterns whose shares differ by less than this count as equally good."""

Places = NDArray[np.bool_]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Pattern:
    """An attention pattern.

    label: a short name, shown in lists before the share, such as "97 %".
    phrase: continues a sentence after "puts 97 % of its weight".
    places: True where a head of this kind looks, [query, key]; rows without any are not scored.
    """

    name: str
    label: str
    phrase: str
    places: Places


@dataclass(frozen=True)
class HeadScores:
    """The scores of one head on one input.

    patterns: pattern name -> share of the weight on the pattern's places, from 0 to 1.
    chance: the same shares for weights spread evenly over the keys that the mask allows.
    labels, phrases: pattern name -> :class:`Pattern`'s label and phrase.
    uniform: overlap with an even spread; 1 if the weights are even.
    entropy: entropy of a row's weights in bits, mean over the rows.
    distance: distance between query and key in positions, weighted by attention.
    confidence: the largest weight of a row, mean over the rows.
    """

    head: Head
    patterns: dict[str, float]
    chance: dict[str, float]
    labels: dict[str, str] = field(repr=False)
    phrases: dict[str, str] = field(repr=False)
    uniform: float
    entropy: float
    distance: float
    confidence: float

    @property
    def fitting(self) -> list[str]:
        """The patterns the head is named after, best first: often none; several if they tie."""
        clear = [
            name
            for name, share in self.patterns.items()
            if share >= CLEAR and share >= ABOVE_CHANCE * self.chance[name]
        ]
        best = max((self.patterns[name] for name in clear), default=0.0)
        return sorted(
            (name for name in clear if self.patterns[name] > best - TIE),
            # The task's ideal pattern comes before patterns that happen to coincide with it.
            key=lambda name: (name != "ideal", -self.patterns[name]),
        )

    @property
    def label(self) -> str:
        """Two or three words and a share, such as "reverses 97 %"."""
        if self.fitting:
            best = self.fitting[0]
            return f"{self.labels[best]} {_percent(self.patterns[best])}"
        if self.uniform >= EVEN:
            return f"spread evenly {_percent(self.uniform)}"
        return "no clear pattern"

    @property
    def value(self) -> float:
        """The value by which heads are sorted: the share in the label, 0 if no pattern fits."""
        if self.fitting:
            return self.patterns[self.fitting[0]]
        return 0.0

    def sentence(self) -> str:
        """What the head does on this input, compared with evenly spread weights."""
        if self.fitting:
            best = self.fitting[0]
            said = (
                f"puts {_percent(self.patterns[best])} of its weight {self.phrases[best]}; if "
                f"it were spread evenly, {_percent(self.chance[best])} would be there"
            )
            if others := [self.phrases[name] for name in self.fitting[1:]]:
                said += f". On this input that cannot be told apart from weight {others[0]}"
        elif self.uniform >= EVEN:
            said = (
                f"spreads its weight almost evenly ({_percent(self.uniform)} overlap with an "
                "even spread)"
            )
        elif self.patterns:
            best = max(self.patterns, key=lambda name: self.patterns[name] - self.chance[name])
            said = "fits no pattern clearly"
            if self.patterns[best] > self.chance[best]:
                said += (
                    f". The nearest: {_percent(self.patterns[best])} of its weight is "
                    f"{self.phrases[best]}; if it were spread evenly, "
                    f"{_percent(self.chance[best])} would be there"
                )
        else:
            said = "shows no pattern, because the input is too short"
        return (
            f"On this input it {said}. A row's largest weight is {_percent(self.confidence)} on "
            "average. Only switching it off shows what the model does without it."
        )


def score_heads(
    kind: str,
    weights: NDArray[np.float32],
    query_tokens: Sequence[str],
    key_tokens: Sequence[str],
    *,
    causal: bool = False,
    ideal: tuple[str, Places] | None = None,
) -> list[HeadScores]:
    """Score every head of one attention.

    Args:
        weights: [layer, head, query, key]
        query_tokens: the token of each query: for self-attention the token read there, for
            cross-attention the token written there.
        ideal: for cross-attention, the verb and places of the pattern that solves the task.
    """
    layers, heads, queries, keys = weights.shape
    visible = np.tri(queries, keys, dtype=bool) if causal else np.ones((queries, keys), dtype=bool)
    patterns = [
        pattern
        for pattern in find_patterns(kind, query_tokens, key_tokens, ideal)
        # A pattern with places in a single row, such as that of <eos>, says little about a head.
        if (pattern.places & visible).any(axis=1).sum() > 1
    ]
    flat = weights.reshape(layers * heads, queries, keys).astype(np.float64)
    even = visible / visible.sum(axis=1, keepdims=True)
    places = np.array([(p.places & visible) for p in patterns], dtype=np.float64)
    places = places.reshape(len(patterns), queries * keys)
    rows = np.array([(p.places & visible).any(axis=1).sum() for p in patterns])
    shares = flat.reshape(len(flat), -1) @ places.T / np.maximum(rows, 1)
    chance = places @ even.reshape(-1) / np.maximum(rows, 1)
    with np.errstate(divide="ignore"):
        logs = np.where(flat > 0, np.log2(np.where(flat > 0, flat, 1.0)), 0.0)
    entropy = -(flat * logs).sum(axis=-1).mean(axis=-1)
    away = np.abs(np.arange(queries)[:, None] - np.arange(keys))
    distance = (flat * away).sum(axis=-1).mean(axis=-1)
    confidence = flat.max(axis=-1).mean(axis=-1)
    uniform = np.minimum(flat, even).sum(axis=-1).mean(axis=-1)
    names = [pattern.name for pattern in patterns]
    labels = {pattern.name: pattern.label for pattern in patterns}
    phrases = {pattern.name: pattern.phrase for pattern in patterns}
    expected = dict(zip(names, chance.tolist(), strict=True))
    return [
        HeadScores(
            Head(kind, number // heads, number % heads),
            dict(zip(names, shares[number].tolist(), strict=True)),
            expected,
            labels,
            phrases,
            float(uniform[number]),
            float(entropy[number]),
            float(distance[number]),
            float(confidence[number]),
        )
        for number in range(len(flat))
    ]


def find_patterns(
    kind: str,
    query_tokens: Sequence[str],
    key_tokens: Sequence[str],
    ideal: tuple[str, Places] | None = None,
) -> Iterable[Pattern]:
    """The patterns that apply to this kind of attention on this input."""
    queries, keys = len(query_tokens), len(key_tokens)
    row, column = np.arange(queries)[:, None], np.arange(keys)
    same = np.array([[a == b for b in key_tokens] for a in query_tokens], dtype=bool)
    if kind == "cross":
        if ideal is not None:
            verb, places = ideal
            yield Pattern("ideal", verb, "where the answer of the task stands in the input", places)
        # The last source token is <eos>; the diagonals run over the text before it.
        text = (row < keys - 1) & (column < keys - 1)
        yield Pattern(
            "diagonal",
            "diagonal",
            "on the input token at the same place as the token it writes",
            (row == column) & text,
        )
        yield Pattern(
            "anti-diagonal",
            "anti-diagonal",
            "on the input token at the same place, counted from the end",
            (column == keys - 2 - row) & text,
        )
        yield Pattern("content", "same token", "on input tokens equal to the one it writes", same)
    else:
        yield Pattern("same", "own position", "on its own position", row == column)
        yield Pattern(
            "previous", "token before", "on the position before its own", column == row - 1
        )
        yield Pattern(
            "content",
            "same token elsewhere",
            "on the same token in another place",
            same & (row != column),
        )
        if kind == "encoder":
            yield Pattern("next", "token after", "on the position after its own", column == row + 1)
            yield Pattern(
                "anti-diagonal",
                "anti-diagonal",
                "at the mirrored position",
                (column == keys - 2 - row) & (row < keys - 1),
            )
    yield Pattern(
        "first", "first token", "on the first token", np.broadcast_to(column == 0, same.shape)
    )
    if kind != "decoder":
        yield Pattern(
            "last",
            "last token",
            "on the last token",
            np.broadcast_to(column == keys - 1, same.shape),
        )


def _percent(share: float) -> str:
    """Whole percent; a share just below 1 is shown as 99 %, not rounded up to 100 %."""
    if 0.995 <= share < 1:
        return "99 %"
    return f"{share:.0%}".replace("%", " %")


def ideal_places(
    task: str, source: Sequence[str], written: Sequence[str]
) -> tuple[str, Places] | None:
    """The result of :meth:`Task.ideal_places`, as a verb and a mask, [written, source].

    Args:
        source, written: tokens with their final <eos>, whose row and column stay False.

    Returns:
        None if no ideal is known.
    """
    kind, eos = TASKS.get(task), SPECIAL_TOKENS[EOS_ID]
    read, answer = ([token for token in side if token != eos] for side in (source, written))
    known = None if kind is None else kind.ideal_places(read, answer)
    if kind is None or known is None:
        return None
    found = np.zeros((len(written), len(source)), dtype=bool)
    for row, places in enumerate(known):
        found[row, list(places)] = True
    return kind.solved_by, found
