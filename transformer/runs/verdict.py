"""The verdict on a run, in a sentence: did it learn, and if not, what to do. Loads no torch.

It follows from the run's metrics, the evidence for the three goals, and the findings of the
health check: see :func:`verdict_of`.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from transformer.config import RunConfig
from transformer.runs.directory import ENDED, Run
from transformer.runs.facts import RunFacts
from transformer.runs.goals import FAILED, PASSED, PENDING, UNMEASURED, read_goals
from transformer.runs.health import read_health
from transformer.runs.metrics import by_step
from transformer.tasks.presets import PRESETS, defaults

KINDS = {
    "learned": "good",
    "memorised": "good",
    "partly": "doubt",
    "not learned": "bad",
    "diverged": "bad",
    "failed": "bad",
    "running": "note",
    "stopped": "note",
    "too few": "none",
    "unmeasured": "none",
}
"""Kind of a verdict -> its tone."""
SIGNS = {"good": "✓", "doubt": "◐", "bad": "✗", "note": "…", "none": "○"}
"""Tone -> a sign that needs no colour: reached, partly, not reached, so far, nothing to judge."""
LEARNED_SHARE, PARTLY_SHARE = 0.9, 0.5
"""Smallest shares of a task's reachable score for "learned" and for "partly learned"."""
STILL_FALLING_RATIO = 0.85
"""Loss counts as still falling below this share of its value at two thirds of the run."""
MEMORISED_RATIO = 0.25
"""A training loss below this share of the held-out loss shows that pairs were memorised."""
RISING_RATIO = 1.1
"""Held-out loss counts as rising once it exceeds its minimum by this factor."""
LOW_TRAINING_LOSS = 0.3
"""Low training loss, in nats per token: tokens of training pairs get about 75 % probability."""
FEW_UPDATES = 1000
HIGH_RATE_FACTOR = 4
"""A learning rate this many times the preset's, or more, is named if a run did not learn all."""
NAMED_GUESS_SHARE = 0.05
"""The score of guessing is named from this share of right answers on."""
TOO_HIGH = "The learning rate is too high"
OVERFIT = "The overfit check"
"""How the sentence of one finding, and the name of another, begin: the first is reported before all
others; the second after them, since they say why the overfit check fails."""


@dataclass(frozen=True)
class Verdict:
    """What a good teacher would say about a run.

    kind: one of KINDS.
    sentence: the result and, if it did not learn, why.
    advice: what to do next; empty if nothing.
    """

    kind: str
    sentence: str
    advice: str = ""

    @property
    def tone(self) -> str:
        """One of :data:`SIGNS`: "good", "doubt", "bad", "note" or "none"."""
        return KINDS[self.kind]

    @property
    def sign(self) -> str:
        return SIGNS[self.tone]

    @property
    def next_step(self) -> str:
        """The last sentence of the advice; those before it say why."""
        return self.advice.rpartition(". ")[2]

    def __str__(self) -> str:
        return f"{self.sentence} {self.advice}".rstrip()

    def to_dict(self) -> dict[str, str]:
        return asdict(self)


def verdict_of(run: Run, config: RunConfig | None = None) -> Verdict:
    """The verdict on a run from the present contents of its directory.

    Raises:
        RunError: the directory holds no valid config.
    """
    records = run.metrics()
    return verdict(
        RunFacts.of(
            config or run.config(),
            run.status(),
            by_step(records, "train"),
            by_step(records, "eval"),
            read_goals(run.path),
            read_health(run.path),
        )
    )


def verdict(facts: RunFacts) -> Verdict:
    """The verdict that follows from the facts about a run."""
    status = facts.status
    if status.state == "failed":
        return Verdict("failed", f"Failed: {lowered(status.reason or 'the trainer ended.')}")
    if status.state == "diverged":
        return _diverged(facts)
    if status.state not in ENDED:
        return _unfinished(facts)
    if not facts.trained:
        return Verdict(
            "unmeasured",
            f"Stopped at step {status.step:,}, before anything was measured after the first "
            "update.",
            "Copy its settings to the form and train again.",
        )
    if facts.on_training_pairs:
        return _own_pairs(facts)
    if facts.too_few:
        return _too_few(facts)
    return _held_out(facts)


