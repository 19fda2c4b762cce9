"""A user's own pairs: fields to enter or upload them, and what was read and what was refused."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import streamlit as st

from pages.components.shell import browser, jobs
from pages.components.shell.frame import problem
from pages.components.shell.tables import html_table
from pages.components.shell.text import Html, code, plain
from pages.components.stores import pairs
from pages.components.stores.pairs import ArrivingFile, StoredPairs
from pages.components.training import reading
from pages.components.widgets.file_feed import file_feed, piece
from pages.components.widgets.length_histogram import length_histogram
from transformer.config.limits import NO_OWN_PAIRS, Limits
from transformer.errors import TaskError, UserError
from transformer.files import remedy
from transformer.tasks.own_pairs.advice import Cut
from transformer.tasks.own_pairs.encodings import NAMES
from transformer.tasks.own_pairs.file import MAX_FILE_BYTES, MAX_NAMED
from transformer.tasks.own_pairs.layout import Choices
from transformer.tasks.own_pairs.survey import Survey, notes
from transformer.tasks.own_pairs.task import held_out_count

CHOSEN = "pairs"
"""Key in session state: the id of the form's pairs; empty if none."""
MAX_TYPED = 1_000_000
MAX_SHOWN = 300
"""Maximum number of characters of a text in the preview."""
AT_ONCE_SECONDS = 0.4
"""Seconds to wait for a file before a progress bar is drawn; small files are read by then."""
TOKEN_NAMES = {"characters": "characters", "words": "words", "bpe": "byte pairs"}


def choose_pairs() -> StoredPairs | None:
    """Draw the fields for pairs; return the pairs once they are read and usable.

    Their id is in session state, ``CHOSEN``; what the user enters or uploads changes it.
    """
    if not Limits.from_environment().own_pairs:  # refuse before users upload anything
        st.info(NO_OWN_PAIRS)
        return None
    id = st.session_state.get(CHOSEN, "")
    kept = pairs.find(id) if id else None
    if id and kept is None:
        st.warning(
            "The pairs of this address are not here: they are on another server, or were deleted "
            "to make room for newer ones. Bring them again."
        )
    if kept is not None and kept.text is None and kept.problem is None:
        _file_card(kept)
    else:
        _fields(kept)
    if kept is not None and kept.survey is not None:
        _how(kept, kept.survey)
    if (refused := st.session_state.get("pairs refused")) is not None:
        problem(refused)
    return _usable(kept)


def linked(id: str) -> StoredPairs | None:
    """The pairs that an address names, without drawing the fields; None while not usable."""
    if not Limits.from_environment().own_pairs:
        problem(TaskError(NO_OWN_PAIRS))
        return None
    kept = pairs.find(id)
    if kept is None:
        problem(TaskError("The pairs of this link are not here; ask for a new link."))
    return _usable(kept)


def _usable(kept: StoredPairs | None, bpe_size: int | None = None) -> StoredPairs | None:
    """The pairs if they are read; else None, and progress or their error is drawn."""
    if kept is None:
        return None
    if kept.problem is not None:
        problem(kept.problem)
        if kept.text is None:
            st.caption("Are these the sources alone, with the targets in a file of their own?")
            _feed("File of the targets, line by line", "targets file", kept.id)
        return None
    if kept.survey is None:
        _wait(kept.id, bpe_size)
        return None
    return kept


def with_byte_pairs(kept: StoredPairs, bpe_size: int) -> StoredPairs | None:
    """The same pairs, surveyed with a byte-pair vocabulary of another size; None until done."""
    if kept.survey is not None and kept.survey.bpe_size == bpe_size:
        return kept
    return _usable(pairs.find(kept.id, bpe_size), bpe_size)


# --- Entering and uploading --------------------------------------------------------------


def _choose(id: str) -> None:
    st.session_state[CHOSEN] = id
    st.session_state.pop("pairs refused", None)
    if id and (kept := pairs.find(id)) and kept.survey is None and kept.problem is None:
        reading.start_over(id)
        reading.read(id, wait=AT_ONCE_SECONDS)


