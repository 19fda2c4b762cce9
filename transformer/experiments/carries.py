"""Is there a head for the carry? (Quirke and Barez, 2023)"""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from transformer.analysis.ablation import replaced, zeros
from transformer.analysis.heads import Head, all_heads
from transformer.checkpoint import Checkpoint
from transformer.decoding.steps import pad
from transformer.experiments.bundled import examples, load
from transformer.experiments.experiment import Experiment, Outcome, Settings, percent
from transformer.tasks import Pair

MODELS = ("addition-plain", "addition-reversed")
SPARED = 0.9
"""Share of the digits without a carry that must stay right when a head is off; a head without which
fewer are right does more than the carry."""


def carries(source: str) -> list[bool]:
    """Whether a carry enters each column, ones first; one column more than the longer number."""
    left, right = source.split("+")
    carry, found = 0, []
    for place in range(max(len(left), len(right)) + 1):
        found.append(bool(carry))
        digits = [int(side[-1 - place]) for side in (left, right) if place < len(side)]
        carry = int(sum(digits) + carry >= 10)
    return found


class _Columns:
    """Sums as one batch, and which of their digits a carry enters: [batch, target]."""

    def __init__(self, checkpoint: Checkpoint, pairs: Sequence[Pair], backwards: bool) -> None:
        config, vocabulary = checkpoint.config, checkpoint.target_vocabulary
        self.model = checkpoint.model
        targets = [[*vocabulary.encode(pair.target), config.eos_id] for pair in pairs]
        self.source = pad([checkpoint.source_ids(pair.source) for pair in pairs], config.pad_id)
        self.read = pad([[config.decoder_start_id, *row[:-1]] for row in targets], config.pad_id)
        self.wanted = pad(targets, config.pad_id)
        self.carried = torch.zeros_like(self.wanted, dtype=torch.bool)
        self.digit = torch.zeros_like(self.carried)
        for row, pair in enumerate(pairs):
            length = len(pair.target)
            into = carries(pair.source)[:length]
            into += [False] * (length - len(into))
            self.carried[row, :length] = torch.tensor(into if backwards else into[::-1])
            self.digit[row, :length] = True

    @torch.inference_mode()
    def right(self, off: Sequence[Head]) -> tuple[float, float]:
        """The share of right digits that no carry enters, and of those that one does."""
        with replaced(self.model, zeros(off)):
            hit = self.model(self.source, self.read).argmax(dim=-1) == self.wanted
        return _share(hit, self.digit & ~self.carried), _share(hit, self.digit & self.carried)


def _share(hit: Tensor, where: Tensor) -> float:
    return hit[where].float().mean().item()


def run(settings: Settings) -> Iterator[float | Outcome]:
    """Switch off each head in turn, and count right digits with and without an incoming carry."""
    count = 60 if settings.short else 300
    gaps, said = {}, []
    for number, name in enumerate(MODELS):
        checkpoint = load(name)
        pairs = examples(checkpoint, count, settings.seed)
        columns = _Columns(checkpoint, pairs, name.endswith("reversed"))
        found = {}
        heads = all_heads(checkpoint.config)
        for done, head in enumerate(heads):
            found[head] = columns.right([head])
            yield (number + (done + 1) / len(heads)) / len(MODELS)
        spared = [one for one in heads if found[one][0] >= SPARED] or heads
        head = max(spared, key=lambda one: found[one][0] - found[one][1])
        without, carried = found[head]
        gaps[f"{name}, gap"] = without - carried
        gaps[f"{name}, with carry"] = carried
        said.append(
            f"{name}, without {head.short}: {percent(without, 1)} of digits right without an "
            f"incoming carry, {percent(carried, 1)} with one"
        )
    least = min(gaps[f"{name}, with carry"] for name in MODELS)
    option = 2 if least < 0.5 else 1 if max(gaps[f"{name}, gap"] for name in MODELS) > 0.03 else 0
    yield Outcome(
        gaps,
        f"{'; '.join(said)}. Of the heads that leave {percent(SPARED)} of digits without a carry "
        "right, these have the largest gap.",
        option,
    )


EXPERIMENT = Experiment(
    name="carries",
    title="Is there a head for the carry?",
    claim="A model that adds splits a sum into jobs, such as making carries and using them. "
    "Switching heads off shows which head does which job.",
    source="Quirke and Barez 2023, Understanding Addition in Transformers",
    published="no number; one layer, three heads, and the carry is a separate job. Here this "
    "would mean: without one head, almost no digit with a carry is right",
    what="Each head of the two bundled addition models is switched off in turn. Right digits of "
    "held-out sums are counted in two groups: with and without an incoming carry.",
    question="Without the head that matters most for carries, how many digits with a carry are "
    "right?",
    options=("as many as without a carry", "fewer, but most of them", "almost none"),
    bands={
        "addition-plain, gap": (0.02, 0.25),
        "addition-reversed, gap": (0.05, 0.4),
        "addition-plain, with carry": (0.5, 0.99),
        "addition-reversed, with carry": (0.5, 0.97),
    },
    holds={"addition-plain, with carry": (0.0, 0.2)},
    why="These models have 2 + 2 layers and 24 heads. Some heads matter more for carries, but no "
    "head does only the carry: a job that one head does in a small model is shared here.",
    minutes=0.7,
    run=run,
)
