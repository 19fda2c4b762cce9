"""Which examples a model gets wrong, how sure it was of what it wrote, and where it went wrong."""

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
    """An example that was answered wrongly.

    target_tokens: as the vocabulary cuts the target, without <eos>; empty if it cannot.
    error: the first step that went wrong; None for an output that was cut before that, and for a
        target that the model could not write.
    """

    pair: Pair
    answer: Answer
    target_tokens: tuple[str, ...]
    error: FirstError | None

    @property
    def probability(self) -> float:
        """That the model gives its whole output."""
        return math.exp(self.answer.log_prob)

    @property
    def step(self) -> int:
        """Where to look: the first wrong step, else the last, from 0."""
        return self.error.position if self.error else max(len(self.answer.tokens) - 1, 0)


@dataclass
class Mistakes:
    """What was found so far: examples that the model could read, and those it got wrong."""

    tried: int = 0
    unread: int = 0
    found: list[Mistake] = field(default_factory=list)

    @property
    def ranked(self) -> list[Mistake]:
        """The most confident first."""
        return sorted(self.found, key=lambda one: -one.answer.log_prob)


def find_mistakes(
    checkpoint: Checkpoint, pairs: Sequence[Pair], is_right: IsRight, max_length: int
) -> Iterator[float | Mistakes]:
    """Let the model answer some examples greedily.

    Yields what is found, which grows meanwhile, and then the share done, from 0 to 1.
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
    """Wrong answers with their first wrong step, by one pass over all that was written."""
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
