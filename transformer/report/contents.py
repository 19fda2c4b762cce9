"""The content of a report on a run, as plain values, which a page shows and contains as JSON."""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from transformer.config import RunConfig
from transformer.config.names import name_of, shown
from transformer.errors import RunError
from transformer.report.document import FORMAT, VERSION
from transformer.runs.attention import AttentionHistory
from transformer.runs.comparison import PARTS
from transformer.runs.directory import ENDED_OR_FAILED, Run
from transformer.runs.goals import read_goals
from transformer.runs.metrics import History, Sample, first_and_last
from transformer.runs.snapshots import snapshots
from transformer.runs.table import task_of
from transformer.runs.verdict import Verdict, verdict_of

MOST_SENTENCES = 20
MOST_CHARACTERS = 10_000
"""Most characters of one of the user's answers in a report."""


@dataclass(frozen=True)
class Maps:
    """Every head's attention to one held-out example at the end of training.

    source: tokens that the encoder reads. read, written: the decoder's input and correct output.
    weights: kind -> [layer, head, query, key], in 255ths.
    """

    text: str
    source: tuple[str, ...]
    read: tuple[str, ...]
    written: tuple[str, ...]
    weights: dict[str, Any]


@dataclass(frozen=True)
class Report:
    """A run in full, except what concerns only this machine.

    made: the time in UTC. checksum: sha256 of the newest snapshot's weights; empty if none.
    goals: name -> passed, failed, pending or not measured.
    sentences: questions, each with the user's answer.
    """

    title: str
    author: str
    made: str
    task: str
    state: str
    verdict: Verdict
    steps: int
    seconds: float | None
    config: RunConfig
    checksum: str
    goals: dict[str, str]
    history: History
    answers: Sequence[Sample]
    errors: dict[str, int]
    maps: Maps | None
    sentences: Sequence[tuple[str, str]]

    @property
    def scores(self) -> dict[str, dict[str, float | None]]:
        """Loss and exact match before the first update, and at the last evaluation."""
        both = first_and_last(self.history.evaluations)
        return {
            name: {"loss": one.loss, "exact_match": one.exact_match}
            for name, one in zip(("untrained", "trained"), both, strict=True)
        }

    def to_dict(self) -> dict[str, Any]:
        """The content as JSON values, for the page: settings by part and name; curves of [step,
        loss] or [step, exact match]."""
        curves = self.history.curves(self.config)
        return {
            "format": FORMAT,
            "version": VERSION,
            **{name: getattr(self, name) for name in ("title", "author", "made", "task", "state")},
            "verdict": self.verdict.to_dict(),
            "steps": self.steps,
            "seconds": self.seconds,
            "preset": self.config.preset,
            "settings": {part: asdict(getattr(self.config, part)) for part, _ in PARTS},
            "seed": self.config.training.seed,
            "parameters": self.config.model.num_parameters,
            "checksum": self.checksum,
            "scores": self.scores,
            "goals": self.goals,
            "curves": {
                "training": [point[:2] for point in curves["train"]],
                "held_out_loss": curves["evaluation"],
                "held_out_exact_match": curves["exact"],
            },
            "answers": list(self.answers),
            "errors": self.errors,
            "sentences": [{"question": q, "answer": a} for q, a in self.sentences],
        }


def settings_in_words(config: RunConfig) -> list[tuple[str, str, str]]:
    """Every setting: (part, name, value), as the form writes them."""
    return [
        (part, name_of(name), shown(value))
        for part, _ in PARTS
        for name, value in asdict(getattr(config, part)).items()
    ]


def report_on(run: Run, *, author: str = "", sentences: Sequence[tuple[str, str]] = ()) -> Report:
    """Make a report from a run's directory.

    Args:
        author: who hands it in; default: the name in the run's about.json.
        sentences: (question, the user's answer); at most 20, of at most 10,000 characters.

    Raises:
        RunError: the directory holds no valid config, or a sentence is too long.
    """
    if len(sentences) > MOST_SENTENCES or any(len(a) > MOST_CHARACTERS for _, a in sentences):
        raise RunError(
            f"A report takes {MOST_SENTENCES} answers of at most {MOST_CHARACTERS:,} characters: "
            "shorten yours."
        )
    config, about, status = run.config(), run.about(), run.status()
    history = History(run.path)
    history.update()
    goals, ended = read_goals(run.path), status.state in ENDED_OR_FAILED
    last = next((one for one in reversed(history.evaluations.values()) if one.errors), None)
    saved = snapshots(run.path / "checkpoints")
    seconds = [one.seconds for one in history.evaluations.values() if one.seconds is not None]
    notes = [("Notes", about["notes"])] if about["notes"].strip() else []
    return Report(
        title=about["name"] or task_of(run, config),
        author=author or about["author"],
        made=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        task=task_of(run, config),
        state=status.state,
        verdict=verdict_of(run, config),
        steps=history.last_step(),
        seconds=seconds[-1] if seconds else None,
        config=config,
        checksum=saved[-1].weights if saved else "",
        goals={
            "near-zero loss on a few pairs": goals.first(ended)[0],
            "the saved model works after loading": goals.third(ended)[0],
        },
        history=history,
        answers=history.samples[-1]["samples"] if history.samples else [],
        errors=(last.errors or {}) if last else {},
        maps=_maps(run),
        sentences=[*notes, *sentences],
    )


def _maps(run: Run) -> Maps | None:
    """The last attention to the first recorded example; None if nothing was recorded."""
    try:
        recorded = AttentionHistory.load(run.path)
    except RunError:  # only the attention history is damaged, not the run
        return None
    if recorded is None or not recorded.examples or not len(recorded.records):
        return None
    example = recorded.examples[0]
    weights = {kind: recorded.weights(0, kind)[-1] for kind in ("encoder", "decoder", "cross")}
    return Maps(example.text, example.source, example.read, example.written, weights)
