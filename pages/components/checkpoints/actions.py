"""Actions on a stored checkpoint: rename, note, delete, restore."""

from collections.abc import Callable

import streamlit as st

from pages.components.shell import browser, models
from pages.components.shell.frame import problem
from pages.components.shell.models import Listed
from pages.components.shell.text import as_file_name, plain
from pages.components.stores import uploads
from pages.components.stores.uploads import Upload
from transformer.config.limits import Limits
from transformer.errors import CheckpointError, UserError, explaining
from transformer.runs.directory import Run

PROBLEM = "care problem"


def upload_of(entry: Listed) -> Upload | None:
    """The upload of a list entry; None for a bundled checkpoint or one of a run."""
    return uploads.of(entry.path) if entry.id.startswith("upload-") else None


def run_of(entry: Listed) -> Run | None:
    """The run that a list entry belongs to; None for any other checkpoint."""
    return Run(entry.path.parents[1]) if entry.id.startswith("run-") else None


def file_name(entry: Listed) -> str:
    """File name of a download: the checkpoint's name, made valid on every system."""
    if entry.path.parent == models.BUNDLED:
        return entry.path.name
    words = as_file_name(entry.name.lower().removesuffix(".safetensors"))
    return f"{words or 'model'}.safetensors"


def note_of(entry: Listed) -> str:
    """The user's note on a checkpoint, or on its run."""
    if (upload := upload_of(entry)) is not None:
        return upload.note
    run = run_of(entry)
    return str(run.about()["notes"]) if run is not None else ""


def edit_menu(entry: Listed) -> None:
    """Draw a button that opens name, note and deletion, for users who may change them."""
    upload, run = upload_of(entry), run_of(entry)
    with st.popover("Edit", icon=":material/edit:", help="Rename, note, delete"):
        if upload is not None:
            _upload(upload)
        elif run is not None:
            _run(run)
        else:
            st.markdown(
                "A bundled checkpoint is part of the app: it cannot be renamed or deleted. To "
                "have a copy of your own, download it and upload it again."
            )


def _upload(upload: Upload) -> None:
    if not browser.owns(*upload.owners):
        st.markdown("Only the browser that uploaded it can change it.")
        return

    def change(field: str) -> None:
        text = st.session_state[f"{field} {upload.id}"]
        _attempt(lambda: uploads.change(upload.sha256, **{field: text}), upload)

    _fields(upload.id, {"name": upload.name, "note": upload.note}, change)
    st.button(
        "Delete",
        icon=":material/delete:",
        key=f"delete {upload.id}",
        on_click=_delete,
        args=(upload,),
    )
    st.caption("It goes to the trash, from where you can restore it.")


def _run(run: Run) -> None:
    if not browser.may_control(run):
        st.markdown("Only the browser that started this run can change it.")
        return
    about = run.about()

    def change(field: str) -> None:
        text = st.session_state[f"{field} {run.id}"]
        key = {"name": "name", "note": "notes"}[field]

        def attempt() -> None:
            if not browser.may_control(run):
                raise CheckpointError("Only the browser that started this run can change it.")
            run.change(**{key: text})

        _attempt(attempt)

    _fields(run.id, {"name": about["name"], "note": about["notes"]}, change)
    st.caption("Name and note belong to the run, and so to all its checkpoints.")
    st.page_link(
        "pages/runs.py",
        label="Delete it with its run",
        icon=":material/delete:",
        query_params={"runs": run.id},
    )


def _fields(owner: str, values: dict[str, str], change: Callable[[str], None]) -> None:
    """Draw the two fields; their keys have ``owner``, an id, so that none shows another's text."""
    st.text_input(
        "Name",
        values["name"],
        max_chars=uploads.MAX_NAME,
        key=f"name {owner}",
        on_change=change,
        args=("name",),
    )
    st.text_area(
        "Note",
        values["note"],
        max_chars=uploads.MAX_NOTE,
        height=100,
        key=f"note {owner}",
        on_change=change,
        args=("note",),
    )


def _attempt(action: Callable[[], object], upload: Upload | None = None) -> None:
    """Call ``action``; its error is stored, and shown at the top of the page."""
    st.session_state.pop(PROBLEM, None)
    try:
        if upload is not None and not browser.owns(*upload.owners):
            raise CheckpointError("Only the browser that uploaded it can change it.")
        with explaining("It could not be saved"):
            action()
    except UserError as error:
        st.session_state[PROBLEM] = error


def _owner() -> str:
    """The owner who deletes or restores; "" on a server for one user, without owners."""
    return browser.owner() if Limits.from_environment().owned else ""


def _delete(upload: Upload) -> None:
    def move() -> None:
        uploads.delete(upload.sha256, _owner())
        st.session_state["deleted upload"] = (upload.sha256, upload.name)
        # Else the address would name the deleted upload.
        st.session_state["checkpoint"] = models.first(models.listed_checkpoints())

    _attempt(move, upload)


def undo() -> None:
    """At the top of the page: the last error, and an undo button after a deletion."""
    if PROBLEM in st.session_state:
        problem(st.session_state.pop(PROBLEM))
    if "deleted upload" not in st.session_state:
        return
    sha256, name = st.session_state["deleted upload"]
    with st.container(horizontal=True, vertical_alignment="center"):
        st.info(f"{plain(name)} is in the trash.", icon=":material/delete:", width="stretch")
        st.button(
            "Undo", on_click=_restore, args=(sha256,), key="undo delete", icon=":material/undo:"
        )


def _restore(sha256: str) -> None:
    st.session_state.pop("deleted upload", None)

    def back() -> None:
        st.session_state["checkpoint"] = uploads.restore(sha256, _owner()).id

    _attempt(back)


def trash() -> None:
    """At the end of the page: deleted uploads, each with a button that restores it."""
    gone = [one for one in uploads.trash() if browser.owns(*one.owners)]
    if not gone:
        return
    with st.expander(f"Trash ({len(gone)})", icon=":material/delete:"):
        for upload in gone:
            with st.container(horizontal=True, vertical_alignment="center"):
                st.button(
                    "Restore",
                    key=f"restore {upload.id}",
                    on_click=_restore,
                    args=(upload.sha256,),
                )
                st.markdown(plain(upload.name), width="content")
