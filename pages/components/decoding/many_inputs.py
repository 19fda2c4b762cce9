"""Many inputs at once: typed or uploaded, decoded, scored, and downloaded as CSV."""

from collections.abc import Callable, Generator, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import streamlit as st

from pages.components.decoding.many_inputs_fields import (
    EnteredInputs,
    draw_summary,
    entered,
    input_fields,
    restore_inputs,
)
from pages.components.decoding.strategies import PENALTY_HELP, USUAL_ALPHA
from pages.components.decoding.view import View, open_at
from pages.components.shared.download import download
from pages.components.shared.inspection import LONGEST_OUTPUT
from pages.components.shared.scores import score
from pages.components.shell import jobs
from pages.components.shell.text import decimal, percent
from pages.components.widgets.answer_table import Row, Tokens, answer_table, page_of
from transformer.analysis.first_error import common_prefix_length
from transformer.errors import UserError
from transformer.evaluation.text_scores import Scorer, Scores
from transformer.files import write_csv
from transformer.tasks.own_pairs.inputs import Input, Inputs
from transformer.vocabulary import Vocabulary
from transformer.vocabulary.vocabulary import printable

if TYPE_CHECKING:
    from transformer.checkpoint import Answer, Checkpoint

MAX_BEAM = 16
WHAT_THEY_ARE = {
    "Not read": "These have tokens that the model does not know, too many tokens, or none.",
    "Cut": f"These outputs were stopped at {LONGEST_OUTPUT} tokens, or at the model's last "
    "position: they have no end.",
    "Close calls": "Here the best two candidates were closer than 0.0001 in log-probability, so "
    "rounding can decide: an input decoded alone may get another output.",
}
DECODED = "decoded"
"""Parameter in the address: the token of the job that decoded, by which a reload finds it."""


@dataclass
class Results:
    """The inputs, and the outputs so far; a place is the index of an input.

    int8: whether linear layers compute in 8 bits. on_card: whether a graphics card computes.
    answers: place -> answer.
    first_wrong: place -> index of the first token that differs from the target, if one does.
    """

    entered: EnteredInputs
    beam_size: int
    alpha: float
    int8: bool = False
    on_card: bool = False
    answers: "dict[int, Answer]" = field(default_factory=dict)
    first_wrong: dict[int, int] = field(default_factory=dict)
    scorer: Scorer = field(default_factory=Scorer)
    scores: Scores | None = None

    @property
    def inputs(self) -> Inputs:
        return self.entered.inputs

    @property
    def left(self) -> list[int]:
        """Places of the inputs that are not decoded yet."""
        return [place for place in range(len(self.inputs.inputs)) if place not in self.answers]

    def to_go_on(self) -> "Results":
        """A copy to add answers to, while other sessions still show this one."""
        answers, first_wrong = dict(self.answers), dict(self.first_wrong)
        return replace(self, answers=answers, first_wrong=first_wrong, scorer=deepcopy(self.scorer))

    def is_right(self, place: int) -> bool:
        return self.answers[place].output == self.inputs.inputs[place].target

    def score(self, text: bool) -> Scores | None:
        """The scores of all outputs so far; None without any. BLEU and chrF take a second.

        text: whether outputs are words, so that these two are computed.
        """
        if self.scores is None or self.scores.count != len(self.scorer.outputs):
            self.scores = self.scorer.scores(text=text)
        return self.scores


def panel(view: View) -> None:
    """Fields for inputs and decoding; then the outputs, scores and downloads."""
    checkpoint = view.checkpoint
    key = f"batch {checkpoint.header.sha256}"
    _recall(checkpoint, key)
    input_fields(checkpoint)
    running = (kept := st.session_state.get(key)) is not None and kept.running
    _search(checkpoint, key, running)
    draw_summary(entered())
    results = jobs.show(st.session_state.get(key), "Decoding")
    if isinstance(results, Results):
        _show(checkpoint, results, key)


