"""Verdicts on recorded runs: ``tests.support.record_verdicts`` trains them again."""

import math
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.record_verdicts import CASES, INTO
from transformer.config import RunConfig
from transformer.runs.chance import binomial_p_value, fisher_p_value
from transformer.runs.directory import Run, Status
from transformer.runs.facts import RunFacts
from transformer.runs.goals import FAILED, PASSED, PENDING, UNMEASURED, read_goals
from transformer.runs.health import HealthCheck, read_health, write_health
from transformer.runs.metrics import by_step
from transformer.runs.verdict import (
    PARTLY_SHARE,
    Verdict,
    advised_settings,
    beats_untrained,
    score_in_words,
    verdict,
    verdict_of,
)

SAID = {  # run -> kind of verdict, words of its sentence, words of its advice
    "healthy": ("learned", "Learned: 489 of 500 unseen inputs right (untrained: 0).", ""),
    "healthy-until-a-loss": ("learned", "Learned: 482 of 500 unseen inputs right", ""),
    "stopped-half-way": ("stopped", "Stopped at step 500 of 2,000: 47.4 %", "Continue training."),
    "memorised": ("memorised", "Memorised all 12 pairs; nothing was held out.", ""),
    "memorised-three-pairs": ("memorised", "Memorised all 3 pairs; nothing was held out.", ""),
    "memorised-half": ("not learned", "0 of 12 of its training pairs right", "continue"),
    "memorised-not-learned": ("not learned", "the model memorises its pairs", "more pairs"),
    "one-pair-held-out": ("too few", "one is too few to tell learning from luck", "more pairs"),
    "rate-too-high": ("not learned", "the learning rate is too high", "Lower it to about 0.003"),
    "rate-too-low": ("not learned", "the learning rate is too low", "Raise it to about 0.003"),
    "no-warm-up": ("not learned", "there is no warm-up", "Give it a warm-up of 100"),
    "diverged": ("diverged", "the learning rate is too high", "Lower it"),
    "stopped-early": ("stopped", "Stopped at step 60 of 400", "Continue training."),
    "stopped-before-a-score": ("unmeasured", "before anything was measured", "train again"),
    "too-few-updates": ("not learned", "Not learned: 0 % of 500", "continue training"),
    "partly-learned": ("not learned", "Hardly learned: 36.8 % of 500", "continue training"),
    "coins": ("not learned", "36.7 % of 60 unseen inputs right (guessing alone: 50 %)", ""),
    "parity": ("not learned", "51.9 % of 77 unseen inputs right (guessing alone: 49.4 %)", ""),
    "no-causal-mask": ("not learned", "a mask is missing", "Fill the scores of masked keys"),
    "no-source-padding-mask": ("partly", "but a check failed: a mask is missing", "Fill"),
    "softmax-over-queries": ("not learned", "softmax over the wrong axis", "last axis"),
    "targets-not-shifted": ("not learned", "see the token it has to predict", "Feed it <bos>"),
}


def run_facts(name: str) -> RunFacts:
    run = Run(INTO / name)
    records = run.metrics()
    return RunFacts.of(
        run.config(),
        run.status(),
        by_step(records, "train"),
        by_step(records, "eval"),
        read_goals(run.path),
        read_health(run.path),
    )


def test_a_rate_far_above_the_presets_is_named_before_more_updates() -> None:
    facts = run_facts("too-few-updates")
    config = facts.config
    raised = replace(config, training=config.training.replace(learning_rate=0.04, optimizer="muon"))
    found = verdict(replace(facts, config=raised))
    assert found.advice == (
        "Its learning rate, 0.04, is 10 times the preset's. Lower it to about 0.004 and train "
        "again."
    )
    assert found.next_step == "Lower it to about 0.004 and train again."
    assert advised_settings(found, raised) == {"learning_rate": 0.004}
    adam = replace(raised, training=raised.training.replace(optimizer="adam"))
    for other in (adam, replace(raised, preset="of another version")):
        assert "continue training" in verdict(replace(facts, config=other)).advice


