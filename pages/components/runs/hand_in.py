"""Hand in a run as one page; and, for teachers, many such pages in one table."""

import re
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

import pandas as pd
import streamlit as st

from pages.components.shared.download import download
from pages.components.shell import browser
from pages.components.shell.text import as_file_name, plain
from transformer.errors import RunError
from transformer.files import write_csv
from transformer.report.contents import MOST_CHARACTERS, report_on
from transformer.report.page import page_of
from transformer.report.reading import MOST_BYTES, HandedIn, read_report
from transformer.runs.directory import Run

if TYPE_CHECKING:
    from streamlit.runtime.state import SessionStateProxy
    from streamlit.runtime.uploaded_file_manager import UploadedFile

MOST_FILES = 200
MOST_KEPT = 1000
"""Maximum number of pages in one table."""
FIELD, READ, READ_BEFORE = "handed in files", "handed in", "handed in before"
"""Keys in session state: the field, the pages in its files, and the pages read before."""
NOT_ANSWERED = "not answered"
MOST_PIXELS, PIXELS_A_LETTER = 600, 7.5
"""Largest width of a text column, which otherwise fits its longest text, and a letter's width."""
ANSWERED = re.compile(r"(\d{1,4} of \d{1,4}) questions answered")
"""A worksheet's verdict; the count is taken from it, because a worksheet has only the answered
questions in its data."""
END_OF_SENTENCE = re.compile(r"[.!?…]+(?:\s+|$)|\n+")
COLUMNS = {
    "author": "Name",
    "answered": "Answered",
    "title": "Title",
    "verdict": "Verdict",
    "written": "Sentences written",
    "sentences": "In their own words",
    "task": "Task",
    "exact_match": "Exact match, %",
    "untrained_exact_match": "Untrained, %",
    "loss": "Loss, nats per token",
    "steps": "Updates",
    "seed": "Seed",
    "made": "Made (UTC)",
    "checksum": "SHA-256 of the weights",
}


def hand_in(run: Run) -> None:
    """Fields for a name and a few sentences, and the page's download, made after the click."""
    st.caption(
        "One HTML file with the verdict, curves, answers, attention, settings, and your own "
        "sentences. It opens offline, prints, and carries its numbers as JSON."
    )
    with st.container(horizontal=True, vertical_alignment="bottom"):
        known = run.about()["author"] or browser.user_name()
        author = st.text_input("Name on it", known, key=f"author {run.id}", max_chars=100)
        said = st.text_area(
            "What did the model learn, and how do you know?",
            key=f"sentences {run.id}",
            max_chars=MOST_CHARACTERS,
            height=100,
        )
    # With the author, to tell the files of a class apart.
    name = as_file_name(f"{author} {run.about()['name'] or run.id}")
    download(
        "Download the page to hand in",
        partial(made_page, run, author, said),
        f"{name or 'report'}.html",
        key=f"hand in {run.id}",
        icon=":material/assignment_turned_in:",
    )


def made_page(run: Run, author: str, said: str) -> bytes:
    """The HTML page to hand in."""
    sentences = [("What did the model learn, and how do you know?", said)] if said.strip() else []
    return page_of(report_on(run, author=author.strip(), sentences=sentences))


def any_handed_in() -> bool:
    """Whether this session holds any pages."""
    return bool(st.session_state.get(READ_BEFORE) or st.session_state.get(READ))