def _recall(checkpoint: "Checkpoint", key: str) -> None:
    """In a new session, as after a reload: take up the job whose token is in the address."""
    found: jobs.Job | None = st.session_state.get(key)
    token = st.query_params.get(DECODED)
    if found is None and token is not None:
        found = jobs.recall(token)
        if found is None:
            del st.query_params[DECODED]
            st.info(
                "The outputs decoded here are gone: the server keeps only the latest, until it "
                "stops."
            )
        elif found.name != checkpoint.header.sha256:
            found = None
        else:
            st.session_state[key] = found
            if isinstance(found.result, Results):
                restore_inputs(found.result.entered)
    if found is not None and token != found.token:
        st.query_params[DECODED] = found.token


# --- decoding ---------------------------------------------------------------------------------


def _search(checkpoint: "Checkpoint", key: str, running: bool) -> None:
    """Fields for how to decode, and the button that starts it.

    Typed text reaches the server when its box loses the focus, often by the click on this button.
    So the button is enabled without inputs, and keeps its position and key when its label changes
    during the click.
    """
    with st.container(horizontal=True, vertical_alignment="bottom"):
        beam_size = st.number_input(
            "Beam size (1 is greedy)",
            min_value=1,
            max_value=MAX_BEAM,
            value=1,
            key="batch beam",
            persist_state="session",
            width=190,
        )
        penalty = checkpoint.config.length_penalty
        alpha = float(USUAL_ALPHA[penalty])
        if beam_size > 1:
            alpha = st.number_input(
                "Length penalty α",
                min_value=0.0,
                max_value=2.0,
                value=alpha,
                step=0.1,
                key="batch alpha" if penalty == "paper" else f"batch alpha {penalty}",
                help=PENALTY_HELP[penalty],
                persist_state="session",
                width=170,
            )
        on_card = _on_card()
        int8 = not on_card and _in_8_bits(checkpoint)
        found = entered()
        label = f"Decode {_counted(found.inputs)}" if isinstance(found, EnteredInputs) else "Decode"
        pressed = st.button(label, type="primary", disabled=running, key="batch decode")
        if pressed and isinstance(found, EnteredInputs):
            _start(checkpoint, Results(found, beam_size, alpha, int8, on_card), key)
            st.rerun()
    if pressed and found is None:
        st.info("There is nothing to decode yet: type an input above, or bring a file.")


def _counted(inputs: Inputs) -> str:
    count = len(inputs.inputs)
    return f"{count:,} {'input' if count == 1 else 'inputs'}"


def _on_card() -> bool:
    """Checkbox for decoding on a graphics card, drawn if there is one; whether it is set."""
    from transformer.checkpoint.placement import has_card

    return has_card() and st.checkbox(
        "On the graphics card",
        value=True,
        key="batch card",
        help="It decodes many inputs at once, faster than the processor. Where two tokens are "
        "almost equally probable, it may write the other one.",
        persist_state="session",
        width="content",
    )


def _in_8_bits(checkpoint: "Checkpoint") -> bool:
    """Checkbox for 8 bits, drawn if they are faster and no fault is planted; whether it is set."""
    from transformer.decoding.engines.int8 import FASTER_FROM

    able = checkpoint.config.d_model >= FASTER_FROM and not checkpoint.header.fault
    return able and st.checkbox(
        "In 8 bits",
        key="batch int8",
        help="Rounds the weights of linear layers to 8 bits, which is faster for a model of this "
        "size. Where two tokens are almost equally probable, it may write the other one.",
        persist_state="session",
        width="content",
    )


