"""An experiment that was predicted and run, as one HTML file to keep or to hand in."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

from transformer.experiments.experiment import Experiment
from transformer.report.document import FORMAT, VERSION, document, text
from transformer.report.drawing import Line, chart

STYLES = ("one", "two", "level")


def experiment_page(
    experiment: Experiment, found: Mapping[str, Any], predicted: int, author: str = ""
) -> bytes:
    """The file.

    Args:
        found: what ``python -m transformer experiment NAME --json`` printed.
        predicted: the number of the option that the person chose before, from 0.
    """
    came_out = "Reproduced" if found["reproduced"] else "Not reproduced here"
    option, guess = experiment.options[found["option"]], experiment.options[predicted]
    right = predicted == found["option"]
    made = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    sentence = f"{came_out}; predicted {'rightly' if right else 'otherwise'}"
    parts = {
        "The claim": experiment.claim,
        "Source": experiment.source,
        "Their number": experiment.published,
        "Run here": experiment.what,
        "The question": experiment.question,
        "Predicted": guess,
        "It is": option,
        "What came out": found["said"],
        "Why": experiment.why,
        "Outside of the known band": "; ".join(found["outside"]),
        "Settings": f"seed {found['seed']}, {found['seconds']:.0f} s",
    }
    body = f'<p class="verdict {"good" if found["reproduced"] else ""}">{text(came_out)}.</p>'
    rows = (
        f"<tr><th>{text(name)}</th><td>{text(said)}</td></tr>"
        for name, said in parts.items()
        if said
    )
    body += f"<table>{''.join(rows)}</table>"
    return document(
        experiment.title,
        " · ".join(part for part in (author, made) if part),
        body + _figure(experiment, found["curves"]),
        {
            "format": FORMAT,
            "version": VERSION,
            "kind": "experiment",
            "title": experiment.title,
            "author": author,
            "made": made,
            "verdict": {"sentence": sentence},
            "sentences": [{"question": experiment.question, "answer": guess}],
            "experiment": {"name": experiment.name, **found},
        },
    )


def _figure(experiment: Experiment, curves: Mapping[str, Sequence[Sequence[float]]]) -> str:
    if not curves:
        return ""
    lines = [
        Line(name, points, STYLES[number % len(STYLES)])
        for number, (name, points) in enumerate(curves.items())
    ]
    figure = chart(experiment.title, *experiment.axes, lines)
    return f'<div class="pair" style="max-width: 640px">{figure}</div>'
