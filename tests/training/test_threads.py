"""Threads: a trial chooses as many as save time, and one on a busy machine."""

from collections.abc import Callable
from itertools import islice
from random import Random

import pytest
import torch
from torch import nn

from tests.support.small_training import fresh, made, same, weights
from transformer.config.limits import Limits
from transformer.training import threads
from transformer.training.batches import Batch, training_batches
from transformer.training.compute import Compute
from transformer.training.loop import Begin, Training

# --- The choice, on machines that are simulated -----------------------------------------------


def machine(
    cores: int, busy: int, *, alone: float, waiting: float, seed: int
) -> Callable[[int], float]:
    """A simulated machine: a batch's seconds by the number of threads.

    Args:
        busy: the cores that other programs use.
        alone: share of a batch that only one thread computes.
        waiting: what each further thread costs, as a share of a batch.
    """
    random = Random(seed)

    def seconds(count: int) -> float:
        free = max(1, cores - busy)
        # With too few free cores, every operation waits for the thread that shares its core.
        slowest = 1.0 if count <= free else 1 + busy / cores + count / cores
        work = alone + (1 - alone) / count * slowest
        noise = random.lognormvariate(0, 0.05) * (random.uniform(1, 3) if busy else 1)
        return 0.02 * (work + waiting * (count - 1)) * noise

    return seconds


@pytest.mark.parametrize("cores", [2, 4, 8, 16])
def test_an_idle_machine_gives_as_many_as_pay(cores: int) -> None:
    large = [
        threads.choose(machine(cores, 0, alone=0.01, waiting=0.0, seed=s), cores).threads
        for s in range(50)
    ]
    assert sum(found == cores for found in large) >= 45
    small = [
        threads.choose(machine(cores, 0, alone=0.2, waiting=0.03, seed=s), cores).threads
        for s in range(50)
    ]
    assert sum(found == min(cores, 4) for found in small) >= 35  # 8 gain too little over 4


@pytest.mark.parametrize("cores", [2, 4, 8, 16])
def test_it_is_not_slower_than_one_thread_on_a_busy_machine(cores: int) -> None:
    """At least 180 of 200 simulated trials choose one thread."""
    chosen = []
    for seed in range(200):
        times = machine(cores, cores - 1, alone=0.1, waiting=0.02, seed=seed)
        chosen.append(threads.choose(times, cores).threads)
    calm = machine(cores, 0, alone=0.1, waiting=0.02, seed=1)
    assert calm(2) < calm(1)
    assert sum(found == 1 for found in chosen) >= 180


def test_one_core_is_not_tried() -> None:
    def never(count: int) -> float:
        raise AssertionError

    assert threads.choose(never, 1).threads == 1


def test_a_large_model_is_tried_once_a_number_and_a_loser_no_further() -> None:
    asked: list[int] = []

    def seconds(count: int) -> float:
        asked.append(count)
        return {1: 9.0, 2: 5.0, 4: 3.0, 6: 2.9}[count]

    found = threads.choose(seconds, 6)
    assert asked == [1, 2, 1, 2, 4, 2, 4, 6, 4, 6]
    assert (found.threads, found.why) == (4, "6 were 1.03 times as fast in a trial at the start")
    asked.clear()
    threads.choose(lambda count: asked.append(count) or 0.01 * count, 16)  # type: ignore[func-returns-value]
    assert asked == [1, 2, 1, 2, 1, 2]


# --- The trial and the run --------------------------------------------------------------------


def test_a_trial_leaves_no_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    task, config = made(model={"dropout": 0.1})
    shares = islice(training_batches(task, config.model, config.training), 2)
    training = Training(fresh(config), task, config.training)
    before, rng, count = weights(training.model), torch.get_rng_state(), torch.get_num_threads()
    used: list[int] = []

    def differentiate(model: nn.Module, batch: Batch) -> None:
        used.append(torch.get_num_threads())
        training.loss(model, batch, "fp32").backward()

    found = threads.measure(training.fast_model, [one.batch for one in shares], differentiate, 2)
    assert found.threads in (1, 2)
    assert set(used) == {1, 2}
    assert same(before, weights(training.model))
    assert torch.get_rng_state().equal(rng)
    assert torch.get_num_threads() == count
    assert all(parameter.grad is None for parameter in training.model.parameters())


