"""Which examples a model gets wrong, how certain it was, and at which step it went wrong."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import torch

from transformer.analysis.first_error import FirstError, first_error
from transformer.checkpoint import Answer, Checkpoint
from transformer.decoding.steps import pad
from transformer.decoding.strategies import Greedy
from transformer.errors import VocabularyError
from transformer.tasks import Pair

CHUNK = 64
IsRight = Callable[[Pair, str], bool]


@dataclass(frozen=True)
class Mistake:
    """An example with a wrong output.

    target_tokens: the target's tokens without <eos>; empty if the vocabulary cannot encode it.
    error: the first wrong step; None if the output was cut before it, or if the vocabulary cannot
        encode the target.
    """

    pair: Pair
    answer: Answer
    target_tokens: tuple[str, ...]
    error: FirstError | None

    @property
    def probability(self) -> float:
        """The model's probability of its whole output."""
        return math.exp(self.answer.log_prob)

    @property
    def step(self) -> int:
        """The step to show: the first wrong one, or else the last one; from 0."""
        return self.error.position if self.error else max(len(self.answer.tokens) - 1, 0)


@dataclass
class Mistakes:
    """The results so far.

    tried, unread: number of examples that the model could and could not read.
    found: the examples it got wrong.
    """

    tried: int = 0
    unread: int = 0
    found: list[Mistake] = field(default_factory=list)

    @property
    def ranked(self) -> list[Mistake]:
        """The mistakes with the most probable outputs first."""
        return sorted(self.found, key=lambda one: -one.answer.log_prob)


def find_mistakes(
    checkpoint: Checkpoint, pairs: Sequence[Pair], is_right: IsRight, max_length: int
) -> Iterator[float | Mistakes]:
    """Decode examples greedily and collect the wrong outputs.

    First yields the :class:`Mistakes`, which are updated while it runs, then the share done, from
    0 to 1, after each step.
    """
    mistakes = Mistakes()
    yield mistakes
    sources = [pair.source for pair in pairs]
    for progress in checkpoint.answering(sources, Greedy(max_length=max_length)):
        wrong = []
        for number, answer in progress.new.items():
            if answer.error:
                mistakes.unread += 1
                continue
            mistakes.tried += 1
            if not is_right(pairs[number], answer.output):
                wrong.append((pairs[number], answer))
        for start in range(0, len(wrong), CHUNK):
            mistakes.found += _located(checkpoint, wrong[start : start + CHUNK])
        yield progress.share


@torch.inference_mode()
def _located(checkpoint: Checkpoint, wrong: Sequence[tuple[Pair, Answer]]) -> list[Mistake]:
    """Find the first wrong step of each wrong output, with one forward pass over all of them."""
    config, vocabulary = checkpoint.config, checkpoint.target_vocabulary
    ids = {token: number for number, token in enumerate(vocabulary.tokens)}
    written = [[ids[token] for token in answer.tokens] for _, answer in wrong]
    source = pad([checkpoint.source_ids(pair.source) for pair, _ in wrong], config.pad_id)
    read = pad([[config.decoder_start_id, *row[:-1]] for row in written], config.pad_id)
    log_probs = checkpoint.model(source, read).log_softmax(dim=-1)  # [wrong, step, vocabulary]
    found = []
    for place, (pair, answer) in enumerate(wrong):
        try:
            wanted = vocabulary.encode(pair.target)
        except VocabularyError:
            found.append(Mistake(pair, answer, (), None))
            continue
        error = first_error(written[place], [*wanted, config.eos_id], log_probs[place].numpy())
        tokens = tuple(vocabulary.tokens[token] for token in wanted)
        found.append(Mistake(pair, answer, tokens, error))
    return found
