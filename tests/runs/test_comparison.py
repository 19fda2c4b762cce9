"""Comparing runs: the settings that differ, the points of their curves, exact repeats."""

import csv
import io
import math
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from tests.support.nursery import Nursery
from tests.support.trainers import tiny
from transformer.runs.comparison import (
    MAX_POINTS,
    X_AXES,
    baselines,
    curves,
    curves_csv,
    differences,
    origin,
    repeats,
)
from transformer.runs.creation import About, create_run
from transformer.runs.directory import Run
from transformer.runs.metrics import Record
from transformer.tasks.presets import prepare
from transformer.training.batches import training_batches

CONFIG = tiny(steps=20, eval_every=5, final_examples=20)
OTHER = tiny(steps=20, eval_every=5, final_examples=20, seed=2)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, nursery: Nursery) -> list[Run]:
    """Three trained runs: two with the same settings, one with another seed."""
    root = tmp_path_factory.mktemp("runs")
    runs = [
        create_run(config, about=About(n), root=root)
        for config, n in ((CONFIG, "a"), (CONFIG, "=b"))
    ]
    runs.append(create_run(OTHER, about=About("c"), root=root))
    for trainer in [nursery.train(run, environment={}) for run in runs]:
        assert trainer.wait() == 0
    return runs


def test_only_settings_that_differ_are_told_in_words() -> None:
    first = prepare("reverse", "tiny", training={"steps": 20})[1]
    changed = prepare(
        "copy",
        "tiny",
        model={"norm_first": not first.model.norm_first},
        training={"steps": 1500, "learning_rate": 1e-4},
    )[1]
    found = {row.name: row.values for row in differences([first, changed])}
    assert found["Task"] == ("Reverse letters", "Copy letters")
    assert set(found["Norm first (pre-norm)"]) == {"on", "off"}
    assert found["Updates"] == ("20", "1,500")
    assert found["Learning rate"][1] == "0.0001"
    assert not {"Seed", "Width (d_model)", "Updates between evaluations"} & found.keys()
    assert differences([CONFIG, CONFIG, CONFIG]) == []
    assert differences([]) == []
    assert [row.name for row in differences([CONFIG, OTHER])] == ["Seed"]


def test_a_rerun_is_recognised_and_equal_bit_for_bit(trained: list[Run]) -> None:
    origins = [origin(run, run.config()) for run in trained]
    records = [run.metrics() for run in trained]
    [repeat] = repeats(origins, records)
    assert (repeat.first, repeat.second, repeat.differs) == (0, 1, None)
    assert repeat.step == 20
    # At least two numbers of each of five evaluations.
    assert repeat.points >= 10


def test_the_first_number_that_differs_is_named(trained: list[Run]) -> None:
    records = [run.metrics() for run in trained[:2]]
    for place, record in enumerate(records[1]):
        if record.kind == "eval" and record.step >= 10 and record.loss is not None:
            records[1][place] = replace(record, loss=math.nextafter(record.loss, 9))
    [repeat] = repeats([1, 1], records)
    assert repeat.differs is not None
    assert (repeat.step, repeat.differs[0]) == (10, "evaluation loss")
    assert repeat.differs[1] < repeat.differs[2]


def test_training_losses_over_other_steps_are_not_compared() -> None:
    """Each loss is a mean over the steps since the line before."""
    ahead = [Record("train", 5, loss=2.0), Record("train", 9, loss=1.0)]
    once = [Record("train", 9, loss=1.5)]
    [repeat] = repeats([1, 1], [ahead, once])
    assert (repeat.points, repeat.differs) == (0, None)
    [repeat] = repeats([1, 1], [ahead, [*ahead[:1], replace(ahead[1], loss=1.5)]])
    assert repeat.differs == ("training loss", 1.0, 1.5)


