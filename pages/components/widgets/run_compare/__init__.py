"""Chosen runs in the same four charts, with a common axis and cursor and one table of values."""

from collections.abc import Mapping, Sequence

from pages.components.shell.mount import Widget
from transformer.runs.comparison import X_AXES, Baseline, Curves

WIDGET = Widget("run_compare", ("charts",))


def run_compare(
    runs: Mapping[str, Curves],
    baselines: Sequence[Baseline],
    *,
    x: str,
    logarithmic_loss: bool,
    logarithmic_x: bool,
    key: str,
) -> None:
    """Draw the runs.

    Args:
        runs: name -> curves.
        baselines: the losses to draw as lines, with the indices of the runs they belong to.
        x: the horizontal axis, a key of ``X_AXES``.
    """
    WIDGET.draw(
        data={
            "runs": [
                {"name": name, "train": curves.train, "evaluation": curves.evaluation}
                for name, curves in runs.items()
            ],
            "baselines": [
                {"name": line.name, "loss": line.loss, "of": line.runs} for line in baselines
            ],
            "column": list(X_AXES).index(x),
            "unit": X_AXES[x],
            "log_loss": logarithmic_loss,
            "log_x": logarithmic_x,
        },
        key=key,
    )
