"""The verdict on a run, in a sentence: did it learn, and if not, what to do. Loads no torch.

It follows from what the run measured, from the evidence for the three goals, and from what the
health check found: see :func:`verdict_of`.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from transformer.config import RunConfig
from transformer.runs.checked import read_checked
from transformer.runs.directory import ENDED, Run
from transformer.runs.goals import FAILED, PASSED, PENDING, UNMEASURED, read_goals
from transformer.runs.metrics import by_step
from transformer.runs.seen import Seen
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
"""What a verdict can be, and how it is meant."""
SIGNS = {"good": "✓", "doubt": "◐", "bad": "✗", "note": "…", "none": "○"}
"""How it is meant, told without colour: reached, partly, not reached, so far, nothing to go by."""
WELL, HALF = 0.9, 0.5
"""Shares of what a task can reach from which a run has learned it, and has learned it partly."""
STILL_FALLING = 0.85
"""The loss fell below this share of what it was at two thirds of the run."""
REMEMBERED = 0.25
"""A training loss below this share of the held-out loss shows that pairs were memorised."""
RISEN = 1.1
"""So many times its lowest, the held-out loss is rising."""
LOW = 0.3
"""In nats per token: each token of a training pair is given about 75 % or more."""
FEW_UPDATES = 1000
FAR_ABOVE = 4
"""So many times the preset's learning rate is worth naming where a run did not learn all."""
GUESSABLE = 0.05
"""A share of answers that a guess gets right which is worth naming."""
TOO_HIGH = "The learning rate is too high"
OVERFIT = "The overfit check"
"""Begin the sentence of the finding that is named first, and the name of the one named last: what
makes the overfit check fail is named elsewhere."""


