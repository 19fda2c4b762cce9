"""Scores of outputs against their targets: exact match, token error rate, BLEU and chrF."""

from collections.abc import Sequence
from dataclasses import dataclass

BLEU_WORDS = 4
NO_BLEU = "No BLEU: it counts runs of four words, and no target has four."


@dataclass(frozen=True)
class Scores:
    """The scores of ``count`` outputs that have a target.

    exact_match: share of 1.
    token_error_rate: edits that turn outputs into targets, over the targets' tokens; it can be
        above 1. None where the targets have no tokens.
    bleu, chrf: of all outputs together, from 0 to 100, with sacrebleu's defaults; None if not asked
        for. BLEU is also None if no target has the four words that it counts.
    """

    count: int
    exact_match: float
    token_error_rate: float | None
    bleu: float | None = None
    chrf: float | None = None

    @property
    def why_no_bleu(self) -> str:
        """A sentence if chrF could be computed but BLEU could not; else empty."""
        return NO_BLEU if self.bleu is None and self.chrf is not None else ""


def edit_distance(left: Sequence[str], right: Sequence[str]) -> int:
    """Fewest insertions, deletions and replacements of tokens that turn one into the other."""
    start, most = 0, min(len(left), len(right))
    while start < most and left[start] == right[start]:
        start += 1
    end = 0
    while end < most - start and left[-1 - end] == right[-1 - end]:
        end += 1
    left, right = left[start : len(left) - end], right[start : len(right) - end]
    row = list(range(len(right) + 1))
    for i, token in enumerate(left, start=1):
        diagonal, row[0] = row[0], i
        for j, other in enumerate(right, start=1):
            diagonal, row[j] = (
                row[j],
                min(row[j] + 1, row[j - 1] + 1, diagonal + (token != other)),
            )
    return row[-1]


class Scorer:
    """Takes outputs one by one, so that they can be scored during decoding."""

    def __init__(self) -> None:
        self.outputs: list[str] = []
        self.targets: list[str] = []
        self._right = self._edits = self._tokens = 0

    def add(
        self, output: str, target: str, output_tokens: Sequence[str], target_tokens: Sequence[str]
    ) -> None:
        """One output and its target, as texts and as tokens without <eos>."""
        self.outputs.append(output)
        self.targets.append(target)
        self._right += output == target
        self._edits += edit_distance(output_tokens, target_tokens)
        self._tokens += len(target_tokens)

    def scores(self, *, text: bool) -> Scores | None:
        """The scores so far; None before the first output.

        Args:
            text: whether outputs are texts of words, for which BLEU and chrF are meant.
        """
        count = len(self.outputs)
        if not count:
            return None
        rate = self._edits / self._tokens if self._tokens else None
        if not text:
            return Scores(count, self._right / count, rate)
        import sacrebleu  # here, since few need it and it takes a while to import

        bleu = None
        if max(len(target.split()) for target in self.targets) >= BLEU_WORDS:
            bleu = sacrebleu.corpus_bleu(self.outputs, [self.targets]).score
        chrf = sacrebleu.corpus_chrf(self.outputs, [self.targets]).score
        return Scores(count, self._right / count, rate, bleu, chrf)
