"""Where a model's outputs go wrong, against greedy decoding token by token; harder examples."""

import math

import pytest
import torch

from transformer.analysis.mistakes import Mistakes, find_mistakes
from transformer.checkpoint import Checkpoint
from transformer.config import DataConfig
from transformer.decoding.strategies import greedy
from transformer.tasks import TASKS, Pair, build_task


def found_in(checkpoint: Checkpoint, pairs: list[Pair], longest: int = 100) -> Mistakes:
    steps = list(find_mistakes(checkpoint, pairs, lambda pair, out: out == pair.target, longest))
    assert isinstance(steps[0], Mistakes)
    assert steps[-1] == 1.0
    return steps[0]


def test_every_mistake_is_found_where_it_begins(reverse: Checkpoint) -> None:
    """The inputs are longer than the training inputs, so that most outputs are wrong."""
    harder = build_task(reverse.header.data).harder()
    assert harder is not None
    pairs = harder.held_out(40)
    found = found_in(reverse, pairs)
    assert (found.tried, found.unread) == (40, 0)
    assert len(found.found) > 10
    wrong = {one.pair.source for one in found.found}
    answers = reverse.answers([pair.source for pair in pairs])
    assert wrong == {
        pair.source for pair, a in zip(pairs, answers, strict=True) if a.output != pair.target
    }
    for one in found.ranked[:8]:
        wanted = [*reverse.target_vocabulary.encode(one.pair.target), reverse.config.eos_id]
        steps = list(greedy(reverse.model, reverse.encode(one.pair.source), max_length=100))
        place = next(i for i, step in enumerate(steps) if step.tokens[0, 0, -1] != wanted[i])
        assert one.error is not None
        assert one.step == one.error.position == place
        row = steps[place].log_probs[0, 0]
        assert one.error.wanted == wanted[place]
        assert one.error.written == int(steps[place].tokens[0, 0, -1])
        assert one.error.probability == pytest.approx(row[one.error.written].exp().item(), abs=1e-4)
        assert one.error.wanted_probability == pytest.approx(
            row[wanted[place]].exp().item(), abs=1e-4
        )
        assert one.probability == pytest.approx(math.exp(float(steps[-1].total)), rel=1e-3)
    confidence = [one.probability for one in found.ranked]
    assert confidence == sorted(confidence, reverse=True)


def test_what_the_model_cannot_read_or_write_is_no_mistake_of_its_own(reverse: Checkpoint) -> None:
    found = found_in(reverse, [Pair("Ü", "x"), Pair("ab", "ba"), Pair("ab", "ß")])
    assert (found.tried, found.unread) == (2, 1)
    [one] = found.found
    assert (one.pair.target, one.error, one.target_tokens) == ("ß", None, ())


def test_an_output_that_was_cut_is_opened_at_its_end(reverse: Checkpoint) -> None:
    [one] = found_in(reverse, [Pair("abcdefgh", "hgfedcba")], longest=3).found
    assert one.error is None
    assert one.step == 2


@pytest.mark.parametrize("name", ["reverse", "copy", "sort", "addition", "addition-reversed"])
def test_harder_examples_are_longer_than_any_it_trains_on(name: str) -> None:
    task = build_task(DataConfig(task=name))
    harder = task.harder()
    assert harder is not None
    longest = max(len(pair.source) for pair in task.epoch(1, 0, 64))
    shortest = min(len(pair.source) for pair in harder.held_out(50))
    assert shortest > longest - 2  # a sum with one leading zero less may be as long
    assert not {p.source for p in harder.held_out(50)} & {p.source for p in task.epoch(1, 0, 64)}
    # A model of the task can read them.
    assert (harder.source_vocabulary, harder.target_vocabulary) == (
        task.source_vocabulary,
        task.target_vocabulary,
    )


def has_harder(name: str) -> bool:
    return build_task(DataConfig(task=name)).harder() is not None


def test_no_harder_examples_beyond_the_bounds() -> None:
    assert {name for name in TASKS if name != "pairs" and has_harder(name)} == {
        *("reverse", "copy", "sort", "addition", "addition-reversed")
    }
    assert build_task(DataConfig(task="reverse", max_letters=64)).harder() is None
    assert build_task(DataConfig(task="addition", digits=9)).harder() is None


def test_finding_mistakes_leaves_no_gradient(reverse: Checkpoint) -> None:
    found_in(reverse, [Pair("abc", "x")])
    assert torch.is_grad_enabled()
