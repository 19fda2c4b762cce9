"""Whether a model was trained on an input: True or False where it is known, else None."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.tasks.test_tasks import few_sources, generated, generated_task
from transformer.config import DataConfig
from transformer.tasks import Pair, in_training
from transformer.tasks.own_pairs.task import OwnPairs, write_pairs
from transformer.tasks.pronunciation import Pronunciation


@generated
def test_what_is_held_out_was_never_trained_on_and_of_the_rest_nobody_knows(name: str) -> None:
    data, task = DataConfig(task=name), generated_task(name)
    said = {in_training(data, pair.source) for pair in task.held_out(40)}
    # A date's text may mean another day in another language, which training may have drawn.
    assert said == {False} if name != "dates" else said <= {False, None}
    assert {in_training(data, pair.source) for pair in task.epoch(1, 0, 8)} == {None}


@pytest.mark.parametrize(
    ("name", "drawn", "never"),
    [
        ("reverse", "abc", "abcdefghijklm"),
        ("sort", "abc", "abç"),
        ("addition", "128+12", "1280+1"),
        ("addition-reversed", "128+12", "012+3"),
        ("dates", "March 8, 2021", "March 8, 1066"),
        ("numbers", "zweiundvierzig", "vierzig und zwei"),
    ],
)
def test_what_no_training_draws_was_not_seen(name: str, drawn: str, never: str) -> None:
    assert in_training(DataConfig(task=name), drawn) is None
    assert in_training(DataConfig(task=name), never) is False


def test_of_shipped_pairs_it_is_known_which_were_trained_on() -> None:
    split = Pronunciation.split()
    for pairs, trained in ((split.train, True), (split.held_out, False), (split.test, False)):
        said = {in_training(DataConfig(task="pronunciation"), pair.source) for pair in pairs[-40:]}
        assert said == {trained}
    assert in_training(DataConfig(task="pronunciation"), "qwertz") is False


@given(few_sources, st.floats(0.0, 0.5))
def test_what_own_pairs_were_trained_on_is_known(
    tmp_path_factory: pytest.TempPathFactory, pairs: list[Pair], share: float
) -> None:
    if share and len({pair.source for pair in pairs}) < 2:
        return
    file = tmp_path_factory.mktemp("pairs") / "data.tsv"
    file.write_text(write_pairs(pairs), "utf-8")
    data = DataConfig(task="pairs", held_out=share)
    task = OwnPairs(data, pairs)
    seen = {pair.source for pair in task.epoch(1, 0, 4)}
    for source in "abcdefgh":
        assert in_training(data, source, file) is (source in seen)
    assert in_training(data, f" {pairs[0].source}", file) in (None, False)  # read as the same words
    assert in_training(data, "a") is None
