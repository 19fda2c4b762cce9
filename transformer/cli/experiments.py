"""The command that runs published findings again."""

import argparse
import json
import time
from typing import TYPE_CHECKING, Any

from transformer.cli.terminal import note_share, say

if TYPE_CHECKING:
    from transformer.experiments.experiment import Experiment, Outcome, Settings


def add_commands(commands: Any) -> None:
    """``experiment``."""
    parser = commands.add_parser("experiment", help="reproduce a published finding")
    parser.add_argument(
        "name", nargs="*", help="names of experiments, or 'all'; without a name, lists them"
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of all random numbers; default 0")
    parser.add_argument("--short", action="store_true", help="run in seconds, on few examples")
    parser.add_argument("--json", action="store_true", help="print one JSON object per experiment")
    parser.add_argument(
        "--table", action="store_true", help="print one row of a Markdown table per experiment"
    )
    parser.set_defaults(run=experiments)


def experiments(options: argparse.Namespace) -> int:
    from transformer.experiments.experiment import Settings
    from transformer.experiments.registry import EXPERIMENTS, find_experiment

    if not options.name:
        for one in EXPERIMENTS.values():
            say(json.dumps(described(one)) if options.json else f"{one.name:<16} {one.title}")
        return 0
    names = list(EXPERIMENTS) if options.name == ["all"] else options.name
    chosen = [find_experiment(name) for name in names]
    if options.table:
        say("| Finding | Source | Their number | Ours | About |\n|---|---|---|---|---|")
    outside = False
    for one in chosen:
        found, seconds = _run(one, Settings(options.seed, options.short))
        outside = outside or bool(one.outside(found, short=options.short))
        if options.json:
            say(json.dumps(described(one) | reported(one, found, options, seconds)))
        elif options.table:
            verdict = "" if one.reproduced(found) else " (not reproduced)"
            cells = (one.title, one.source, one.published, found.said + verdict, about(one))
            say(f"| {' | '.join(cells)} |")
        else:
            say(_in_words(one, found, options, seconds))
    return 1 if outside else 0


def described(experiment: "Experiment") -> dict[str, Any]:
    """What is fixed about an experiment before it is run."""
    names = ("name", "title", "claim", "source", "published", "what", "question", "options")
    return {name: getattr(experiment, name) for name in names}


def _run(experiment: "Experiment", settings: "Settings") -> tuple["Outcome", float]:
    import torch

    torch.set_num_threads(1)
    started, noted = time.monotonic(), 0.0
    for step in experiment.run(settings):
        if not isinstance(step, float):
            return step, time.monotonic() - started
        if step >= noted + 0.1:
            noted = step
            note_share(step)
    raise AssertionError("an experiment ends with its outcome")


def reported(
    experiment: "Experiment", found: "Outcome", options: argparse.Namespace, seconds: float
) -> dict[str, Any]:
    """The result, and how it was run."""
    return {
        "seed": options.seed,
        "seconds": round(seconds, 1),
        "measured": dict(found.measured),
        "said": found.said,
        "option": found.option,
        "reproduced": experiment.reproduced(found),
        "outside": experiment.outside(found, short=options.short),
        "why": experiment.why,
        "curves": {name: list(points) for name, points in found.curves.items()},
    }


def _in_words(
    experiment: "Experiment", found: "Outcome", options: argparse.Namespace, seconds: float
) -> str:
    verdict = "Reproduced." if experiment.reproduced(found) else "Not reproduced here."
    lines = [
        f"{experiment.title} ({experiment.source})",
        f"  Claim: {experiment.claim}",
        f"  Published: {experiment.published}",
        f"  Here: {found.said}",
        f"  {verdict} {experiment.why}",
        *(f"  Outside its band: {one}." for one in experiment.outside(found, short=options.short)),
        f"  {_time(seconds)}",
    ]
    return "\n".join(lines)


def about(experiment: "Experiment") -> str:
    """How long its full form takes on one idle core."""
    return _time(60 * experiment.minutes)


def _time(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"
