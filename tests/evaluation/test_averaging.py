"""Averages of checkpoints and scores on held-out pairs: properties, and a real run."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.support.checkpoint_files import WORDS, assert_same, make, wild_model
from tests.support.places import bundled_file
from transformer.__main__ import main
from transformer.checkpoint import Checkpoint
from transformer.checkpoint.verification import verify
from transformer.config import DataConfig
from transformer.decoding.strategies import by_beam_size
from transformer.errors import CheckpointError, TaskError
from transformer.evaluation.averaging import (
    Averaged,
    averaging,
    check,
    may_be_chance,
    mean_weights,
)
from transformer.evaluation.held_out import MOST_GENERATED, held_out, own_pairs, task_of
from transformer.evaluation.scoring import Evaluation, evaluating
from transformer.runs.creation import create_run
from transformer.runs.directory import Run
from transformer.runs.metrics import by_step
from transformer.tasks import SEVEN_PAIRS, Pair, build_task
from transformer.tasks.letters import Reverse
from transformer.tasks.presets import prepare
from transformer.trainer.trainer import Trainer
from transformer.training.loop import evaluate_loss, evaluate_outputs


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """A finished run of 12 updates that saved a checkpoint after each."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WORKBENCH_SNAPSHOT_SECONDS", "0")
        training = {
            "steps": 12,
            "eval_every": 2,
            "eval_examples": 8,
            "final_examples": 30,
            "batch_size": 8,
        }
        model = {"d_model": 16, "num_heads": 2, "d_ff": 16}
        _, config = prepare("reverse", "tiny", model=model, training=training)
        made = create_run(config, root=tmp_path_factory.mktemp("runs"))
        Trainer(made, lambda message: None).train()
        yield made


def near(checkpoint: Checkpoint, seed: int, size: float = 0.01) -> Checkpoint:
    """The checkpoint with Gaussian noise of standard deviation ``size`` on its weights."""
    generator = torch.Generator().manual_seed(seed)
    tensors = {
        name: tensor + size * torch.randn(tensor.shape, generator=generator)
        for name, tensor in sorted(checkpoint.tensors.items())  # the order in a file varies
    }
    return Checkpoint(replace(checkpoint.header, sha256=""), tensors)


# --- averaging ------------------------------------------------------------------------------------


def test_the_average_of_equal_models_is_that_model() -> None:
    one = make()
    made = mean_weights([one, one, one])
    for name, tensor in one.tensors.items():
        assert torch.equal(made.tensors[name], tensor)
    assert made.header.examples == one.header.examples
    assert made.header.probe is not None
    assert made.header.probe.logits == one.header.probe.logits  # type: ignore[union-attr]


def test_the_average_is_the_mean_of_each_weight_in_any_order() -> None:
    members = [make(seed) for seed in range(3)]
    made, turned = mean_weights(members), mean_weights(members[::-1])
    for name in made.tensors:
        mean = sum(one.tensors[name].double() for one in members) / 3
        assert torch.equal(made.tensors[name], mean.float())  # type: ignore[union-attr]
        assert torch.allclose(made.tensors[name], turned.tensors[name], rtol=1e-7, atol=0)
    # The average shares no memory with its members.
    made.tensors["encoder.norm.gain"].zero_()
    assert members[0].tensors["encoder.norm.gain"].any()


def test_its_examples_and_its_proof_are_its_own(tmp_path: Path) -> None:
    members = [make(0), make(1)]
    made = mean_weights(members)
    outputs = [example.output for example in made.header.examples]
    assert outputs == [answer.output for answer in made.answers(["abc", "fed", "a", "bbbb"])]
    assert outputs != [example.output for example in members[1].header.examples]
    made.save(tmp_path / "average.safetensors")
    checks = verify(tmp_path / "average.safetensors")
    assert all(one.ok for one in checks)
    assert {one.name for one in checks} == {"file", "logits", "outputs", "cache"}
    assert "mean of the weights of 2 checkpoints" in made.header.origin
    assert "after 3 and 3 updates, seed 1" in made.header.origin
    assert_same(Checkpoint.load(tmp_path / "average.safetensors"), made)


def test_what_does_not_belong_together_is_refused(reverse: Checkpoint) -> None:
    one = make()
    other_words = Checkpoint(
        replace(one.header, target_vocabulary=type(WORDS)("characters", "fedcba")), one.tensors
    )
    other_data = Checkpoint(replace(one.header, data=DataConfig(task="copy")), one.tensors)
    licensed = Checkpoint(replace(one.header, licence="CC BY 4.0"), one.tensors)
    for members, said in (
        ([one], "2 to 20"),
        ([one, make(d_ff=9)], "d_ff 8 and 9"),
        ([one, other_words], "other target vocabularies"),
        ([one, one, other_data], "1 and 3 were trained on other data (reverse and copy"),
        ([one, licensed], "different licences"),
        ([one] * 21, "21 were given"),
    ):
        with pytest.raises(CheckpointError) as raised:
            check(members)
        assert said in str(raised.value)
        assert str(raised.value).count(".") - str(raised.value).count("4.0") == 1


