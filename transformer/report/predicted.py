"""The user's prediction and the result, of an experiment or of a fault in the break-it lab, as one
HTML file to keep or to hand in."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from transformer.experiments.experiment import Experiment
from transformer.report.document import by_and_when, document, handed_in, named, text
from transformer.report.drawing import Line, chart
from transformer.runs.directory import Run
from transformer.runs.lab import OUTCOMES, Result, outcome
from transformer.runs.metrics import History

if TYPE_CHECKING:
    from transformer.faults import Fault

STYLES = ("one", "two", "level")


def experiment_page(
    experiment: Experiment, found: Mapping[str, Any], predicted: int, author: str = ""
) -> bytes:
    """The HTML file of an experiment.

    Args:
        found: what ``python -m transformer experiment NAME --json`` printed.
        predicted: index of the option that the user predicted.
    """
    came_out = "Reproduced" if found["reproduced"] else "Not reproduced here"
    parts = {
        "The claim": experiment.claim,
        "Source": experiment.source,
        "Their number": experiment.published,
        "Run here": experiment.what,
        "The question": experiment.question,
        "Predicted": experiment.options[predicted],
        "It is": experiment.options[found["option"]],
        "What came out": found["said"],
        "Why": experiment.why,
        "Outside of the known band": "; ".join(found["outside"]),
        "Settings": f"seed {found['seed']}, {found['seconds']:.0f} s",
    }
    figure = _figure(experiment.title, experiment.axes, found["curves"])
    right = predicted == found["option"]
    data = {"kind": "experiment", "experiment": {"name": experiment.name, **found}}
    return _page(experiment.title, author, came_out, right, parts, figure, data)


def lab_page(fault: "Fault", faulty: Run, healthy: Run, predicted: int, author: str = "") -> bytes:
    """The HTML file of a fault, trained beside a healthy copy.

    Args:
        faulty, healthy: the two runs, which have ended.
        predicted: index of the outcome that the user predicted.
    """
    wrong, right = Result.of(faulty), Result.of(healthy)
    seen = outcome(wrong, right)
    came_out = "The healthy copy has not learned it either" if seen is None else OUTCOMES[seen]
    parts = {
        "In the paper": fault.right,
        "With the fault": fault.wrong,
        "The question": "What will become of it?",
        "Predicted": OUTCOMES[predicted],
        "Loss, nats per token": _both(wrong.loss, right.loss, "{:.3f}"),
        "Tokens right, given the true ones before": _both(wrong.forced, right.forced, "{:.1%}"),
        "Whole answers right, written alone": _both(wrong.alone, right.alone, "{:.1%}"),
        "Why": fault.why,
        "Remedy": fault.remedy,
    }
    curves = {"with the fault": faulty, "healthy copy": healthy}
    figure = _figure(
        "Training loss of both",
        ("updates", "nats per token"),
        {name: _losses(run) for name, run in curves.items()},
    )
    data = {
        "kind": "lab",
        "fault": fault.name,
        "with_fault": vars(wrong),
        "healthy": vars(right),
    }
    return _page(fault.title, author, came_out, predicted == seen, parts, figure, data)


def _page(
    title: str,
    author: str,
    came_out: str,
    right: bool,
    parts: Mapping[str, str],
    figure: str,
    data: Mapping[str, Any],
) -> bytes:
    verdict = f"{came_out}; predicted {'rightly' if right else 'otherwise'}"
    answers = [(parts["The question"], parts["Predicted"])]
    carried = handed_in(data["kind"], title, author, verdict, answers) | dict(data)
    body = f'<p class="verdict">{text(came_out)}.</p>{named(parts)}{figure}'
    return document(title, by_and_when(carried), body, carried)


def _both(wrong: float | None, right: float | None, form: str) -> str:
    said = ["not measured" if one is None else form.format(one) for one in (wrong, right)]
    return f"{said[0]} with the fault, {said[1]} in the healthy copy".replace("%", " %")


def _losses(run: Run) -> list[list[float]]:
    history = History(run.path)
    history.update()
    return [point[:2] for point in history.curves(run.config())["train"]]


def _figure(
    title: str, axes: tuple[str, str], curves: Mapping[str, Sequence[Sequence[float]]]
) -> str:
    if not curves:
        return ""
    lines = [
        Line(name, points, STYLES[number % len(STYLES)])
        for number, (name, points) in enumerate(curves.items())
    ]
    return f'<div class="pair" style="max-width: 640px">{chart(title, *axes, lines)}</div>'