def test_other_pairs_or_another_parent_are_no_repeat(tmp_path: Path) -> None:
    one, two = tmp_path / "one.tsv", tmp_path / "two.tsv"
    one.write_text("a\tb\n")
    two.write_text("a\tc\n")
    same = [create_run(CONFIG, root=tmp_path / "runs", pairs=one) for _ in range(2)]
    other = create_run(CONFIG, root=tmp_path / "runs", pairs=two)
    child = create_run(CONFIG, root=tmp_path / "runs", pairs=one)
    (child.path / "about.json").write_text('{"parent": "x", "parent_step": 5}')
    origins = [origin(run, CONFIG) for run in (*same, other, child)]
    assert origins[0] == origins[1]
    assert len(set(origins)) == 3


def test_curves_have_every_point_on_each_axis(trained: list[Run]) -> None:
    found = curves(trained[0].metrics(), CONFIG.model.target_vocab_size)
    assert [point[0] for point in found.evaluation] == [0, 5, 10, 15, 20]
    tokens = [point[2] for point in found.evaluation]
    assert tokens[0] == 0
    assert all(a is not None and b is not None and a < b for a, b in pairwise(tokens))
    assert tokens[-1] == found.train[-1][2]
    assert found.baselines["uniform guess, ln|V|"] == math.log(CONFIG.model.target_vocab_size)
    assert found.baselines["untrained model"] == found.evaluation[0][3]


def test_tokens_at_an_evaluation_lie_between_those_of_training() -> None:
    found = curves(
        [
            Record("eval", 0, loss=4.0, unigram=2.5),
            Record("train", 10, loss=3.0, tokens=100),
            Record("eval", 15, loss=2.0),
            Record("train", 20, loss=3.0, tokens=300),
            Record("eval", 30, loss=2.0),
        ],
        9,
    )
    assert [point[2] for point in found.evaluation] == [0, 200, 300]
    assert found.baselines["guess by frequency"] == 2.5


@pytest.mark.parametrize("count", [0, 1, MAX_POINTS, MAX_POINTS + 1, 10 * MAX_POINTS + 3])
def test_long_curves_are_thinned_and_keep_their_end(count: int) -> None:
    records = [Record("train", step, loss=1.0) for step in range(1, count + 1)]
    found = curves(records, 9)
    assert len(found.train) <= MAX_POINTS
    assert len(found.train) >= min(count, MAX_POINTS // 2)
    assert [point[0] for point in found.train[-1:]] == [count][: len(records)]
    assert found.evaluation == []


def test_baselines_that_agree_are_one_line(trained: list[Run]) -> None:
    size = CONFIG.model.target_vocab_size
    drawn = [curves(run.metrics(), size) for run in trained]
    found = {(line.name, line.runs) for line in baselines(drawn)}
    assert found == {
        ("untrained model", (0, 1)),
        ("untrained model", (2,)),
        ("uniform guess, ln|V|", (0, 1, 2)),
        ("guess by frequency", (0, 1, 2)),
    }


def test_curves_csv_is_tidy_and_holds_every_number(trained: list[Run]) -> None:
    exported = curves_csv([(run.about()["name"], run) for run in trained]).decode("utf-8-sig")
    rows = list(csv.DictReader(io.StringIO(exported, newline="")))
    assert list(rows[0])[:8] == [
        *("run", "id", "step", "seconds", "tokens", "kind", "loss", "exact_match"),
    ]
    assert {row["run"] for row in rows} == {"a", "'=b", "c"}
    for run in trained:
        mine = [row for row in rows if row["id"] == run.id]
        for row, record in zip(mine, run.metrics(), strict=True):
            for name in ("step", "seconds", "tokens", "loss", "exact_match"):
                value = getattr(record, name)
                assert row[name] == ("" if value is None else str(value))


def test_the_axis_of_tokens_is_named_for_what_training_counts() -> None:
    task, config = prepare("reverse")
    share = next(training_batches(task, config.model, config.training))
    source, target = share.batch.source, share.batch.target_in
    assert X_AXES["tokens"] == "source and target tokens (padding included)"
    assert share.tokens == source.numel() + target.numel()
    assert share.tokens > source.ne(0).sum() + target.ne(0).sum()
