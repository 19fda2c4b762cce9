"""Loss and exact match while a model trains; new points do not reset the zoom."""

from collections.abc import Mapping
from typing import Any

from pages.components.shell.mount import Widget

WIDGET = Widget("live_curve", ("charts",))


def live_curve(curves: Mapping[str, Any], *, key: str) -> None:
    """Draw the curves of one run.

    Args:
        curves: "train": a list of [step, loss, seconds, tokens], or of [step, loss], without a
            choice of axis; "evaluation" and "exact": lists of [step, value];
            "untrained", "uniform" and "unigram": losses of the baselines or None; "steps": the
            planned end of the axis; "evaluated_on": what the evaluation uses, in a few words;
            "run": the run's id, to follow the run's time slider if there is one.
    """
    WIDGET.draw(data=dict(curves), key=key)