RATE = re.compile(r"(?:Lower|Raise) it to about (\S+) and train again")
WARMUP = re.compile(r"Give it a warm-up of (\d+) updates and train again")


def advised_settings(found: Verdict, config: RunConfig) -> dict[str, float | int]:
    """The training settings that the advice would change, with their new values; empty if it
    advises something else."""
    if rate := RATE.search(found.advice):
        return {"learning_rate": float(rate[1])}
    if warmup := WARMUP.search(found.advice):
        return {"warmup_steps": int(warmup[1])}
    if found.advice.startswith("Lower the learning rate"):
        return {"learning_rate": config.training.learning_rate / 2}
    return {}


def score_in_words(share: float, own: bool) -> str:
    """A score to show beside a model's name, in the same words everywhere: "99.9 % right".

    Args:
        own: whether it was measured on the model's training pairs: then they are "memorised",
            which tells nothing about other inputs.
    """
    return f"{_percent(share)} {'memorised' if own else 'right'}"


# --- Before the end --------------------------------------------------------------------------


def _unfinished(facts: RunFacts) -> Verdict:
    state, steps = facts.status.state, facts.config.training.steps
    step = max([facts.status.step, facts.last.step, *(int(point[0]) for point in facts.train[-1:])])
    if not facts.trained:
        waiting = {"queued": "Waiting for a trainer.", "paused": "Paused before the first score."}
        return Verdict("unmeasured", waiting.get(state, "Nothing is measured yet."))
    where = {"paused": "Paused at step", "interrupted": "Interrupted at step"}.get(state, "Step")
    said = f"{where} {step:,} of {steps:,}: {_score(facts)} so far{_untrained_score(facts)}."
    advice = {
        "paused": "Resume to go on from here.",
        "interrupted": "Resume to go on from the last snapshot.",
    }
    return Verdict("running", said, advice.get(state, ""))


def _diverged(facts: RunFacts) -> Verdict:
    last = int(facts.train[-1][0]) if facts.train else facts.status.step
    cause, advice = _cause(facts, "Loss and gradient finite")
    return Verdict(
        "diverged",
        f"Diverged after update {last:,}, where the loss was no longer a number"
        f"{f': {cause}' if cause else ''}.",
        advice or "Lower the learning rate and train again.",
    )


# --- After the end ---------------------------------------------------------------------------


def _own_pairs(facts: RunFacts) -> Verdict:
    """The verdict if nothing is held out, so that a run can only show that it memorised."""
    if facts.right == facts.examples:
        which = "its only pair" if facts.examples == 1 else f"all {facts.examples:,} pairs"
        advice = (
            ""
            if facts.config.preset == "overfit"
            else "To see whether it generalises, hold some pairs out."
        )
        return _unless_alarmed(
            facts, Verdict("memorised", f"Memorised {which}; nothing was held out.", advice)
        )
    if facts.right >= PARTLY_SHARE * facts.examples:
        said = f"Memorised {facts.right:,} of {facts.examples:,} pairs; nothing was held out."
        return Verdict("partly", said, _why_not_all(facts))
    return _not_learned(facts)


def _too_few(facts: RunFacts) -> Verdict:
    count = facts.examples
    said = (
        f"{facts.right} of {count} unseen input{'' if count == 1 else 's'} right: "
        f"{'one is' if count == 1 else f'{count} are'} too few to tell learning from luck."
    )
    return Verdict("too few", said, "Add more pairs, or hold more of them out.")


def _held_out(facts: RunFacts) -> Verdict:
    share, reach = facts.last.exact_match or 0.0, facts.reach
    if not facts.better_than_chance or share < PARTLY_SHARE * reach:
        return _not_learned(facts)
    if share >= LEARNED_SHARE * reach:
        known = (
            "" if reach == 1 else f"; the best known model of this task gets {100 * reach:.0f} %"
        )
        said = f"Learned: {_count(facts)} right{_untrained_score(facts, known)}."
        return _unless_alarmed(facts, Verdict("learned", said))
    said = f"Partly learned: {_score(facts)}{_untrained_score(facts)}."
    return _unless_alarmed(facts, Verdict("partly", said, _why_not_all(facts)))