def test_scores_of_an_average_are_measured_and_not_copied(reverse: Checkpoint) -> None:
    members = [near(reverse, 1, 0.03), near(reverse, 2, 0.03)]
    task = task_of(reverse)
    pairs = task.held_out(60)
    *shares, found = averaging(members, task, pairs)
    assert isinstance(found, Averaged)
    assert shares == sorted(shares)  # type: ignore[type-var]
    assert 0 < shares[0] < shares[-1] <= 1  # type: ignore[operator]
    summary = found.checkpoint.summary
    assert summary is not None
    loss = evaluate_loss(found.checkpoint.model, task, pairs, 0)
    outputs = evaluate_outputs(found.checkpoint.model, task, pairs, 0)
    assert summary.loss == pytest.approx(loss.loss, rel=1e-6)
    assert summary.token_accuracy == pytest.approx(loss.token_accuracy)
    assert summary.exact_match == outputs.exact_match
    assert summary.examples == 60
    assert summary.untrained_exact_match == 0
    assert 3 < summary.untrained_loss < 8
    assert summary.loss != reverse.summary.loss  # type: ignore[union-attr]
    for member, one in zip(members, found.members, strict=True):
        assert one.loss == pytest.approx(evaluate_loss(member.model, task, pairs, 0).loss, rel=1e-6)
    # Averaging reduces the noise of the weights, which these seeds show.
    assert found.average.loss < min(one.loss for one in found.members)


def scored(*right: bool, loss: float = 1.0) -> Evaluation:
    return Evaluation(len(right), loss, 0.5, sum(right) / len(right), 1, 0.1, False, right)


def test_the_verdict_says_whether_the_score_rose() -> None:
    made = make()
    same = (True, False) * 20
    better = (True,) * 40
    rose = Averaged(made, scored(*better, loss=0.5), (scored(*same), scored(*same)))
    assert rose.verdict.startswith("The score rose: 40 of 40 pairs right, the best of them 20.")
    assert "loss fell, from 1 to 0.5" in rose.verdict
    fell = Averaged(made, scored(*same), (scored(*better, loss=0.5),))
    assert fell.verdict.startswith("The score fell: 20 of 40 pairs right, the best of them 40.")
    assert "did not fall" in fell.verdict
    assert Averaged(made, scored(*same), (scored(*same),)).verdict.startswith("The score stayed")
    luck = Averaged(made, scored(True, *same), (scored(False, *same),))
    assert "chance alone" in luck.verdict


def test_the_sign_test_is_the_binomial_one() -> None:
    # Two-sided, of a fair coin: 5 of 5 is 6.25 %, 6 of 6 is 3.125 %.
    assert may_be_chance(5, 0)
    assert not may_be_chance(6, 0)
    assert not may_be_chance(0, 6)
    assert may_be_chance(50, 50)
    assert not may_be_chance(70, 40)


def test_without_its_pairs_an_average_has_no_scores(tmp_path: Path) -> None:
    data = DataConfig(task="pairs", tokens="characters")
    one = make()
    members = [Checkpoint(replace(one.header, data=data), one.tensors)] * 2
    made = mean_weights(members)
    assert made.summary is None
    assert made.header.origin
    other = tmp_path / "other.tsv"
    other.write_text("x\ty\nxx\tyy\n", "utf-8")
    with pytest.raises(TaskError, match="not the pairs"):
        task_of(members[-1], other)


# --- evaluating -----------------------------------------------------------------------------------


def evaluate(checkpoint: Checkpoint, data: Path | None = None) -> Evaluation:
    task = task_of(checkpoint, data)
    *_, found = evaluating(checkpoint, task, held_out(checkpoint, task))
    assert isinstance(found, Evaluation)
    return found


@pytest.mark.parametrize("name", ["reverse", "sort"])
def test_a_bundled_models_numbers_come_out_again(name: str) -> None:
    checkpoint = Checkpoint.load(bundled_file(name))
    summary, found = checkpoint.summary, evaluate(checkpoint)
    assert summary is not None
    assert found.examples == summary.examples == 1000
    assert found.exact_match == summary.exact_match
    assert found.token_accuracy == pytest.approx(summary.token_accuracy)
    assert found.loss == pytest.approx(summary.loss, rel=1e-4)