def test_every_recorded_run_has_its_row() -> None:
    assert set(SAID) == set(CASES) == {path.name for path in INTO.iterdir()}


@pytest.mark.parametrize("name", SAID)
def test_a_run_is_told_as_a_good_teacher_would(name: str) -> None:
    kind, sentence, advice = SAID[name]
    found = verdict_of(Run(INTO / name))
    assert (found.kind, sentence in found.sentence) == (kind, True), found
    assert advice in found.advice, found
    # One or two plain sentences, without the numbers of a finding.
    assert found.sentence.endswith(".")
    assert len(str(found)) < 260


def test_advice_on_a_setting_says_which_and_its_value() -> None:
    found = {}
    for name in SAID:
        run = Run(INTO / name)
        if settings := advised_settings(verdict_of(run), run.config()):
            found[name] = settings
            assert run.config().training.replace(**settings) != run.config().training
    assert found.keys() == {"rate-too-high", "rate-too-low", "no-warm-up", "diverged"}
    assert found["rate-too-high"] == found["rate-too-low"] == {"learning_rate": 0.003}
    assert found["no-warm-up"] == {"warmup_steps": 100}
    config = run_facts("diverged").config
    assert found["diverged"]["learning_rate"] < config.training.learning_rate
    bare = Verdict("diverged", "Diverged.", "Lower the learning rate and train again.")
    half = config.training.learning_rate / 2
    assert advised_settings(bare, config) == {"learning_rate": half}


@pytest.mark.parametrize("name", SAID)
def test_nothing_is_green_below_half_of_what_its_task_can_reach(name: str) -> None:
    facts = run_facts(name)
    share, green = facts.last.exact_match or 0.0, verdict(facts).tone == "good"
    assert not (green and share < PARTLY_SHARE * facts.reach)
    # No other run is green, whatever its score: at the level of chance it has learned nothing.
    reached = ("healthy", "healthy-until-a-loss", "memorised", "memorised-three-pairs")
    assert green == (name in reached)
    if name in ("coins", "parity", "rate-too-high", "diverged", "one-pair-held-out"):
        assert goal_2(facts) != PASSED


def goal_2(facts: RunFacts) -> str:
    return beats_untrained(facts, baselines(facts))[0]


def baselines(facts: RunFacts) -> list[float]:
    uniform = math.log(facts.config.model.target_vocab_size)
    every = (facts.first.loss, facts.first.unigram, uniform)
    return [loss for loss in every if loss is not None]


def test_goal_2_says_how_much_was_missing() -> None:
    healthy = run_facts("healthy")
    first = replace(healthy.first, exact_match=0.0, examples=1000, guess=0.0033)
    few = replace(
        healthy, first=first, last=replace(healthy.last, exact_match=0.009, examples=1000)
    )
    needed = few.needed
    assert needed is not None
    assert few.is_significant_score(needed, 1000)
    assert not few.is_significant_score(needed - 1, 1000)
    said = beats_untrained(few, baselines(few))[1]
    assert f"9 of 1,000 answers right may be chance; {needed} would not be." in said
    high = replace(healthy, last=replace(healthy.last, loss=min(baselines(healthy)) + 0.01))
    assert f"must be below {min(baselines(high)):.3g}" in beats_untrained(high, baselines(high))[1]


def test_each_way_of_ending_has_a_sign_of_its_own() -> None:
    kinds = ("learned", "partly", "not learned", "running", "unmeasured")
    assert len({Verdict(kind, "").sign for kind in kinds}) == len(kinds)


def test_a_score_says_of_which_pairs_it_is() -> None:
    assert score_in_words(0.9996, own=False) == "99.9 % right"
    assert score_in_words(1.0, own=True) == "100 % memorised"


def test_a_few_answers_right_by_luck_beat_nothing() -> None:
    """9 of 1,000, where guessing gets 3, was once wrongly taken as proof."""
    healthy = run_facts("healthy")
    first = replace(healthy.first, exact_match=0.0, examples=1000, guess=0.0033)
    for right, state in ((9, FAILED), (14, PASSED)):
        last = replace(healthy.last, exact_match=right / 1000, examples=1000)
        assert goal_2(replace(healthy, first=first, last=last)) == state
        assert verdict(replace(healthy, first=first, last=last)).kind == "not learned"