def _how(kept: StoredPairs, survey: Survey) -> None:
    """Fields that show how the file was read and can change it, if it can be read differently."""
    found, choices = survey.interpretation, kept.choices
    if not found.is_ambiguous and choices == Choices():
        return
    layout = found.layout
    columns = {n: f"C{found.column(n, sample=True)[1:]}" for n in range(layout.columns)}

    def apply_choice(field: str) -> None:
        # Fields that another choice has replaced report once more, unchanged, if the browser sends
        # its next message before it has received the new fields.
        if st.session_state.get(CHOSEN) != kept.id:
            return
        value = st.session_state[f"{field} of {kept.id}"]
        changed = replace(choices, **{field: value})
        if field in ("source", "target") and value == getattr(layout, field):
            return
        try:
            _choose(pairs.read_otherwise(kept.id, changed))
        except UserError as error:
            st.session_state["pairs refused"] = error
        except OSError as error:
            st.session_state["pairs refused"] = _not_kept("pairs", error)

    with st.container(horizontal=True, vertical_alignment="bottom"):
        if layout.columns > 2:
            for field, label in (("source", "Source"), ("target", "Target")):
                st.selectbox(
                    f"{label} column",
                    columns,
                    index=getattr(layout, field),
                    format_func=columns.__getitem__,
                    key=f"{field} of {kept.id}",
                    on_change=apply_choice,
                    args=(field,),
                )
        if found.guessed or choices.encoding:
            st.selectbox(
                "Encoding",
                NAMES,
                index=list(NAMES).index(found.encoding),
                format_func=NAMES.__getitem__,
                key=f"encoding of {kept.id}",
                on_change=apply_choice,
                args=("encoding",),
            )
        if layout.names_first_line or choices.header is not None:
            st.checkbox(
                "The first line names the columns",
                layout.names_first_line,
                key=f"header of {kept.id}",
                on_change=apply_choice,
                args=("header",),
            )


def _file_card(kept: StoredPairs) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(f"**{plain(kept.title) or 'Pairs'}**", width="content")
        st.button("Bring other pairs", on_click=_choose, args=("",), key="other pairs")


def _fields(kept: StoredPairs | None) -> None:
    if (
        kept is not None
        and kept.text is not None
        and st.session_state.get("pairs shown") != kept.id
    ):
        st.session_state["pairs text"] = kept.text
        st.session_state["pairs shown"] = kept.id
    st.text_area(
        "Your pairs, one a line: source, then `->`, a tab or a comma, then target",
        key="pairs text",
        height=140,
        placeholder="good morning -> guten Morgen\nthank you -> danke",
        persist_state="session",
        on_change=_typed,
    )
    _feed()


def _typed() -> None:
    text = st.session_state["pairs text"]
    id = ""
    try:
        if len(text) > MAX_TYPED:
            raise TaskError(
                f"These are {len(text):,} characters; up to {MAX_TYPED:,} can be typed or pasted. "
                "Save them as a file, and bring that."
            )
        if text.strip():
            id = pairs.keep_text(text, browser.owner())
        st.session_state["pairs shown"] = id
        _choose(id)
    except UserError as error:
        st.session_state["pairs refused"] = error
    except OSError as error:
        st.session_state["pairs refused"] = _not_kept("pairs", error)


def _not_kept(what: str, error: OSError) -> TaskError:
    return TaskError(f"The {what} could not be kept: {error.strerror}. {remedy(error)}; try again.")


@st.fragment
def _feed(
    label: str = "Or a file of pairs (.tsv, .csv, .txt or .jsonl)",
    key: str = "pairs file",
    of: str = "",
) -> None:
    """Field for a file; a fragment, because every piece of the file causes a rerun.

    Args:
        of: the id of the file of sources if this field is for their targets; empty for pairs.
    """
    arrival: ArrivingFile | None = st.session_state.get(f"{key} arrival")
    file_feed(
        label,
        received=arrival.received if arrival else 0,
        turn=st.session_state.get(f"{key} turn", ""),
        max_bytes=MAX_FILE_BYTES,
        accept=".tsv,.csv,.txt,.tab,.jsonl,.json,.dict,text/*" if not of else "",
        key=key,
        on_piece=partial(_put_away, key, of),
    )
    if st.session_state.pop("pairs arrived", False):
        st.rerun()


def _put_away(key: str, of: str) -> None:
    """Store the next piece of a file that is being uploaded."""
    sent = piece(key)
    if sent is None:
        return
    turn, name, size, place, content = sent
    state = st.session_state
    arrival: ArrivingFile | None = state.get(f"{key} arrival")
    try:
        if arrival is None or turn != state.get(f"{key} turn"):
            if arrival is not None:
                arrival.drop()
            arrival = ArrivingFile(name, browser.owner())
            state[f"{key} arrival"], state[f"{key} turn"] = arrival, turn
        if place != arrival.received:
            return  # sent twice
        arrival.add(content)
        if arrival.received < size and content:
            return
        del state[f"{key} arrival"]
        state["pairs arrived"] = True
        _choose(pairs.join(of, arrival) if of else arrival.keep())
        state.pop("pairs shown", None)
    except UserError as error:
        state.pop(f"{key} arrival", None)
        state["pairs refused"], state["pairs arrived"] = error, True
    except OSError as error:
        if (broken := state.pop(f"{key} arrival", None)) is not None:
            broken.drop()
        state["pairs refused"], state["pairs arrived"] = _not_kept("file", error), True


