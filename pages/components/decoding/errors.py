"""Examples that the model gets wrong, most confident first; each opens at its first wrong step."""

import math
from collections import Counter
from collections.abc import Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import streamlit as st

from pages.components.decoding.view import View, open_at
from pages.components.shared.download import download
from pages.components.shared.examples import chosen_pairs
from pages.components.shared.inspection import LONGEST_OUTPUT
from pages.components.shell import address, jobs
from pages.components.shell.text import percent, plain, probability
from pages.components.widgets.answer_table import Row, Tokens, answer_table, page_of
from transformer.evaluation.held_out import Examples, examples_of, has_longer
from transformer.files import write_csv
from transformer.vocabulary.vocabulary import printable

if TYPE_CHECKING:
    from transformer.analysis.mistakes import Mistake, Mistakes
    from transformer.checkpoint import Checkpoint

JOB = "errors study"
COUNTS = ("200", "1000", "5000")
LONGER = "longer"
LENGTHS = {"": "as it was trained on", LONGER: "longer than it was trained on"}
COLUMNS = ("Input", "Output, first wrong token marked", "Target", "Confidence", "First wrong step")


@dataclass(frozen=True)
class Tried:
    """The examples tried, and the mistakes found so far."""

    examples: Examples
    mistakes: "Mistakes"


def panel(view: View) -> None:
    """Fields for the examples; a job answers them, and those answered wrongly are listed."""
    checkpoint = view.checkpoint
    count, longer = _choices(checkpoint)
    name = (checkpoint.header.sha256, count, longer)
    job = jobs.current(JOB, name) or _start(checkpoint, count, longer)
    found = jobs.show(job, "Answering examples")
    if isinstance(found, Tried):
        _show(checkpoint, found)
    if job.cancelled:
        st.button("Try them all again", on_click=_again)


def _choices(checkpoint: "Checkpoint") -> tuple[int, bool]:
    """Fields for the number of examples, and whether to take longer ones than in training."""
    counts = {count: f"{int(count):,}" for count in COUNTS}
    with st.container(horizontal=True, vertical_alignment="bottom"):
        count = address.option(st.selectbox, "Examples to try", counts, "examples", width=160)
        longer = ""
        if has_longer(checkpoint):
            label = "Length of the inputs"
            longer = address.option(st.selectbox, label, LENGTHS, "length", width=290)
        else:
            address.read("length", "", ("",))
            address.write("length", "")
    return int(count), bool(longer)


def _start(checkpoint: "Checkpoint", count: int, longer: bool) -> jobs.Job:
    view = checkpoint.view()  # separate hooks, as the job runs in another thread
    pairs = chosen_pairs()

    def work() -> Generator[object, None, None]:
        from transformer.analysis.mistakes import Mistakes, find_mistakes

        examples = examples_of(view, pairs, count, longer=longer)
        for step in find_mistakes(view, examples.pairs, examples.is_right, LONGEST_OUTPUT):
            yield Tried(examples, step) if isinstance(step, Mistakes) else step

    name = (checkpoint.header.sha256, count, longer)
    st.session_state[JOB] = job = jobs.start(name, work)
    return job


def _again() -> None:
    st.session_state.pop(JOB, None)


# --- results ----------------------------------------------------------------------------------


def _show(checkpoint: "Checkpoint", tried: Tried) -> None:
    mistakes = tried.mistakes
    if mistakes.unread:
        st.caption(
            f"{mistakes.unread:,} of {tried.examples.words} are left out: they have tokens that "
            "this model does not know, or more tokens than it reads."
        )
    if not mistakes.tried:
        st.info("This checkpoint holds no examples to try.")
        return
    words = tried.examples.words
    if mistakes.tried < len(tried.examples.pairs):
        words = f"the {mistakes.tried:,} examples tried so far"
    if not mistakes.found:
        st.success(f"{words[0].upper()}{words[1:]}, all right.", icon=":material/check_circle:")
        _harder(checkpoint)
        return
    wrong, share = len(mistakes.found), len(mistakes.found) / mistakes.tried
    st.markdown(
        f"**{wrong:,} of {words} {'is' if wrong == 1 else 'are'} wrong** "
        f"({percent(share)}).{_kinds(tried)} The most confident come first: choose one to see in "
        "the steps above where it went wrong."
    )
    ranked = mistakes.ranked
    first, shown = page_of(ranked, "errors page")
    st.session_state["errors shown"] = shown
    answer_table(
        "Wrong answers, the most confident first",
        COLUMNS,
        [Row(number, _cells(checkpoint, one)) for number, one in enumerate(shown)],
        key=f"errors {first}",
        on_open=lambda: _open(f"errors {first}"),
    )
    st.caption(
        "Confidence is the probability that the model gives its whole output. Look for outputs "
        "of high confidence: there the model has learned something other than the task. Where "
        "confidence is low, the model hesitated, often between the wrong token and the right one."
    )
    download(
        "These errors (CSV)", lambda: as_csv(checkpoint, ranked), f"errors-{checkpoint.task}.csv"
    )