def test_what_counts_is_what_the_task_can_reach() -> None:
    healthy = run_facts("healthy")
    data = healthy.config.data.replace(task="pronunciation")
    config = RunConfig("small", data, healthy.config.model, healthy.config.training)
    kinds = {}
    for share in (0.3, 0.4, 0.65):
        last = replace(healthy.last, exact_match=share)
        kinds[share] = verdict(replace(healthy, config=config, last=last)).kind
    assert kinds == {0.3: "not learned", 0.4: "partly", 0.65: "learned"}


def test_nothing_is_decided_while_nothing_is_measured() -> None:
    diverged = run_facts("diverged")
    unmeasured = replace(diverged, last=diverged.first)
    state, story = beats_untrained(unmeasured, [4.0])
    assert (state, "yet" in story) == (UNMEASURED, False)
    running = replace(unmeasured, status=Status("running"))
    assert beats_untrained(running, [4.0]) == (PENDING, story_of(running))
    assert verdict(running).kind == "unmeasured"


def story_of(facts: RunFacts) -> str:
    return "There is no score on held-out pairs after the first update yet."


@pytest.mark.parametrize(
    ("state", "says"),
    [("running", "Step 600 of 600"), ("paused", "Resume"), ("interrupted", "last snapshot")],
)
def test_a_run_under_way_is_told_by_its_score_so_far(state: str, says: str) -> None:
    facts = replace(run_facts("healthy"), status=Status(state, step=600))
    found = verdict(facts)
    assert found.kind == "running"
    assert says in str(found)
    assert "97.8 % of 500 unseen inputs right so far" in found.sentence


def test_a_failure_says_why() -> None:
    facts = replace(run_facts("healthy"), status=Status("failed", "There is no memory left."))
    assert str(verdict(facts)) == "Failed: there is no memory left."


# --- chance.py and health.py ------------------------------------------------------------------


def test_the_tests_of_chance_are_exact() -> None:
    assert fisher_p_value(7, 7, 0, 7) == pytest.approx(1 / math.comb(14, 7))
    # Of 10 right answers among 40, 8 or more fall into the 20 after training.
    tail = sum(math.comb(10, k) * math.comb(30, 20 - k) for k in range(8, 11))
    assert fisher_p_value(8, 20, 2, 20) == pytest.approx(tail / math.comb(40, 20))
    guessed = math.fsum(math.comb(12, k) * 0.3**k * 0.7 ** (12 - k) for k in range(7, 13))
    assert binomial_p_value(7, 12, 0.3) == pytest.approx(guessed)
    assert binomial_p_value(0, 12, 0.3) == binomial_p_value(3, 12, 1.0) == 1.0
    assert fisher_p_value(6000, 6302, 0, 6302) < 1e-300


def test_a_check_comes_back_as_it_was_kept_and_damage_is_none(tmp_path: Path) -> None:
    finding = {"name": "A", "state": "ok", "sentence": "<b>", "advice": ""}
    write_health(tmp_path, 7, [finding, finding | {"state": "waiting"}])
    found = read_health(tmp_path)
    assert found == HealthCheck(7, [finding, finding | {"state": "waiting"}])
    assert found.summary == "1 check passed, 1 still to be judged"
    assert HealthCheck(7, [finding] * 14).summary == "14 checks passed"
    for content in (b"", b"[]", b'{"step": "7", "findings": []}', b'{"step": 7, "findings": [{}]}'):
        (tmp_path / "health.json").write_bytes(content)
        assert read_health(tmp_path) is None


def test_a_check_of_an_earlier_step_is_none() -> None:
    facts = run_facts("healthy")
    assert facts.health is not None
    run = Run(INTO / "healthy")
    evaluations = by_step(run.metrics(), "eval")
    old = replace(facts.health, step=100)
    now = RunFacts.of(facts.config, facts.status, {}, evaluations, facts.goals, old)
    assert now.health is None