def _start(checkpoint: "Checkpoint", results: Results, key: str) -> None:
    """Start a job that decodes the inputs that are not decoded yet."""
    view = checkpoint.view()
    vocabulary = view.target_vocabulary

    def work() -> Generator[object, None, None]:
        from transformer.checkpoint import Answer
        from transformer.checkpoint.placement import in_8_bits, on_card
        from transformer.decoding.strategies import by_beam_size

        yield results
        reader = view
        if results.on_card:
            reader = on_card(view)
        elif results.int8:
            reader = in_8_bits(view)
        places = []
        for place in results.left:
            one = results.inputs.inputs[place]
            if one.problem:
                results.answers[place] = Answer(one.text, error=one.problem)
            else:
                places.append(place)
        texts = [results.inputs.inputs[place].text for place in places]
        strategy = by_beam_size(results.beam_size, results.alpha, max_length=LONGEST_OUTPUT)
        for progress in reader.answering(texts, strategy):
            for number, answer in progress.new.items():
                results.answers[places[number]] = answer
                _compare(results, places[number], vocabulary)
            yield progress.share
        results.score(_is_text(vocabulary))

    st.session_state[key] = begun = jobs.start(checkpoint.header.sha256, work)
    jobs.keep(begun)


def _compare(results: Results, place: int, vocabulary: Vocabulary) -> None:
    """If there is a target, add the output to the scores and find its first wrong token."""
    answer, target = results.answers[place], results.inputs.inputs[place].target
    if target is None or answer.error:
        return
    try:
        wanted = vocabulary.cut(target)
    except UserError:  # the byte-pair vocabulary cannot write it
        wanted = target.split()
    written = _without_end(answer.tokens, vocabulary)
    results.scorer.add(answer.output, target, written, wanted)
    if answer.output != target:
        results.first_wrong[place] = common_prefix_length(written, wanted)


def _without_end(tokens: Sequence[str], vocabulary: Vocabulary) -> Sequence[str]:
    end = vocabulary.tokens[vocabulary.special.eos]
    return tokens[:-1] if tokens and tokens[-1] == end else tokens


def _is_text(vocabulary: Vocabulary) -> bool:
    """Whether outputs are words, for which BLEU and chrF are meant."""
    return vocabulary.kind != "characters"


# --- results ----------------------------------------------------------------------------------


def _show(checkpoint: "Checkpoint", results: Results, key: str) -> None:
    left = len(results.left)
    if (now := entered()) != results.entered:
        st.info(
            f"These are the outputs of the {_counted(results.inputs)} decoded before"
            + (", not of those above." if now is not None else ".")
        )
    if left:
        st.markdown(
            f"**{len(results.answers):,} of {len(results.inputs.inputs):,} inputs are decoded** "
            "and kept."
        )
        if st.button(f"Decode the other {left:,}"):
            _start(checkpoint, results.to_go_on(), key)
            st.rerun()
    if not results.answers:
        return
    _scores(checkpoint, results)
    kinds = _kinds(results)
    place = "batch shows"
    if st.session_state.get(place) not in kinds:
        st.session_state[place] = next(iter(kinds))
    if len(kinds) > 1:
        st.segmented_control(
            "Show",
            list(kinds),
            format_func=lambda kind: f"{kind} ({len(kinds[kind]):,})",
            key=place,
            required=True,
        )
    chosen: str = st.session_state[place]
    if chosen in WHAT_THEY_ARE:
        st.caption(WHAT_THEY_ARE[chosen])
    first, shown = page_of(kinds[chosen], "batch page")
    st.session_state["batch shown"] = results
    columns = ("Input", "Output", *(("Target",) if results.inputs.targets else ()))
    name = f"batch table {chosen} {first}"
    answer_table(
        "Inputs and outputs",
        (*columns, "Log-probability"),
        [Row(one, *_cells(results, one, checkpoint.target_vocabulary)) for one in shown],
        key=name,
        on_open=lambda: _open(name),
    )
    st.caption(
        "Choose an input to walk through its steps above. The log-probability is that of the whole "
        "output, in nats: 0 is certainty."
        + (
            " The first token that differs from the target is marked."
            if results.first_wrong
            else ""
        )
    )
    download(
        f"{'What is decoded' if left else 'All of it'} (CSV)",
        lambda: as_csv(results),
        f"decoded-{checkpoint.task}.csv",
    )