@dataclass(frozen=True)
class Verdict:
    """What a good teacher would say of a run.

    kind: one of KINDS.
    sentence: what it came to and, where it did not learn, why.
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
        """The last sentence of the advice; what stands before it says why."""
        return self.advice.rpartition(". ")[2]

    def __str__(self) -> str:
        return f"{self.sentence} {self.advice}".rstrip()

    def to_dict(self) -> dict[str, str]:
        return asdict(self)


def verdict_of(run: Run, config: RunConfig | None = None) -> Verdict:
    """The verdict on a run as its directory stands.

    Raises:
        RunError: the directory holds no valid config.
    """
    records = run.metrics()
    return verdict(
        Seen.of(
            config or run.config(),
            run.status(),
            by_step(records, "train"),
            by_step(records, "eval"),
            read_goals(run.path),
            read_checked(run.path),
        )
    )


def verdict(seen: Seen) -> Verdict:
    """The verdict on what is known of a run."""
    status = seen.status
    if status.state == "failed":
        return Verdict("failed", f"Failed: {lowered(status.reason or 'the trainer ended.')}")
    if status.state == "diverged":
        return _diverged(seen)
    if status.state not in ENDED:
        return _unfinished(seen)
    if not seen.trained:
        return Verdict(
            "unmeasured",
            f"Stopped at step {status.step:,}, before anything was measured after the first "
            "update.",
            "Copy its settings to the form and train again.",
        )
    if seen.own:
        return _own_pairs(seen)
    if seen.too_few:
        return _too_few(seen)
    return _held_out(seen)


RATE = re.compile(r"(?:Lower|Raise) it to about (\S+) and train again")
WARMUP = re.compile(r"Give it a warm-up of (\d+) updates and train again")


def advised_settings(found: Verdict, config: RunConfig) -> dict[str, float | int]:
    """The settings of training that the advice would change, and their values; none if it asks
    for something else."""
    if rate := RATE.search(found.advice):
        return {"learning_rate": float(rate[1])}
    if warmup := WARMUP.search(found.advice):
        return {"warmup_steps": int(warmup[1])}
    if found.advice.startswith("Lower the learning rate"):
        return {"learning_rate": config.training.learning_rate / 2}
    return {}


def score_in_words(share: float, own: bool) -> str:
    """A score beside a model's name, the same wherever it stands: "99.9 % right".

    Args:
        own: whether it was measured on the very pairs that the model learned: then it says how
            many are memorised, and nothing of other inputs.
    """
    return f"{_percent(share)} {'memorised' if own else 'right'}"


# --- Before the end --------------------------------------------------------------------------


def _unfinished(seen: Seen) -> Verdict:
    state, steps = seen.status.state, seen.config.training.steps
    step = max([seen.status.step, seen.last.step, *(int(point[0]) for point in seen.train[-1:])])
    if not seen.trained:
        waiting = {"queued": "Waiting for a trainer.", "paused": "Paused before the first score."}
        return Verdict("unmeasured", waiting.get(state, "Nothing is measured yet."))
    where = {"paused": "Paused at step", "interrupted": "Interrupted at step"}.get(state, "Step")
    said = f"{where} {step:,} of {steps:,}: {_score(seen)} so far{_before(seen)}."
    advice = {
        "paused": "Resume to go on from here.",
        "interrupted": "Resume to go on from the last snapshot.",
    }
    return Verdict("running", said, advice.get(state, ""))


def _diverged(seen: Seen) -> Verdict:
    last = int(seen.train[-1][0]) if seen.train else seen.status.step
    cause, advice = _cause(seen, "Loss and gradient finite")
    return Verdict(
        "diverged",
        f"Diverged after update {last:,}, where the loss was no longer a number"
        f"{f': {cause}' if cause else ''}.",
        advice or "Lower the learning rate and train again.",
    )


# --- After the end ---------------------------------------------------------------------------


def _own_pairs(seen: Seen) -> Verdict:
    """Nothing is held out: what it can show is that it remembers."""
    if seen.right == seen.examples:
        which = "its only pair" if seen.examples == 1 else f"all {seen.examples:,} pairs"
        advice = (
            ""
            if seen.config.preset == "overfit"
            else "To see whether it generalises, hold some pairs out."
        )
        return _unless_alarmed(
            seen, Verdict("memorised", f"Memorised {which}; nothing was held out.", advice)
        )
    if seen.right >= HALF * seen.examples:
        said = f"Memorised {seen.right:,} of {seen.examples:,} pairs; nothing was held out."
        return Verdict("partly", said, _why_not_all(seen))
    return _not_learned(seen)


def _too_few(seen: Seen) -> Verdict:
    count = seen.examples
    said = (
        f"{seen.right} of {count} unseen input{'' if count == 1 else 's'} right: "
        f"{'one is' if count == 1 else f'{count} are'} too few to tell learning from luck."
    )
    return Verdict("too few", said, "Bring more pairs, or hold more of them out.")


def _held_out(seen: Seen) -> Verdict:
    share, reach = seen.last.exact_match or 0.0, seen.reach
    if not seen.better_than_chance or share < HALF * reach:
        return _not_learned(seen)
    if share >= WELL * reach:
        known = (
            "" if reach == 1 else f"; the best known model of this task gets {100 * reach:.0f} %"
        )
        said = f"Learned: {_count(seen)} right{_before(seen, known)}."
        return _unless_alarmed(seen, Verdict("learned", said))
    said = f"Partly learned: {_score(seen)}{_before(seen)}."
    return _unless_alarmed(seen, Verdict("partly", said, _why_not_all(seen)))


def _not_learned(seen: Seen) -> Verdict:
    """Why it did not learn: what the checks found, else what the curve says."""
    cause, advice = _cause(seen)
    hardly = seen.better_than_chance
    start = "Hardly learned" if hardly else "Not learned"
    if _early(seen):
        said = (
            f"Stopped at step {seen.last.step:,} of {seen.config.training.steps:,}: {_score(seen)}"
        )
        return Verdict("stopped", f"{said} so far.", "Continue training.")
    if cause:
        return Verdict("not learned", f"{start}: {_score(seen)}{_guessed(seen)}: {cause}.", advice)
    if _remembers(seen):
        return Verdict(
            "not learned",
            f"Memorised, not learned: {_score(seen)}, while its training pairs are predicted "
            "almost perfectly.",
            "It needs more pairs, or more dropout; a smaller model remembers less.",
        )
    if guess := "" if hardly else _guessed(seen):
        said = f"No better than chance: {_score(seen)}{guess}."
        advice = "Check that the source decides the target; if it does, train longer."
        return Verdict("not learned", said, advice)
    said = f"{start}: {_score(seen)}{_before(seen)}."
    return Verdict("not learned", said, _why_not_all(seen))


def _unless_alarmed(seen: Seen, found: Verdict) -> Verdict:
    """A check that found a problem is worth more than a score."""
    problems = [one for one in _alarms(seen) if one["state"] == "problem"]
    if not problems:
        return found
    cause = _first_clause(problems[0]["sentence"])
    return Verdict(
        "partly" if found.tone == "good" else found.kind,
        f"{found.sentence.rstrip('.')}; but a check failed: {lowered(cause)}.",
        _first_sentence(problems[0]["advice"]),
    )


def _why_not_all(seen: Seen) -> str:
    """Advice where something is learned, and not all that can be."""
    if advice := _far_above_the_preset(seen):
        return advice
    if _early(seen) or _still_falling(seen):
        return "It was still getting better: continue training."
    if _at_the_start(seen):
        return "So few updates are hardly enough: continue training."
    if _remembers(seen):
        return "It memorises its training pairs: bring more pairs, or more dropout."
    return "It has stopped getting better: try a larger model, or more pairs."


def _far_above_the_preset(seen: Seen) -> str:
    """A rate that a person has raised so far is named before more updates are spent on it."""
    config = seen.config
    if config.preset not in PRESETS:  # of another version
        return ""
    usual, rate = defaults(config.data.task, config.preset), config.training.learning_rate
    times = rate / usual["learning_rate"]
    if times < FAR_ABOVE or config.training.optimizer != usual["optimizer"]:
        return ""
    return (
        f"Its learning rate, {rate:g}, is {times:.0f} times the preset's. Lower it to about "
        f"{usual['learning_rate']:g} and train again."
    )


# --- What the numbers say ----------------------------------------------------------------------


def _alarms(seen: Seen) -> list[Mapping[str, str]]:
    """What the checks found: a rate too high first, which ruins what the others look at, and the
    overfit check last."""
    alarms = seen.checked.alarms if seen.checked else []
    return sorted(
        alarms,
        key=lambda one: (not one["sentence"].startswith(TOO_HIGH), one["name"].startswith(OVERFIT)),
    )


def _cause(seen: Seen, name: str = "") -> tuple[str, str]:
    """What is wrong in a few words, and what to do; empty if no check found anything.

    Each finding says its cause first, and what to do in the first sentence of its advice.

    Args:
        name: the finding that counts, if there is one of that name.
    """
    alarms = _alarms(seen)
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
    """A sentence as it stands inside another."""
    return sentence[:1].lower() + sentence[1:]


def _early(seen: Seen) -> bool:
    return seen.status.state == "stopped" and seen.last.step < seen.config.training.steps


def _still_falling(seen: Seen) -> bool:
    """Whether the loss was still falling in the last third."""
    if len(seen.evaluations) < 3:
        return True
    step, now = seen.evaluations[-1]
    before = next(loss for at, loss in reversed(seen.evaluations) if at <= 2 / 3 * step)
    return now < STILL_FALLING * before


def _at_the_start(seen: Seen) -> bool:
    """Whether it knows little more than frequencies after few updates: there is a plateau."""
    unigram, loss = seen.first.unigram, seen.last.loss
    if unigram is None or loss is None or seen.last.step >= FEW_UPDATES:
        return False
    return loss > 0.5 * unigram


def _remembers(seen: Seen) -> bool:
    """Whether training pairs cost almost nothing, and others much."""
    if not seen.train or seen.last.loss is None or seen.own:
        return False
    losses = sorted(loss for _, loss in seen.train[-max(5, len(seen.train) // 8) :])
    train, best = losses[len(losses) // 2], min(loss for _, loss in seen.evaluations)
    rises = seen.last.loss > RISEN * best  # else the batches are only of easier pairs
    return rises and train < LOW and train < REMEMBERED * seen.last.loss


def _count(seen: Seen) -> str:
    return f"{seen.right:,} of {seen.examples:,} {seen.inputs}"


def _score(seen: Seen) -> str:
    """A share of many, a count of few."""
    if seen.examples <= 50:
        return f"{_count(seen)} right"
    return f"{_percent(seen.last.exact_match or 0.0)} of {seen.examples:,} {seen.inputs} right"


def _guessed(seen: Seen) -> str:
    """What a guess without the source gets, in brackets, where that is worth naming."""
    guess = seen.first.guess or 0.0
    return f" (guessing alone: {_percent(guess)})" if guess >= GUESSABLE and not seen.own else ""


def _before(seen: Seen, more: str = "") -> str:
    """What the untrained model gets, in brackets."""
    if seen.first.exact_match is None:
        return f" ({more.removeprefix('; ')})" if more else ""
    if not seen.first.exact_match:
        return f" (untrained: 0{more})"
    return f" (untrained: {_percent(seen.first.exact_match)}{more})"


def _percent(share: float) -> str:
    """Never rounded to all or nothing."""
    if 0.9995 <= share < 1:
        return "99.9 %"
    return f"{share:.1%}".replace(".0%", "%").replace("%", " %")


# --- The three goals ---------------------------------------------------------------------------


def beats_untrained(seen: Seen, baselines: Sequence[float]) -> tuple[str, str]:
    """Goal 2: its state, and what speaks for that in a sentence.

    Args:
        baselines: losses that must be undercut, the untrained model's among them.
    """
    where = "the pairs it learns" if seen.own else "held-out pairs"
    if not seen.trained or seen.last.loss is None:
        if seen.ended:
            return UNMEASURED, f"no score on {where} after the first update."
        return PENDING, f"The first score on {where} after the first update is to come."
    lower = seen.last.loss < min(baselines)
    if lower and seen.better_than_chance:
        return PASSED, f"lower loss, and more answers right than chance explains, on {where}."
    loss, before = f"{seen.last.loss:.3g}", seen.evaluations[0][1]
    if seen.last.loss > before:
        story = f"the loss on {where}, {loss}, is higher than the untrained model's, {before:.3g}."
    elif not lower:
        story = f"the loss on {where}, {loss}, would have to be below {min(baselines):.3g}."
    elif seen.needed is None:
        story = f"{seen.examples} pairs are too few to tell it from luck."
    else:
        story = (
            f"the loss is lower, but {seen.right:,} of {seen.examples:,} answers right may be "
            f"chance; {seen.needed:,} would not be."
        )
    return FAILED if seen.ended else PENDING, story