def test_a_trial_that_fails_ends_with_one_thread() -> None:
    task, config = made()
    training = Training(fresh(config), task, config.training)

    def differentiate(model: nn.Module, batch: Batch) -> None:
        raise torch.OutOfMemoryError

    batches = [next(training_batches(task, config.model, config.training)).batch]
    assert threads.measure(training.fast_model, batches, differentiate, 2).threads == 1


@pytest.fixture
def chosen(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The numbers of threads that a run sets, while every trial chooses three."""
    found: list[int] = []
    monkeypatch.setattr(torch, "set_num_threads", found.append)
    choice = threads.Choice(3, "as a test has it")
    monkeypatch.setattr("transformer.training.loop.measure", lambda *_: choice)
    return found


def test_settings_that_leave_it_open_get_what_the_trial_chose(chosen: list[int]) -> None:
    task, config = made(threads=0, steps=1)
    training = Training(fresh(config), task, config.training)
    [begin] = [event for event in training.events() if isinstance(event, Begin)]
    assert (training.threads, chosen) == (3, [3])
    assert begin.compute.sentence.endswith(". 3 threads: as a test has it.")


@pytest.mark.parametrize(
    ("bf16_gain", "fp32_gain", "precision"),
    [(1.0, 1.2, "bf16"), (1.0, 1.6, "fp32"), (1.5, 1.6, "bf16")],
)
def test_float32_is_chosen_where_its_threads_gain_more(
    bf16_gain: float, fp32_gain: float, precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One thread takes 100 ms in float32 and 80 in bfloat16."""
    task, config = made(threads=0, steps=1, precision="auto")
    training = Training(fresh(config), task, config.training)
    trials = {"fp32": fp32_gain, "bf16": bf16_gain}

    def measured(*_: object) -> threads.Choice:
        gain = trials[training.precision]
        return threads.Choice(2 if gain > 1 else 1, f"{gain} times as fast", gain)

    compute = Compute("cpu", "bf16", "faster", fp32_seconds=0.1, bf16_seconds=0.08)
    monkeypatch.setattr("transformer.training.loop.decide", lambda *_: compute)
    monkeypatch.setattr("transformer.training.loop.measure", measured)
    training.most_threads = 2  # on any machine
    monkeypatch.setattr(torch, "set_num_threads", lambda _: None)
    begin = next(event for event in training.events() if isinstance(event, Begin))
    assert begin.compute.precision == training.precision == precision
    gain = trials[precision]
    assert begin.compute.threads == training.threads == (2 if gain > 1 else 1)
    assert begin.compute.threads_why == f"{gain} times as fast"
    if precision == "fp32":
        assert "in float32: 2 threads were faster than 1 in bfloat16" in begin.compute.sentence


def test_settings_that_name_a_number_get_it(chosen: list[int]) -> None:
    task, config = made(threads=2, steps=1)
    training = Training(fresh(config), task, config.training)
    [begin] = [event for event in training.events() if isinstance(event, Begin)]
    assert (training.threads, chosen) == (2, [])  # the trainer sets it, not the loop
    assert "thread" not in begin.compute.sentence


def test_a_resumed_run_keeps_the_number_as_far_as_there_are_cores(
    chosen: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("transformer.training.loop.available", lambda: 8)
    task, config = made(threads=0, steps=2)
    for kept, cores, expected in ((4, 8, 4), (4, 2, 2), (0, 8, 1)):
        training = Training(fresh(config), task, config.training, most_threads=cores)
        training.restore(1, 0, {}, "fp32", kept)
        assert not any(isinstance(event, Begin) for event in training.events())
        assert (training.threads, chosen.pop()) == (expected, expected)


def test_one_thread_is_said_as_one() -> None:
    text = Compute(
        "cpu", "fp32", "why", threads=1, threads_why="2 were 0.90 times as fast"
    ).sentence
    assert text == "On the processor, in float32: why. 1 thread: 2 were 0.90 times as fast."


def test_a_class_shares_the_cores_and_one_person_has_them_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 8)
    assert Limits().most_threads == 8
    assert Limits(mode="class").most_threads == 1
    assert Limits(mode="class", trainers=2).most_threads == 4
    assert Limits(trainers=4).most_threads == 2
