"""One upload field for all formats: a file is recognised by its bytes and becomes a checkpoint.

In session state: "arrival", the file that is being imported; "outcome", the result of the last
one; "arrived", a checkpoint to choose at the page's next rerun, before the field is drawn.
"""

from collections.abc import Generator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st
from streamlit import config

from pages.components.checkpoints import state_dict_form
from pages.components.shell import browser, jobs, models, session
from pages.components.shell.frame import problem
from pages.components.shell.models import Listed
from pages.components.shell.text import full_stop, plain, verbatim
from pages.components.shell.uploaded import free, in_field
from pages.components.stores import arrivals, uploads
from pages.components.stores.arrivals import Arrival
from transformer.config.limits import NO_FOREIGN_FILES, Limits
from transformer.errors import CheckpointError, UserError
from transformer.files import remedy
from transformer.interop import formats
from transformer.vocabulary.vocabulary import visible

if TYPE_CHECKING:
    from transformer.checkpoint import Checkpoint
    from transformer.interop.base import Format

LABEL = "Bring a model: drop a file here"
IMPORT = "import job"
"""Key in session state: the job that converts the uploaded file into a checkpoint."""
IMPORTS = jobs.Queue(1, "waiting for another import to end", usual_seconds=25.0)
MOST_SECONDS = 600
MOST_TOKENS = 60
"""Maximum number of tokens of the example that a newly uploaded model decodes."""


@dataclass(frozen=True)
class Outcome:
    """Result of an upload.

    id: of its checkpoint. example: an input and the model's output.
    same_as: name of a listed model with the same file. problem: why the file was refused.
    """

    name: str
    id: str = ""
    example: tuple[str, str] | None = None
    same_as: str = ""
    problem: UserError | None = None


def upload_field() -> None:
    """Draw the field and the last result. Call it before the field that chooses a checkpoint."""
    state, limits = st.session_state, Limits.from_environment()
    if (chosen := state.pop("arrived", None)) is not None:
        state["checkpoint"] = chosen
    if config.get_option("server.maxUploadSize") > limits.upload_mb:
        config.set_option("server.maxUploadSize", limits.upload_mb)  # a demo has less memory
    # A new field for every file, so that the previous file can be freed.
    turn = state.setdefault("upload turn", 0)
    with st.container(key="upload-field"):
        st.file_uploader(
            LABEL,
            key=f"upload {turn}",
            max_upload_size=limits.upload_mb,
            on_change=_take,
            args=(turn,),
            help=f"{_taken(limits)} Up to {limits.upload_mb} MB.",
        )
    arrival: Arrival | None = state.get("arrival")
    if arrival is not None and not arrival.checked:
        _receive(arrival, limits)
    _tell(state.get("outcome"))


def questions() -> bool:
    """Ask what only the user knows about an uploaded state dict, if there is one.

    Returns:
        whether questions are shown; the page then shows no other checkpoint.
    """
    arrival: Arrival | None = st.session_state.get("arrival")
    if arrival is None or not arrival.checked:
        return False
    checkpoint: Checkpoint | None = None
    with st.container(border=True):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.subheader(f"Import {plain(arrival.name)}")
            st.button("Leave this file", on_click=_leave, key="leave", icon=":material/close:")
        try:
            if not arrival.path.exists():
                raise CheckpointError(
                    "The file was deleted to make room for newer ones. Bring it again."
                )
            checkpoint = state_dict_form.state_dict_form(arrival.path, arrival.name)
        except UserError as error:
            problem(error)
    if checkpoint is None:
        return True
    try:
        st.session_state["arrived"] = _keep(arrival, checkpoint, made_here=True)
    except (UserError, OSError) as error:
        problem(_sentence(error))
        return True
    st.rerun()
    return True


def _take(turn: int) -> None:
    """The field's callback: move the file from memory to disk, and make a new field."""
    uploaded = in_field(f"upload {turn}")
    if uploaded is None or turn != st.session_state["upload turn"]:
        return  # called again when a file that was moved disappears from its field
    _leave()
    st.session_state["upload turn"] = turn + 1
    try:
        st.session_state["arrival"] = arrivals.put(
            uploaded.name, uploaded, uploaded.size, browser.owner()
        )
    except (UserError, OSError) as error:
        st.session_state["outcome"] = Outcome(uploaded.name, problem=_sentence(error))
    free(uploaded)


def _leave() -> None:
    """Drop the file that is being imported, its job, and the last result."""
    arrival: Arrival | None = st.session_state.pop("arrival", None)
    st.session_state.pop("outcome", None)
    job: jobs.Job | None = st.session_state.pop(IMPORT, None)
    if job is not None:
        job.cancel()
    if arrival is not None:
        state_dict_form.forget(arrival.path)
        arrival.drop()