def handed_in() -> None:
    """Draw pages that others handed in as one table, which lasts until the tab is closed. Nothing
    in them is stored elsewhere or executed."""
    state = st.session_state
    if FIELD not in state:  # after a visit to another page, Streamlit has dropped the field's files
        state[READ_BEFORE] = _found(state)
        state[READ] = {}
    files = st.file_uploader(
        "Drop them here: runs, worksheets, experiments, labs",
        type=["html", "json"],
        accept_multiple_files=True,
        max_upload_size=MOST_BYTES >> 20,
        key=FIELD,
        help="Drop all of them at once. The app reads numbers and answers; it runs nothing in "
        "them.",
    )
    # Each file is read once, although the page is redrawn at every click.
    before: dict[str, HandedIn | str] = state[READ]
    state[READ] = {one.file_id: before.get(one.file_id) or _read(one) for one in files[:MOST_FILES]}
    found = _found(state)
    refused = [one for one in state[READ].values() if isinstance(one, str)]
    if len(files) > MOST_FILES:
        refused.append(f"Only the first {MOST_FILES} are read: drop the others afterwards.")
    for sentence in refused:
        st.error(plain(sentence))
    if not found:
        return
    if state[READ_BEFORE]:
        st.button(
            "Empty the table", icon=":material/delete:", key="empty handed in", on_click=_empty
        )
    _table(
        "The table as CSV",
        "handed-in",
        [_row(one) for one in found],
        "Equal checksums are equal weights: the same file, or the same seed and settings."
        if any(one.checksum for one in found)
        else "",
    )
    _own_words([one for one in found if one.task != "worksheet" and one.answers])
    for title in dict.fromkeys(one.title for one in found if one.task == "worksheet"):
        st.markdown(f"**{plain(title)}**, an answer a column")
        sheets = [one for one in found if (one.title, one.task) == (title, "worksheet")]
        questions = dict.fromkeys(question for one in sheets for question, _ in one.answers)
        rows = [
            {"Name": one.author, **dict.fromkeys(questions, NOT_ANSWERED), **dict(one.answers)}
            for one in sheets
        ]
        _table("These answers as CSV", as_file_name(title) or "answers", rows)


def _found(state: "SessionStateProxy") -> list[HandedIn]:
    """The pages read before and those in the field now, without duplicates."""
    now = (one for one in state.get(READ, {}).values() if isinstance(one, HandedIn))
    return list(dict.fromkeys((*state.get(READ_BEFORE, ()), *now)))[:MOST_KEPT]


def _empty() -> None:
    """Drop the pages read before; the field has its own crosses to remove files."""
    st.session_state[READ_BEFORE] = []


def _own_words(found: Sequence[HandedIn]) -> None:
    """Draw all answers in full, because a table's cell shows only the first words."""
    if not found:
        return
    with st.expander(f"What they wrote ({len(found)})"):
        for one in found:
            st.markdown(f"**{plain(one.author) or 'No name'}**, {plain(one.title)}")
            for _, answer in one.answers:
                st.markdown(plain(answer))


def _table(label: str, name: str, rows: Sequence[Mapping[str, object]], note: str = "") -> None:
    """Draw rows of equal columns, without empty columns, and their download as CSV."""
    empty = (None, "")
    columns = [title for title in rows[0] if any(row[title] not in empty for row in rows)]
    texts = {
        title: [text for row in rows if isinstance(text := row[title], str)] for title in columns
    }
    st.dataframe(
        pd.DataFrame(rows, columns=columns),
        hide_index=True,
        column_config={
            title: st.column_config.TextColumn(
                width=_pixels(title, *values), pinned=title == "Name", help=title
            )
            for title, values in texts.items()
            if values
        },
    )
    if note:
        st.caption(note)
    download(
        label,
        lambda: write_csv(list(rows[0]), [list(row.values()) for row in rows]),
        f"{name}.csv",
        key=f"csv {name}",
    )


def _pixels(*texts: str) -> int:
    """The width of a column that shows all the texts in full, up to MOST_PIXELS."""
    return min(int(40 + PIXELS_A_LETTER * max(map(len, texts))), MOST_PIXELS)


def _read(file: "UploadedFile") -> HandedIn | str:
    """The page in a file, or why the file is refused."""
    try:
        return read_report(file.getvalue(), file.name)
    except RunError as error:
        return str(error)


def sentences_written(one: HandedIn) -> int:
    """The number of sentences in all answers of a page."""
    parts = (part for _, answer in one.answers for part in END_OF_SENTENCE.split(answer))
    return sum(bool(re.search(r"\w", part)) for part in parts)


def _row(one: HandedIn) -> dict[str, object]:
    """A page as a row of the table: shares in per cent; what was not measured stays empty."""

    def value(name: str) -> object:
        if name == "written":
            return sentences_written(one)
        if name == "answered":
            said = ANSWERED.fullmatch(one.verdict) if one.task == "worksheet" else None
            return said[1] if said else ""
        found = getattr(one, name)
        return 100 * found if name.endswith("exact_match") and found is not None else found

    return {title: value(name) for name, title in COLUMNS.items()}
