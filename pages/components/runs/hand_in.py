"""Hand in a run as one page; and, for who collects them, many such pages as one table."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

import pandas as pd
import streamlit as st

from pages.components.shared.download import download
from pages.components.shared.typed_file import typed_file
from pages.components.shell import browser
from pages.components.shell.text import as_file_name, plain
from transformer.errors import RunError
from transformer.files import write_csv
from transformer.report.contents import MOST_CHARACTERS, report_on
from transformer.report.page import page_of
from transformer.report.reading import MOST_BYTES, HandedIn, read_report
from transformer.runs.directory import Run

if TYPE_CHECKING:
    from streamlit.runtime.uploaded_file_manager import UploadedFile

MOST_FILES = 200
COLUMNS = {
    "author": "Name",
    "title": "Run",
    "task": "Task",
    "verdict": "Verdict",
    "exact_match": "Exact match, %",
    "untrained_exact_match": "Untrained, %",
    "loss": "Loss, nats per token",
    "steps": "Updates",
    "seed": "Seed",
    "sentences": "In their own words",
    "made": "Made (UTC)",
    "checksum": "SHA-256 of the weights",
}


def hand_in(run: Run) -> None:
    """A name, a few sentences, and the page to download; it is made when it is asked for."""
    st.caption(
        "One HTML file with the verdict, curves, answers, attention, settings, and your own "
        "sentences. It opens offline, prints, and carries its numbers as JSON."
    )
    with st.container(horizontal=True, vertical_alignment="bottom"):
        known = run.about()["author"] or browser.name()
        author = st.text_input("Name on it", known, key=f"author {run.id}", max_chars=100)
        said = st.text_area(
            "What did the model learn, and how do you know?",
            key=f"sentences {run.id}",
            max_chars=MOST_CHARACTERS,
            height=100,
        )
    # Named so that those of a class can be told apart.
    name = as_file_name(f"{author} {run.about()['name'] or run.id}")
    typed_file(
        "Download the page to hand in",
        partial(made_page, run),
        (author, said),
        key=f"hand in {run.id}",
        file_name=f"{name or 'report'}.html",
        mime="text/html",
        icon=":material/assignment_turned_in:",
    )


def made_page(run: Run, author: str, said: str) -> bytes:
    """What the button gives."""
    sentences = [("What did the model learn, and how do you know?", said)] if said.strip() else []
    return page_of(report_on(run, author=author.strip(), sentences=sentences))


def handed_in() -> None:
    """Pages that others have made, as one table; nothing of them is kept or run."""
    files = st.file_uploader(
        "Drop them here: runs, worksheets, experiments, labs",
        type=["html", "json"],
        accept_multiple_files=True,
        max_upload_size=MOST_BYTES >> 20,
        help="Drop as many as there are. Numbers and answers are read; nothing in them runs.",
    )
    # A page is drawn again for every click on it; a file is read once.
    before: dict[str, HandedIn | str] = st.session_state.get("handed in", {})
    read = {one.file_id: before.get(one.file_id) or _read(one) for one in files[:MOST_FILES]}
    st.session_state["handed in"] = read
    found = [one for one in read.values() if isinstance(one, HandedIn)]
    refused = [one for one in read.values() if isinstance(one, str)]
    if len(files) > MOST_FILES:
        refused.append(f"Only the first {MOST_FILES} are read: drop the others afterwards.")
    for sentence in refused:
        st.error(plain(sentence))
    if not found:
        return
    _table(
        "The table as CSV",
        "handed-in",
        [_row(one) for one in found],
        "Equal checksums are equal weights: the same file, or the same seed and settings."
        if any(one.checksum for one in found)
        else "",
    )
    for title in dict.fromkeys(one.title for one in found if one.task == "worksheet"):
        st.markdown(f"**{plain(title)}**, an answer a column")
        sheets = [one for one in found if (one.title, one.task) == (title, "worksheet")]
        questions = dict.fromkeys(question for one in sheets for question, _ in one.answers)
        rows = [
            {"Name": one.author, **dict.fromkeys(questions, ""), **dict(one.answers)}
            for one in sheets
        ]
        _table("These answers as CSV", as_file_name(title) or "answers", rows)


def _table(label: str, name: str, rows: Sequence[Mapping[str, object]], note: str = "") -> None:
    """Rows of the same columns, and their file; columns in which nothing stands are left out."""
    empty = (None, "")
    columns = [title for title in rows[0] if any(row[title] not in empty for row in rows)]
    st.dataframe(pd.DataFrame(rows, columns=columns), hide_index=True)
    if note:
        st.caption(note)
    download(
        label,
        lambda: write_csv(list(rows[0]), [list(row.values()) for row in rows]),
        f"{name}.csv",
        key=f"csv {name}",
    )


def _read(file: "UploadedFile") -> HandedIn | str:
    """What a file says, or why it is refused."""
    try:
        return read_report(file.getvalue(), file.name)
    except RunError as error:
        return str(error)


def _row(one: HandedIn) -> dict[str, object]:
    """Shares as per cent; what was not measured stays empty."""

    def value(name: str) -> object:
        found = getattr(one, name)
        return 100 * found if name.endswith("exact_match") and found is not None else found

    return {title: value(name) for name, title in COLUMNS.items()}