def _receive(arrival: Arrival, limits: Limits) -> None:
    """Convert the uploaded file into a checkpoint, or find out what must be asked first.

    A click in the meantime restarts the page; the file is then still there, and this starts again.
    """
    try:
        with st.spinner(f"Looking at {plain(arrival.name)}…"):
            session.use_torch()
            found = _recognise(arrival.path, limits)
        with st.spinner(found.work.format(plain(arrival.name))):
            if found is formats.OWN:
                st.session_state["checkpoint"] = _keep(arrival, arrival.path)
            elif found.read is None:
                st.session_state["arrival"] = arrivals.unpickled(arrival)
        if found.read is not None:
            _import(arrival, found)
    except Exception as error:
        # Drop the file: otherwise the same error would occur again at every click.
        _leave()
        if not isinstance(error, UserError | OSError):
            raise
        st.session_state["outcome"] = Outcome(arrival.name, problem=_sentence(error))


def _import(arrival: Arrival, found: "Format") -> None:
    """Convert a model of another format into a checkpoint, in a separate process.

    Raises:
        UserError: it cannot be converted, or the job was stopped.
    """
    job = jobs.current(IMPORT, arrival.path)
    if job is None:
        job = jobs.start(arrival.path, partial(_imported, arrival.path), IMPORTS)
        st.session_state[IMPORT] = job
    if job.running:
        jobs.show(job, found.work.format(plain(arrival.name)).rstrip("…"))
        return
    del st.session_state[IMPORT]
    if job.error is not None:
        raise job.error
    if not isinstance(job.result, Path):
        raise CheckpointError("The import was stopped. Bring the file again to start it again.")
    try:
        st.session_state["checkpoint"] = _keep(arrival, job.result, made_here=True)
    finally:
        job.result.unlink(missing_ok=True)


def _imported(source: Path) -> Generator[object, None, None]:
    """The work of a job: its result is the path of the converted checkpoint."""
    target = source.with_name(f"{source.name}-imported")
    words = ("import", str(source.resolve()), str(target.resolve()))
    for _ in jobs.command(*words, limit_seconds=MOST_SECONDS):
        yield ""
    if not target.is_file():
        raise CheckpointError(
            "The model could not be imported: it took too long or too much memory, or a library "
            "could not handle its vocabularies. The file is very large, damaged or forged."
        )
    yield target


def _taken(limits: Limits) -> str:
    """One sentence on the formats that can be uploaded."""
    if not limits.foreign_files:
        listing = f"{formats.OWN.one}."
    else:
        *others, last = (item.one for item in formats.FORMATS)
        listing = f"{', '.join(others)}, or {last}."
    return listing[0].upper() + listing[1:]


def _recognise(path: Path, limits: Limits) -> "Format":
    if path.stat().st_size > limits.upload_mb << 20:
        raise CheckpointError(f"The file is larger than {limits.upload_mb} MB, the maximum here.")
    try:
        found = formats.recognise(path)
    except CheckpointError:
        if limits.foreign_files:
            raise
        raise CheckpointError(NO_FOREIGN_FILES) from None
    if found is not formats.OWN and not limits.foreign_files:
        raise CheckpointError(NO_FOREIGN_FILES)
    return found


def _keep(arrival: Arrival, content: "Path | Checkpoint", *, made_here: bool = False) -> str:
    """Store the checkpoint, and decode one of its own examples; returns its id.

    Args:
        made_here: whether its stored examples were decoded here, just now.
    """
    upload, checkpoint = uploads.keep(arrival.name, content, browser.owner())
    # Just checked and written: reading 300 MB again would show nothing new.
    session.remember(upload.path, checkpoint)
    _leave()
    example = None
    if made_here:
        first = checkpoint.header.examples[:1]
        example = (first[0].source, first[0].output) if first else None
    checkpoint = session.load(Listed(upload.id, upload.name, upload.path))
    if example is None and checkpoint.header.examples:
        source = checkpoint.header.examples[0].source
        with suppress(UserError):  # the checkpoint's check reports an unreadable example
            from transformer.decoding import Greedy

            # Limited: a large model that finds no end would write for minutes, without a message.
            answer = checkpoint.answers([source], Greedy(max_length=MOST_TOKENS))[0]
            example = (source, answer.output + "…" * (not answer.complete))
    same = models.identical(upload.path)
    st.session_state["outcome"] = Outcome(
        arrival.name, upload.id, example, same.name if same else ""
    )
    return upload.id


def _sentence(error: UserError | OSError) -> UserError:
    if isinstance(error, UserError):
        return error
    return UserError(f"The file could not be kept: {error.strerror}. {remedy(error)}.")


def _tell(outcome: Outcome | None) -> None:
    if outcome is None:
        return
    name = visible(outcome.name)
    if outcome.problem is not None:
        problem(UserError(f"{name} was not taken. {outcome.problem}"))
    elif outcome.id == st.session_state.get("checkpoint"):
        said = f"**{plain(name)}** is here and chosen."
        if outcome.example is not None:
            source, output = outcome.example
            said += f" It reads {verbatim(_short(source))} and writes {verbatim(_short(output))}"
            said += full_stop(output)
        if outcome.same_as:
            said += f" It is identical to {plain(outcome.same_as)}: same SHA-256."
        st.success(said, icon=":material/check_circle:")


def _short(text: str) -> str:
    return text if len(text) <= 200 else text[:199] + "…"
