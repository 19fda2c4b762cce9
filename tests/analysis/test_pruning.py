"""Heads removed one by one, and attention weights shuffled over the positions."""

import torch

from transformer.analysis.ablation import replaced, zeros
from transformer.analysis.heads import Head, all_heads
from transformer.analysis.permutation import changed_by_permuting, shuffled
from transformer.analysis.pruning import Pruning, prune
from transformer.checkpoint import Checkpoint
from transformer.tasks import Pair

WORDS = ("workbench", "attention", "lamp", "q", "transform", "zebra", "onion", "decode")


def test_the_head_missed_least_goes_first_and_the_scores_are_those_without_it(
    reverse: Checkpoint,
) -> None:
    pairs = [Pair(word, word[::-1]) for word in WORDS]
    *shares, found = prune(reverse, pairs[:4], pairs[4:], most=2)
    assert isinstance(found, Pruning)
    assert shares[-1] == 1
    assert len(found.heads) == 2
    assert found.scored[0] == 1

    def right(off: list[Head], chosen: list[Pair]) -> float:
        """The share of pairs right under teacher forcing, one at a time: no padding, no batch."""
        count = 0
        for pair in chosen:
            wanted = [*reverse.target_vocabulary.encode(pair.target), reverse.config.eos_id]
            read = torch.tensor([[reverse.config.decoder_start_id, *wanted[:-1]]])
            with torch.inference_mode(), replaced(reverse.model, zeros(off)):
                written = reverse.model(reverse.encode(pair.source), read)[0].argmax(dim=-1)
            count += written.tolist() == wanted
        return count / len(chosen)

    alone = {head: right([head], pairs[:4]) for head in all_heads(reverse.config)}
    assert alone[found.heads[0]] == max(alone.values()) == found.chosen[1]
    assert found.scored[1:] == (
        right([found.heads[0]], pairs[4:]),
        right(list(found.heads), pairs[4:]),
    )


def test_how_many_can_go_ends_at_the_first_that_is_missed() -> None:
    heads = tuple(Head("encoder", 0, number) for number in range(4))
    found = Pruning(heads, (), (0.9, 0.88, 0.7, 0.9, 0.9))
    assert found.can_go(0.05) == 1
    assert found.can_go(0.3) == 4
    assert found.can_go(0.001) == 0


def test_weights_are_shuffled_over_the_words_and_padding_keeps_its_place() -> None:
    torch.manual_seed(0)
    real = torch.tensor([[True, True, True, True], [True, True, False, False]])
    weights = torch.rand(2, 3, 5, 4)
    found = shuffled(weights, real, torch.Generator().manual_seed(1))
    assert torch.equal(found[1, :, :, 2:], weights[1, :, :, 2:])
    assert not torch.equal(found, weights)
    assert torch.equal(found.sort(dim=-1).values, weights.sort(dim=-1).values)


def test_permuting_breaks_reverse_and_leaves_the_model_as_it_was(reverse: Checkpoint) -> None:
    source = torch.cat([reverse.encode(word) for word in ("workbench", "attention")])
    wanted = torch.tensor(
        [
            [*reverse.target_vocabulary.encode(word[::-1]), reverse.config.eos_id]
            for word in ("workbench", "attention")
        ]
    )
    read = torch.cat([torch.full((2, 1), reverse.config.decoder_start_id), wanted[:, :-1]], dim=1)
    heads = [head for head in all_heads(reverse.config) if head.kind == "cross"]
    changed = dict(changed_by_permuting(reverse.model, source, read, wanted))
    assert set(changed) == set(heads)
    assert max(changed.values()) > 0.2
    assert torch.equal(reverse.model(source, read).argmax(dim=-1), wanted)