def _not_learned(facts: RunFacts) -> Verdict:
    """The verdict with the reason why it did not learn: what the checks found, else the curve."""
    cause, advice = _cause(facts)
    hardly = facts.better_than_chance
    start = "Hardly learned" if hardly else "Not learned"
    if _stopped_early(facts):
        where = f"Stopped at step {facts.last.step:,} of {facts.config.training.steps:,}"
        return Verdict("stopped", f"{where}: {_score(facts)} so far.", "Continue training.")
    if cause:
        return Verdict(
            "not learned", f"{start}: {_score(facts)}{_guessing_score(facts)}: {cause}.", advice
        )
    if _memorises(facts):
        return Verdict(
            "not learned",
            f"Memorised, not learned: {_score(facts)}, while its training pairs are predicted "
            "almost perfectly.",
            "It needs more pairs, or more dropout; a smaller model remembers less.",
        )
    if guess := "" if hardly else _guessing_score(facts):
        said = f"No better than chance: {_score(facts)}{guess}."
        advice = "Check that the source decides the target; if it does, train longer."
        return Verdict("not learned", said, advice)
    said = f"{start}: {_score(facts)}{_untrained_score(facts)}."
    return Verdict("not learned", said, _why_not_all(facts))


def _unless_alarmed(facts: RunFacts, found: Verdict) -> Verdict:
    """``found``, or a worse verdict if a check found a problem: that outweighs any score."""
    problems = [one for one in _alarms(facts) if one["state"] == "problem"]
    if not problems:
        return found
    cause = _first_clause(problems[0]["sentence"])
    return Verdict(
        "partly" if found.tone == "good" else found.kind,
        f"{found.sentence.rstrip('.')}; but a check failed: {lowered(cause)}.",
        _first_sentence(problems[0]["advice"]),
    )


def _why_not_all(facts: RunFacts) -> str:
    """Advice for a run that has learned something, but not all that it could."""
    if advice := _rate_far_above_the_preset(facts):
        return advice
    if _stopped_early(facts) or _still_falling(facts):
        return "It was still getting better: continue training."
    if _on_first_plateau(facts):
        return "It had too few updates: continue training."
    if _memorises(facts):
        return "It memorises its training pairs: use more pairs, or more dropout."
    return "It has stopped getting better: try a larger model, or more pairs."


def _rate_far_above_the_preset(facts: RunFacts) -> str:
    """Advice to lower a learning rate far above the preset's, before more updates are spent; empty
    if it is not."""
    config = facts.config
    if config.preset not in PRESETS:  # from another version
        return ""
    usual, rate = defaults(config.data.task, config.preset), config.training.learning_rate
    times = rate / usual["learning_rate"]
    if times < HIGH_RATE_FACTOR or config.training.optimizer != usual["optimizer"]:
        return ""
    return (
        f"Its learning rate, {rate:g}, is {times:.0f} times the preset's. Lower it to about "
        f"{usual['learning_rate']:g} and train again."
    )


# --- What the numbers say ----------------------------------------------------------------------


def _alarms(facts: RunFacts) -> list[Mapping[str, str]]:
    """The alarms of the health check: a too high learning rate first, since it affects what all
    others measure, and the overfit check last."""
    alarms = facts.health.alarms if facts.health else []
    return sorted(
        alarms,
        key=lambda one: (not one["sentence"].startswith(TOO_HIGH), one["name"].startswith(OVERFIT)),
    )


def _cause(facts: RunFacts, name: str = "") -> tuple[str, str]:
    """The cause in a few words, and what to do; both empty if no check found anything.

    A finding begins with the cause; the first sentence of its advice says what to do.

    Args:
        name: the finding to use, if there is one of that name.
    """
    alarms = _alarms(facts)
    found = next((one for one in alarms if one["name"] == name), alarms[0] if alarms else None)
    if found is None:
        return "", ""
    return lowered(_first_clause(found["sentence"])), _first_sentence(found["advice"])


def _first_sentence(text: str) -> str:
    sentence, stop, _ = text.partition(". ")
    return f"{sentence}." if stop else sentence


def _first_clause(text: str) -> str:
    return _first_sentence(text).partition(": ")[0].rstrip(".")


def lowered(sentence: str) -> str:
    """A sentence with its first letter in lower case, to be used inside another."""
    return sentence[:1].lower() + sentence[1:]