def _wait(id: str, bpe_size: int | None = None) -> None:
    """Draw the progress of reading the pairs, until it is done."""
    try:
        job = reading.read(id, bpe_size)
    except UserError as error:
        problem(error)
        return
    if job is None:
        st.rerun()
    jobs.show(job, "Reading the pairs")
    if job.cancelled and not job.running:
        st.button("Read them", on_click=reading.start_over, args=(id, bpe_size), key="read pairs")


# --- Showing -----------------------------------------------------------------------------


def show(survey: Survey, tokens: str, held_out: float) -> None:
    """Draw what was read and refused, lengths and vocabularies, and the split."""
    st.markdown(_counts(survey))
    if survey.refused > survey.pairs:
        line, reason = survey.named[0]
        st.warning(
            f"More lines were left out than read. The first, line {line:,}: {plain(reason)}."
        )
    if sentences := notes(survey):
        st.caption(plain(" ".join(sentences)))
    st.caption(_split(survey, held_out))
    if survey.refused:
        _refused(survey)
    _table(survey.preview, ("Source", "Target"))
    with st.expander("Lengths and vocabularies"):
        _cut(survey.cuts[tokens], tokens)


def _counts(survey: Survey) -> str:
    parts = [f"**Pairs read: {survey.pairs:,}.**"]
    parts.append(f"Lines left out: {survey.refused:,}.")
    if survey.empty_lines:
        parts.append(f"Empty lines: {survey.empty_lines:,}.")
    return " ".join(parts)


def _split(survey: Survey, held_out: float) -> str:
    try:
        count = held_out_count(survey.sources, held_out)
    except TaskError as error:
        return plain(str(error))
    if not count:
        return f"Nothing is held out: trained and tested on all {survey.pairs:,} pairs."
    trained = survey.sources - count
    if survey.sources == survey.pairs:
        return f"{trained:,} pairs to train on; {count:,} held out, which training never sees."
    return (
        f"Of {survey.sources:,} different sources, {trained:,} are trained on and {count:,} held "
        "out with all their targets, which training never sees."
    )


def _refused(survey: Survey) -> None:
    with st.expander(f"Lines left out, with the reasons ({survey.refused:,})"):
        if survey.refused > MAX_NAMED:
            st.caption(f"The first {MAX_NAMED} of {survey.refused:,}:")
        _table([(f"{line:,}", reason) for line, reason in survey.named], ("Line", "Reason"))


def _table(rows: Sequence[Sequence[str]], titles: tuple[str, str]) -> None:
    """Draw texts as they are, in cells that wrap; Streamlit's tables would change 1e5 and NA."""
    cells = [[_words(cell) for cell in row] for row in rows]
    st.html(html_table("rows", titles, cells, label=" and ".join(titles), row_heads=False))


def _words(text: str) -> Html:
    """A text as HTML that may wrap between words; invisible characters show by their code."""
    short = text if len(text) <= MAX_SHOWN else text[: MAX_SHOWN - 1] + "…"
    return Html(" ".join(code(word) for word in short.split(" ")))


def _cut(cut: Cut, tokens: str) -> None:
    if cut.source is None or cut.target is None:
        problem(TaskError(cut.error))
        return
    st.caption(
        f"Cut into {TOKEN_NAMES[tokens]}. Look for a long tail: memory and time grow with the "
        "longest texts. Look also for rare tokens: a token that occurs once is hardly learned."
    )
    for column, (title, side) in zip(
        st.columns(2), (("Source", cut.source), ("Target", cut.target)), strict=True
    ):
        with column:
            st.html(length_histogram(title, side.lengths, side.longest))
            st.markdown(
                f"**{title} vocabulary: {side.size:,} tokens** (4 of them special), "
                f"{side.once:,} occur only once."
            )
            st.html(_pieces("Most frequent", side.frequent) + _pieces("Rarest", side.rare))


def _pieces(title: str, counted: list[tuple[str, int]]) -> str:
    if not counted:
        return ""
    chips = "".join(f"<span>{code(token)} <i>{count:,}</i></span>" for token, count in counted)
    return f'<div class="pieces"><b>{title}</b>{chips}</div>'
