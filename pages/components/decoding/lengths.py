"""Accuracy against the length of the input, up to twice what the model was trained on."""

from collections.abc import Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import streamlit as st

from pages.components.decoding.view import View
from pages.components.shared.examples import chosen_pairs
from pages.components.shared.inspection import LONGEST_OUTPUT
from pages.components.shell import jobs
from pages.components.shell.text import percent
from transformer.evaluation.held_out import examples_of, has_longer

if TYPE_CHECKING:
    from transformer.analysis.lengths import Lengths
    from transformer.checkpoint import Checkpoint

JOB = "length study"
EXAMPLES = 400
FEWEST = 4
"""Minimum number of examples of a length for which a share of right answers is drawn."""
FALLEN = 0.5


@dataclass(frozen=True)
class Counted:
    """Right answers by length: for lengths as in training and, if the task has any, for longer."""

    trained: "Lengths"
    longer: "Lengths | None"


def panel(view: View) -> None:
    """A job answers examples; one curve for lengths as in training, one for longer inputs."""
    checkpoint = view.checkpoint
    name = ("lengths", checkpoint.header.sha256)
    job = jobs.current(JOB, name) or _start(checkpoint, name)
    found = jobs.show(job, "Answering examples")
    if isinstance(found, Counted):
        _draw(found)
    if job.cancelled and st.button("Count again"):
        del st.session_state[JOB]
        st.rerun()


def _start(checkpoint: "Checkpoint", name: object) -> jobs.Job:
    view, pairs = checkpoint.view(), chosen_pairs()
    sides = (False, True) if has_longer(checkpoint) else (False,)

    def work() -> Generator[object, None, None]:
        from transformer.analysis.lengths import Lengths, by_length

        counted: list[Lengths] = []
        for number, longer in enumerate(sides):
            examples = examples_of(view, pairs, EXAMPLES, longer=longer)
            for step in by_length(view, examples.pairs, examples.is_right, LONGEST_OUTPUT):
                if isinstance(step, Lengths):
                    counted.append(step)
                else:
                    yield (number + step) / len(sides)
        yield Counted(counted[0], counted[1] if len(counted) > 1 else None)

    st.session_state[JOB] = job = jobs.start(name, work)
    return job


def _draw(found: Counted) -> None:
    from transformer.figures.curves import named_curves

    curves = {"as it was trained on": found.trained.points(FEWEST)}
    if found.longer is not None:
        curves["longer"] = found.longer.points(FEWEST)
    if not any(curves.values()):
        st.info(
            f"This checkpoint has fewer than {FEWEST} examples of each length: too few to count."
        )
        return
    st.plotly_chart(
        named_curves(
            {name: [(x, 100 * y) for x, y in points] for name, points in curves.items()},
            "length of the input (tokens)",
            "answers right (%)",
            title="Accuracy against length",
        ),
        key="accuracy by length",
    )
    st.markdown(sentences(found))
    st.caption(
        f"Held-out examples, {sum(found.trained.tried.values()):,} of lengths as in training"
        + (f" and {sum(found.longer.tried.values()):,} longer ones" if found.longer else "")
        + f", each decoded greedily; a point stands for at least {FEWEST}."
    )


def sentences(found: Counted) -> str:
    """The shares of right answers, and the length from which they fall, in sentences."""
    known = _share(found.trained)
    if found.longer is None:
        fallen = found.trained.falls(FALLEN, FEWEST)
        where = (
            f"From {fallen} tokens on it gets less than half right."
            if fallen is not None
            else "There is no length at which it fails."
        )
        return f"**{percent(known)} right** over all lengths. {where}"
    beyond, fallen = _share(found.longer), found.longer.falls(FALLEN, FEWEST)
    longest = max(found.trained.tried, default=0)
    if fallen is None:
        where = "it goes on well beyond them"
    elif fallen <= longest + 1:
        where = "it fails as soon as they are exceeded"
    else:
        where = f"from {fallen} tokens on it gets less than half right"
    return (
        f"**{percent(known)} right** at lengths it was trained on, up to {longest} tokens; "
        f"**{percent(beyond)}** at longer ones: {where}."
    )


def _share(lengths: "Lengths") -> float:
    return sum(lengths.right.values()) / max(sum(lengths.tried.values()), 1)