def _stopped_early(facts: RunFacts) -> bool:
    return facts.status.state == "stopped" and facts.last.step < facts.config.training.steps


def _still_falling(facts: RunFacts) -> bool:
    """Whether the loss was still falling in the last third."""
    if len(facts.evaluations) < 3:
        return True
    step, now = facts.evaluations[-1]
    before = next(loss for at, loss in reversed(facts.evaluations) if at <= 2 / 3 * step)
    return now < STILL_FALLING_RATIO * before


def _on_first_plateau(facts: RunFacts) -> bool:
    """Whether it knows little more than token frequencies after few updates: a usual plateau."""
    unigram, loss = facts.first.unigram, facts.last.loss
    if unigram is None or loss is None or facts.last.step >= FEW_UPDATES:
        return False
    return loss > 0.5 * unigram


def _memorises(facts: RunFacts) -> bool:
    """Whether the loss is low on training pairs, and much higher and rising on held-out ones."""
    if not facts.train or facts.last.loss is None or facts.on_training_pairs:
        return False
    losses = sorted(loss for _, loss in facts.train[-max(5, len(facts.train) // 8) :])
    train, best = losses[len(losses) // 2], min(loss for _, loss in facts.evaluations)
    rises = facts.last.loss > RISING_RATIO * best  # else the batches may just have easier pairs
    return rises and train < LOW_TRAINING_LOSS and train < MEMORISED_RATIO * facts.last.loss


def _count(facts: RunFacts) -> str:
    return f"{facts.right:,} of {facts.examples:,} {facts.inputs}"


def _score(facts: RunFacts) -> str:
    """The score in words: a percentage of many examples, a count of few."""
    if facts.examples <= 50:
        return f"{_count(facts)} right"
    return f"{_percent(facts.last.exact_match or 0.0)} of {facts.examples:,} {facts.inputs} right"


def _guessing_score(facts: RunFacts) -> str:
    """The score of guessing without the source, in brackets; empty if it is small."""
    guess = facts.first.guess or 0.0
    return (
        f" (guessing alone: {_percent(guess)})"
        if guess >= NAMED_GUESS_SHARE and not facts.on_training_pairs
        else ""
    )


def _untrained_score(facts: RunFacts, more: str = "") -> str:
    """The score of the untrained model, in brackets."""
    if facts.first.exact_match is None:
        return f" ({more.removeprefix('; ')})" if more else ""
    if not facts.first.exact_match:
        return f" (untrained: 0{more})"
    return f" (untrained: {_percent(facts.first.exact_match)}{more})"


def _percent(share: float) -> str:
    """A share as a percentage with one decimal, never rounded up to 100 %."""
    if 0.9995 <= share < 1:
        return "99.9 %"
    return f"{share:.1%}".replace(".0%", "%").replace("%", " %")


# --- The three goals ---------------------------------------------------------------------------


def beats_untrained(facts: RunFacts, baselines: Sequence[float]) -> tuple[str, str]:
    """State of goal 2, and the evidence in a sentence.

    Args:
        baselines: losses to beat, the untrained model's among them.
    """
    where = "the pairs it learns" if facts.on_training_pairs else "held-out pairs"
    if not facts.trained or facts.last.loss is None:
        if facts.ended:
            return UNMEASURED, f"no score on {where} after the first update."
        return PENDING, f"There is no score on {where} after the first update yet."
    lower = facts.last.loss < min(baselines)
    if lower and facts.better_than_chance:
        return PASSED, f"lower loss, and more answers right than chance explains, on {where}."
    last, before = facts.last.loss, facts.evaluations[0][1]
    loss = f"{last:.3g}" if last < 1000 else f"{last:,.0f}"
    if last > before:
        story = f"the loss on {where}, {loss}, is higher than the untrained model's, {before:.3g}."
    elif not lower:
        story = f"the loss on {where}, {loss}, must be below {min(baselines):.3g}."
    elif facts.needed is None:
        few = "one pair is" if facts.examples == 1 else f"{facts.examples} pairs are"
        story = f"{few} too few to tell it from luck."
    else:
        story = (
            f"the loss is lower, but {facts.right:,} of {facts.examples:,} answers right may be "
            f"chance; {facts.needed:,} would not be."
        )
    return FAILED if facts.ended else PENDING, story