def _kinds(tried: Tried) -> str:
    """Number of errors of each kind, as the task classifies them, in a sentence."""
    task = tried.examples.task
    if task is None:
        return ""
    kinds = Counter(task.error_kind(one.pair, one.answer.output) for one in tried.mistakes.found)
    return (
        " Kinds: " + ", ".join(f"{plain(kind)} ({n:,})" for kind, n in kinds.most_common(4)) + "."
    )


def _harder(checkpoint: "Checkpoint") -> None:
    """Buttons for harder examples, if no answer is wrong."""
    more = [count for count in COUNTS if int(count) > int(st.session_state["examples"])]

    def choose(key: str, value: str) -> None:
        st.session_state[key] = value

    with st.container(horizontal=True):
        if more:
            label = f"Try {int(more[0]):,} examples"
            st.button(label, on_click=choose, args=("examples", more[0]))
        if has_longer(checkpoint) and not st.session_state["length"]:
            label = "Try inputs longer than it was trained on"
            st.button(label, on_click=choose, args=("length", LONGER))


def _cells(checkpoint: "Checkpoint", mistake: "Mistake") -> list[str | Tokens]:
    tokens, target = list(mistake.answer.tokens), list(mistake.target_tokens)
    error, end = mistake.error, checkpoint.target_vocabulary.tokens[checkpoint.config.eos_id]
    place = error.position if error else None
    # <eos> is shown only if it matters: if it came too early, or is missing.
    if tokens and tokens[-1] == end and place != len(tokens) - 1:
        tokens.pop()
    if place == len(target):
        target.append(end)
    where = "It was cut before it went wrong." if error is None else ""
    if error is not None:
        names = checkpoint.target_vocabulary.tokens
        where = (
            f"{error.position + 1}: wrote {printable(names[error.written])} "
            f"({probability(error.probability)}), right is {printable(names[error.wanted])} "
            f"({probability(error.wanted_probability)})"
        )
    return [
        mistake.pair.source,
        Tokens(tokens, place),
        Tokens(target, place, "right") if target else mistake.pair.target,
        probability(mistake.probability),
        where,
    ]


def _open(key: str) -> None:
    shown: list[Mistake] = st.session_state.get("errors shown", [])
    number = st.session_state[key]["open"]
    if isinstance(number, int) and 0 <= number < len(shown):
        mistake = shown[number]
        open_at(mistake.pair.source, (), mistake.step)
        st.session_state["target"] = mistake.pair.target


TITLES = (
    *("input", "target", "output", "log_probability", "probability"),
    *("first_wrong_step", "written", "written_probability", "right", "right_probability"),
)


def as_csv(checkpoint: "Checkpoint", mistakes: "list[Mistake]") -> bytes:
    """One line per error; steps count from 1."""
    names = checkpoint.target_vocabulary.tokens
    rows = []
    for one in mistakes:
        row: list[object] = [one.pair.source, one.pair.target, one.answer.output]
        row += [one.answer.log_prob, math.exp(one.answer.log_prob)]
        if (error := one.error) is not None:
            row += [error.position + 1, names[error.written], error.probability]
            row += [names[error.wanted], error.wanted_probability]
        rows.append(row + [None] * (len(TITLES) - len(row)))
    return write_csv(TITLES, rows)