def test_the_task_judges_each_output(reverse: Checkpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    task = task_of(reverse)
    asked = []

    def is_right(pair: object, output: str) -> bool:
        asked.append(output)
        return output.startswith("a")

    monkeypatch.setattr(task, "is_right", is_right)
    pairs = task.held_out(40)
    *_, found = evaluating(reverse, task, pairs)
    assert isinstance(found, Evaluation)
    assert len(asked) == 40
    assert found.right == tuple(pair.target.startswith("a") for pair in pairs)


def test_a_beam_is_a_beam(reverse: Checkpoint) -> None:
    """Both searches report the same loss; noisy models get different pairs right."""
    found = []
    for noise in (0.03, 0.04, 0.05, 0.06):
        weak = near(reverse, 3, noise)
        task = task_of(weak)
        pairs = task.held_out(100)
        greedy, beam = (
            list(evaluating(weak, task, pairs, by_beam_size(size, 0.6)))[-1] for size in (1, 4)
        )
        assert isinstance(greedy, Evaluation)
        assert isinstance(beam, Evaluation)
        assert (greedy.beam, beam.beam) == (1, 4)
        assert greedy.loss == beam.loss
        found.append((greedy.right, beam.right))
    assert any(one != other for one, other in found)


def test_pairs_of_ones_own_are_all_scored_or_refused(tmp_path: Path) -> None:
    data = DataConfig(task="pairs", tokens="characters", held_out=0.3)
    task = build_task(data, SEVEN_PAIRS)
    sizes = [len(task.source_vocabulary), len(task.target_vocabulary)]
    model = wild_model(source_vocab_size=sizes[0], target_vocab_size=sizes[1], max_length=256)
    made = Checkpoint.of(
        model, task.source_vocabulary, task.target_vocabulary, data, None, task.held_out(1)
    )
    assert len(held_out(made, task_of(made, SEVEN_PAIRS))) == 2
    assert evaluate(made, SEVEN_PAIRS).examples == 2
    with pytest.raises(TaskError, match="needs a file"):
        evaluate(made)
    imported = Checkpoint(replace(made.header, data=DataConfig(task="imported")), made.tensors)
    with pytest.raises(TaskError, match="trained elsewhere"):
        evaluate(imported)


# --- what a run keeps, and the command line -------------------------------------------------------


def test_a_run_keeps_its_last_five_and_their_curve(run: Run) -> None:
    kept = [int(path.stem.removeprefix("step-")) for path in run.checkpoints()]
    assert kept[0] == 0
    assert kept[-5:] == [8, 9, 10, 11, 12]
    states = sorted(path.name for path in (run.path / "checkpoints").glob("*.state.safetensors"))
    assert states == ["step-11.state.safetensors", "step-12.state.safetensors"]
    summary = Checkpoint.load(run.checkpoints()[-1]).summary
    assert summary is not None
    evaluated = by_step(run.metrics(), "eval")
    assert summary.curve == [
        [step, found.loss, found.exact_match] for step, found in evaluated.items()
    ]
    assert [point[0] for point in summary.curve] == [0, 2, 4, 6, 8, 10, 12]
    assert summary.curve[0][1] == summary.untrained_loss
    assert summary.curve[-1][1] == summary.loss


def test_the_commands_score_and_average(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    members = [str(path) for path in run.checkpoints()[-3:]]
    out = tmp_path / "average.safetensors"
    assert main(["average", *members, str(out), "--examples", "20", "--json"]) == 0
    said = capsys.readouterr()
    told = json.loads(said.out)
    assert told["checkpoint"] == str(out)
    assert [one["examples"] for one in told["members"]] == [20, 20, 20]
    assert told["verdict"] in said.err
    assert main(["evaluate", str(out), "--examples", "20", "--json"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert again["loss"] == pytest.approx(told["average"]["loss"], rel=1e-6)
    assert again["exact_match"] == told["average"]["exact_match"]
    assert main(["evaluate", str(out)]) == 0
    assert "of 20 held-out pairs (greedy)" in capsys.readouterr().out
    assert main(["verify", str(out)]) == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["evaluate", "x.safetensors", "--beam", "0"], "--beam 0"),
        (["evaluate", "x.safetensors", "--examples", "0"], "--examples 0"),
        (["evaluate", "x.safetensors"], "could not be read"),
        (["average", str(bundled_file("reverse")), "out.safetensors"], "2 to 20"),
    ],
)
def test_wrong_use_is_said_in_a_sentence(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 1
    assert said in capsys.readouterr().err


def test_a_checkpoint_in_a_run_finds_its_pairs(tmp_path: Path) -> None:
    _, config = prepare("pairs", "overfit", pairs=SEVEN_PAIRS, training={"steps": 1})
    made = create_run(config, pairs=SEVEN_PAIRS, root=tmp_path)
    assert own_pairs(made.path / "checkpoints" / "step-1.safetensors") == made.data_file
    assert own_pairs(tmp_path / "step-1.safetensors") is None


def test_a_count_in_a_file_is_believed_up_to_a_bound(reverse: Checkpoint) -> None:
    """A file that claims 10^14 scored pairs has at most MOST_GENERATED drawn."""
    summary = replace(reverse.summary, examples=10**14)  # type: ignore[type-var]
    forged = Checkpoint(replace(reverse.header, summary=summary, sha256=""), reverse.tensors)
    asked: list[int] = []

    class Counting(Reverse):
        def held_out(self, count: int) -> list[Pair]:
            asked.append(count)
            return super().held_out(min(count, 5))

    assert len(held_out(forged, Counting(forged.header.data))) == 5
    assert asked == [MOST_GENERATED]
