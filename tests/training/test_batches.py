"""The stream of batches: its content, its order, and how several processes share it."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.small_training import fresh, made
from transformer.config import RunConfig, TransformerConfig
from transformer.tasks import Pair, Task, read_pairs
from transformer.training import batches
from transformer.training.batches import Batch, Encoded, Share, encode, training_batches
from transformer.training.cuda_graphs import widened
from transformer.training.loop import Training

few = settings(max_examples=15)


def some_batches(task: Task, config: RunConfig, count: int) -> list[Batch]:
    shares = training_batches(task, config.model, config.training)
    return [share.batch for share in islice(shares, count)]


def rows(batch: Batch) -> Iterator[tuple[list[int], list[int], list[int]]]:
    """The rows of a batch as lists, without their padding."""
    for parts in zip(batch.source, batch.target_in, batch.target_out, strict=True):
        source, target_in, target_out = (
            part[: int(part.ne(0).nonzero().max()) + 1].tolist() for part in parts
        )
        yield source, target_in, target_out


def check_rows(batch: Batch, config: TransformerConfig) -> None:
    assert batch.target_in.shape == batch.target_out.shape
    assert batch.source.size(0) == batch.target_in.size(0)
    for source, target_in, target_out in rows(batch):
        assert source[-1] == target_out[-1] == config.eos_id
        assert target_in[0] == config.decoder_start_id
        assert target_in[1:] == target_out[:-1]  # "shifted right" (section 3.1)
        special = {config.pad_id, config.bos_id, config.eos_id}
        assert not special & {*source[:-1], *target_in[1:]}


@few
@given(st.integers(0, 10**6), st.integers(1, 40))
def test_batches_of_a_generated_task(seed: int, batch_size: int) -> None:
    task, config = made(seed=seed, batch_size=batch_size)
    first, again = some_batches(task, config, 5), some_batches(task, config, 5)
    for batch, copy in zip(first, again, strict=True):
        assert torch.equal(batch.source, copy.source)
        assert torch.equal(batch.target_in, copy.target_in)
        check_rows(batch, config.model)
        assert batch.source.size(0) == batch_size
        for source, _, target_out in rows(batch):
            assert source[-2::-1] == target_out[:-1]  # each source stays with its own answer


def test_another_seed_draws_other_batches() -> None:
    task, config = made()
    drawn = []
    for seed in (1, 2):
        changed = replace(config, training=config.training.replace(seed=seed))
        epoch = some_batches(task, changed, 32)  # a whole epoch, so that another order alone fails
        drawn.append({tuple(map(tuple, batch.source.tolist())) for batch in epoch})
    assert not drawn[0] & drawn[1]


def test_little_of_a_batch_is_padding() -> None:
    """Texts of similar length share a batch; in random order a third would be padding."""
    task, config = made(batch_size=32)
    padding = total = 0
    for share in islice(training_batches(task, config.model, config.training), 64):
        batch = share.batch
        for ids in (batch.source, batch.target_in):
            padding += int(ids.eq(config.model.pad_id).sum())
            total += ids.numel()
        assert share.tokens == batch.source.numel() + batch.target_in.numel()
        assert share.targets == batch.target_out.ne(config.model.pad_id).sum()
    assert padding / total < 0.15


@pytest.mark.parametrize(("count", "batch_size"), [(1, 4), (7, 2), (40, 1), (70, 2), (130, 4)])
def test_every_pair_comes_once_an_epoch(tmp_path: Path, count: int, batch_size: int) -> None:
    """The counts cross the edge of a pool (32 batches) and leave incomplete batches."""
    file = tmp_path / "pairs.tsv"
    file.write_text(
        "".join(f"s{i} {'a ' * (i % 3)}x\tt{i} {'b ' * (i % 5)}y\n" for i in range(count))
    )
    task, config = made(
        "pairs", pairs=file, data={"held_out": 0.0}, batch_size=batch_size, model={"max_length": 16}
    )
    batches = training_batches(task, config.model, config.training)
    orders = []
    for _ in range(2):
        seen: list[tuple[str, str]] = []
        while len(seen) < count:
            batch = next(batches).batch
            check_rows(batch, config.model)
            assert batch.source.size(0) <= batch_size
            seen += [
                (task.source_vocabulary.decode(source), task.target_vocabulary.decode(target))
                for source, _, target in rows(batch)
            ]
        assert Counter(seen) == Counter(tuple(pair) for pair in read_pairs(file).pairs)
        orders.append(seen)
    if count >= 40:
        assert orders[0] != orders[1]  # the next epoch comes in another order


def first_rows(share: Share) -> list[list[int]]:
    return [source for source, _, _ in rows(share.batch)]


@pytest.mark.parametrize(("count", "batch_size"), [(7, 2), (70, 2), (130, 4)])
def test_a_stream_that_starts_later_goes_on_alike(
    tmp_path: Path, count: int, batch_size: int
) -> None:
    """A resumed run reads from within a pool, across pools, and across epochs."""
    file = tmp_path / "pairs.tsv"
    file.write_text("".join(f"s{i} {'a ' * (i % 3)}x\tt{i}\n" for i in range(count)))
    task, config = made("pairs", pairs=file, data={"held_out": 0.0}, batch_size=batch_size)
    whole = list(islice(training_batches(task, config.model, config.training), 80))
    for start in (1, 3, 31, 33, 36, 70):
        later = training_batches(task, config.model, config.training, start=start)
        assert list(map(first_rows, islice(later, 8))) == list(
            map(first_rows, whole[start : start + 8])
        )


def test_the_next_pool_is_encoded_little_by_little(monkeypatch: pytest.MonkeyPatch) -> None:
    """Encoding a whole pool at once would keep a graphics card waiting."""
    task, config = made("reverse", batch_size=4)
    sizes: list[int] = []

    def counted(task: Task, pairs: Sequence[Pair]) -> list[Encoded]:
        sizes.append(len(pairs))
        return encode(task, pairs)

    monkeypatch.setattr(batches, "encode", counted)
    some_batches(task, config, 5 * batches.POOL)
    first, *others = sizes
    assert first == 4 * batches.POOL
    assert max(others) == 4
    assert sum(others) == 5 * first - 4  # the last 4 are encoded with the batch after these


def test_the_shares_of_several_processes_make_the_whole_batch(tmp_path: Path) -> None:
    """Includes a last batch with fewer pairs than there are processes."""
    file = tmp_path / "pairs.tsv"
    file.write_text("".join(f"s{i} {'a ' * (i % 3)}x\tt{i} y\n" for i in range(9)))
    task, config = made("pairs", pairs=file, data={"held_out": 0.0}, batch_size=4)
    pad_id = config.model.pad_id
    streams = [
        training_batches(task, config.model, config.training, rank=rank, size=3)
        for rank in range(3)
    ]
    whole = training_batches(task, config.model, config.training)
    for shares in islice(zip(whole, *streams, strict=True), 6):
        one, *parts = shares
        assert {(part.targets, part.tokens) for part in parts} == {(one.targets, one.tokens)}
        real = [part for part in parts if part.batch.target_out.ne(pad_id).any()]
        found = [row for part in real for row in first_rows(part)]
        assert Counter(map(tuple, found)) == Counter(map(tuple, first_rows(one)))


def test_a_widened_batch_has_the_same_loss() -> None:
    """The padding that lets batches share a shape on a graphics card changes no loss."""
    task, config = made(model={"max_length": 13})
    training = Training(fresh(config).double(), task, config.training)
    shapes = set()
    for share in islice(training_batches(task, config.model, config.training), 20):
        wide = widened(share.batch, config.model)
        shapes |= {ids.shape for ids in wide}
        for ids, more in zip(share.batch, wide, strict=True):
            assert more[:, : ids.size(1)].equal(ids)
        loss = training.loss(training.model, share.batch, "fp32").item()
        assert training.loss(training.model, wide, "fp32").item() == pytest.approx(loss, rel=1e-6)
    assert {shape[1] for shape in shapes} == {8, 13}


def test_a_batch_too_long_for_the_model_is_not_cut() -> None:
    _, config = made(model={"max_length": 13})
    long = Batch(*torch.ones(3, 2, 14, dtype=torch.long))
    assert widened(long, config.model).source.shape == (2, 14)