def _scores(checkpoint: "Checkpoint", results: Results) -> None:
    if not results.scorer.outputs:
        return
    text = _is_text(checkpoint.target_vocabulary)
    if results.scores is None or results.scores.count != len(results.scorer.outputs):
        with st.spinner("Comparing with the targets…"):
            results.score(text)
    found = results.score(text)
    assert found is not None  # there are outputs
    right = round(found.exact_match * found.count)
    where = f"On {found.count:,} inputs with a target that the model could read."
    with st.container(horizontal=True, gap="small"):
        score("Exact match", percent(found.exact_match), f"{right:,} of {found.count:,}", where)
        if found.token_error_rate is not None:
            score("Token error rate", percent(found.token_error_rate), "lower is better", where)
        if found.bleu is not None:
            score("BLEU", f"{found.bleu:.1f}", "of 100", where)
        if found.chrf is not None:
            score("chrF", f"{found.chrf:.1f}", "of 100", where)
    if found.why_no_bleu:
        st.caption(found.why_no_bleu)
    inputs, answers = results.inputs.inputs, results.answers
    unread = sum(inputs[i].target is not None and bool(answers[i].error) for i in answers)
    if unread:
        what = "1 input with a target" if unread == 1 else f"{unread:,} inputs with a target"
        st.caption(f"{what} could not be read and {'is' if unread == 1 else 'are'} not counted.")


def _kinds(results: Results) -> dict[str, list[int]]:
    """Name of a choice -> the places that it shows, in the order of the inputs."""
    every = sorted(results.answers)
    tests: dict[str, Callable[[int], bool]] = {
        "Wrong": results.first_wrong.__contains__,
        "Not read": lambda place: bool(results.answers[place].error),
        "Cut": lambda place: not results.answers[place].complete,
        "Close calls": lambda place: results.answers[place].close,
    }
    found = {name: [place for place in every if test(place)] for name, test in tests.items()}
    return {"All": every, **{name: places for name, places in found.items() if places}}


def _cells(results: Results, place: int, vocabulary: Vocabulary) -> tuple[list[str | Tokens], str]:
    """The cells of a row, and "" or a problem to show instead of all cells but the first."""
    answer, given = results.answers[place], results.inputs.inputs[place]
    if answer.error:
        return [f"{given.text}"], f"Line {given.line:,}: {answer.error}"
    output: str | Tokens = answer.output
    if place in results.first_wrong:
        wrong = results.first_wrong[place]
        written = _without_end(answer.tokens, vocabulary)
        output = Tokens(answer.tokens if wrong == len(written) else written, wrong)
    elif given.target is not None:
        output = f"✓ {answer.output}"
    cells: list[str | Tokens] = [given.text, output]
    if results.inputs.targets:
        cells.append(given.target or "")
    cut = "" if answer.complete else " (cut)"
    if answer.unknown:
        cut += f" (not known: {', '.join(map(printable, answer.unknown[:5]))})"
    return [*cells, f"{decimal(answer.log_prob)}{cut}"], ""


def _open(name: str) -> None:
    results: Results | None = st.session_state.get("batch shown")
    place = st.session_state[name]["open"]
    if results is not None and place in results.answers:
        given: Input = results.inputs.inputs[place]
        open_at(given.text, (), results.first_wrong.get(place, 0))
        st.session_state["target"] = given.target or ""


TITLES = ("line", "input", "output", "log_probability", "complete", "margin", "unknown")


def as_csv(results: Results) -> bytes:
    """One line per input, in their order; with targets, whether the output is the target."""
    targets = bool(results.inputs.targets)
    rows = []
    for place, answer in sorted(results.answers.items()):
        given = results.inputs.inputs[place]
        row: list[object] = [given.line, given.text]
        if answer.error:
            row += [None] * 5
        else:
            unknown = " ".join(answer.unknown)
            row += [answer.output, answer.log_prob, answer.complete, answer.margin, unknown]
        if targets:
            judged = given.target is not None and not answer.error
            row += [given.target, results.is_right(place) if judged else None]
        rows.append([*row, answer.error])
    return write_csv((*TITLES, *(("target", "exact_match") if targets else ()), "error"), rows)
