"""A lesson, step by step: links to open, questions to answer, and a worksheet of the answers."""

import hashlib
from functools import partial

import streamlit as st

from pages.components.shared.download import download
from pages.components.shell import address, browser
from pages.components.shell.lessons import (
    built_in,
    class_lesson,
    from_file,
    link_of,
    try_lesson,
)
from pages.components.shell.text import as_file_name, plain
from pages.components.shell.uploaded import in_field
from pages.components.stores.answers import keep_answers, read_answers
from transformer.errors import UserError
from transformer.files import remedy
from transformer.lessons.lesson import BUILT_IN, MOST_BYTES, Exercise, Lesson, what_was_found
from transformer.lessons.worksheet import worksheet

MOST_CHARACTERS = 10_000
"""Maximum number of characters of one answer."""
OWN = "own lesson"
"""Key in session state: the lesson that the user uploaded, and the problems of its file."""
STEP = "lesson step"


def panel() -> None:
    """Draw the chooser, one step of the lesson, the worksheet, and how to write a lesson."""
    lessons, problems = _lessons()
    names = {name: lesson.title or "Exercises" for name, lesson in lessons.items()}
    address.read("lesson", next(iter(names)))
    name: str | None = st.session_state["lesson"]
    gone = "own" not in names and (name or st.query_params.get("lesson")) == "own"
    if gone:
        address.write("lesson", "own")
        st.warning(
            "Your own lesson is gone after the reload: drop its file again below. Your answers are "
            "kept."
        )
        st.session_state["lesson"] = ""
    if list(names) != [name]:
        name = address.choose("Lesson", names, "lesson", "There is no such lesson here.")
    else:
        # No field is drawn: the value is dropped, as it would be outdated when one is drawn again.
        del st.session_state["lesson"]
        if "lesson" in st.query_params:  # it may name one that is gone
            address.write("lesson", next(iter(names)))
    in_own: list[str] = []
    if name == "own":
        lesson, in_own = st.session_state[OWN]
        (st.caption if lesson.exercises else st.warning)(plain(what_was_found(lesson)))
    for sentence in [*in_own, *problems][:5]:
        st.warning(plain(sentence))
    if name is not None:
        _draw(lessons[name])
    with st.expander("For teachers: a lesson of your own", expanded=gone):
        _for_teachers()


def _lessons() -> tuple[dict[str, Lesson], list[str]]:
    """Name in the address -> lesson, the teacher's first; and problems of the teacher's file."""
    found = {"paper": built_in()}
    of_class, problems = class_lesson()
    own: tuple[Lesson, list[str]] | None = st.session_state.get(OWN)
    if own is not None:
        found = {"own": own[0], **found}
    return ({"class": of_class, **found} if of_class else found), problems


def _draw(lesson: Lesson) -> None:
    steps = [step.title or lesson.title or "Exercises" for step in lesson.steps]
    number = _step_number(steps)
    answers = _answers(lesson)
    st.markdown(lesson.steps[number].text)
    for exercise in lesson.steps[number].exercises:
        _exercise(lesson, exercise, answers)
    if number + 1 < len(steps):
        st.button(
            f"Next: {plain(steps[number + 1])}",
            icon=":material/arrow_forward:",
            on_click=address.receive,
            args=(STEP, str(number + 2)),
            key="next step",
        )
    _take_along(lesson, answers)


def _step_number(steps: list[str]) -> int:
    """Draw the chooser of steps; the open step's index, from 0 (in the address from 1)."""
    numbers = [str(number) for number in range(1, len(steps) + 1)]
    address.read(STEP, "1", numbers)
    if len(steps) > 1:
        st.pills(
            "Step",
            numbers,
            format_func=lambda number: plain(steps[int(number) - 1]),
            key=STEP,
            required=True,
            label_visibility="collapsed",
        )
    chosen: str = st.session_state[STEP]
    address.write(STEP, chosen, "1")
    return int(chosen) - 1


def _exercise(lesson: Lesson, exercise: Exercise, answers: dict[str, str]) -> None:
    name = _hash(exercise.title, exercise.question)
    question = plain(exercise.question) or "What did you find?"
    with st.container(border=True, gap="xsmall"):
        with st.container(horizontal=True, vertical_alignment="center"):
            # A new tab, so that question and answer stay open.
            st.link_button(
                plain(exercise.title),
                link_of(exercise),
                icon=":material/open_in_new:",
                help="Opens in a new tab.",
            )
            st.markdown(question)
        key = f"answer {_hash(lesson.title)} {name}"
        shown: dict[str, str] = st.session_state.setdefault("lesson shown", {})
        answer = answers.get(name, "")
        # Set the field only if another tab has answered, or if this tab is older than the server
        # and sends an old text: setting it, even to the same text, replaces what is being typed.
        current = key in st.session_state and key in shown
        if not current or st.session_state[key] == shown[key] != answer:
            st.session_state[key] = shown[key] = answer
        st.text_area(
            question,
            key=key,
            max_chars=MOST_CHARACTERS,
            height=68,
            label_visibility="collapsed",
            placeholder="Your answer",
            on_change=_answered,
            args=(lesson, name, key),
        )


def _answers(lesson: Lesson) -> dict[str, str]:
    """Exercise -> answer of this browser, from all its tabs."""
    return read_answers(browser.owner(), _hash(lesson.title)) | _unwritten(lesson)


def _unwritten(lesson: Lesson) -> dict[str, str]:
    """Answers given in this tab that could not be written yet."""
    found: dict[str, dict[str, str]] = st.session_state.setdefault("unwritten answers", {})
    return found.setdefault(_hash(lesson.title), {})


def _answered(lesson: Lesson, name: str, key: str) -> None:
    shown: dict[str, str] = st.session_state["lesson shown"]
    typed: str = st.session_state[key]
    elsewhere = _answers(lesson).get(name, "")
    if elsewhere.strip() and elsewhere != shown[key] and not typed.startswith(elsewhere):
        # Another tab answered after this one was drawn: keep both answers for the user to choose.
        room = max(0, MOST_CHARACTERS - len(typed) - 2)
        typed = f"{elsewhere[:room]}\n\n{typed}"[-MOST_CHARACTERS:]
    unwritten = _unwritten(lesson)
    unwritten[name] = shown[key] = st.session_state[key] = typed
    st.session_state.pop("answers problem", None)
    try:
        keep_answers(browser.owner(), _hash(lesson.title), unwritten)
        unwritten.clear()
    except UserError as error:
        st.session_state["answers problem"] = str(error)
    except OSError as error:
        st.session_state["answers problem"] = f"They could not be written. {remedy(error)}"


def _take_along(lesson: Lesson, answers: dict[str, str]) -> None:
    """Draw how many exercises are answered, and the worksheet's download."""
    found = {one: answers.get(_hash(one.title, one.question), "") for one in lesson.exercises}
    done = sum(bool(answer.strip()) for answer in found.values())
    if problem := st.session_state.get("answers problem"):
        st.warning(plain(f"Your answers are kept until this tab is closed. {problem}"))
    with st.container(horizontal=True, vertical_alignment="bottom"):
        author = browser.user_name_field("Name on the worksheet", "worksheet author")
        download(
            "Download the worksheet (HTML)",
            partial(worksheet, lesson, found, author.strip(), st.context.url or ""),
            f"{as_file_name(f'{author} {lesson.title}') or 'worksheet'}.html",
            key=f"worksheet {_hash(lesson.title)}",
            icon=":material/assignment_turned_in:",
        )
    st.caption(
        f"{done} of {len(found)} answered. Answers are kept for this browser. The worksheet is one "
        "page to print or to hand in; open questions have lines to write on."
    )


def _for_teachers() -> None:
    st.markdown(
        "A lesson is a text file: each heading starts a step, each list entry is an exercise with "
        "a link and a question. Copy the link from the browser: the whole address, or its end from "
        "the page's name on."
    )
    st.code(
        "# Week 3\n\n## What a head looks at\nAny words.\n\n"
        "- [One head](attention?checkpoint=reverse&input=abc&head=cross.0.0): Where does it look?\n"
        "- [Too fast](train?task=reverse&learning_rate=0.05): What does the curve say?",
        language="markdown",
        wrap_lines=True,
    )
    download("The seven steps as a file to start from", BUILT_IN, "lesson.md")
    st.file_uploader(
        "Try yours: drop the file",
        type=["md", "txt"],
        key="lesson file",
        max_upload_size=1,
        on_change=_dropped,
        help=f"A text file of at most {MOST_BYTES // 1000} kB. Only this tab shows it.",
    )
    if refused := st.session_state.get("lesson refused"):
        st.error(plain(refused))
    st.caption(
        "For a class: save it as exercises.md in the folder where the app is started, or name it "
        "in WORKBENCH_EXERCISES. Everyone's Overview then starts with its exercises. Read returned "
        "worksheets on the page Runs, under *Pages that were handed in*."
    )


def _dropped() -> None:
    file = in_field("lesson file")
    st.session_state.pop("lesson refused", None)
    if file is None:
        return
    try:
        lesson, problems = from_file(file.getvalue(), file.name)
        if not lesson.steps:
            raise UserError(f"{file.name} is empty: write a heading and an exercise.")
    except UserError as error:
        st.session_state["lesson refused"] = str(error)
        return
    try_lesson(lesson)
    st.session_state[OWN] = lesson, problems
    st.session_state["lesson"] = st.session_state["kept lesson"] = "own"
    st.session_state[STEP] = st.session_state[f"kept {STEP}"] = "1"


def _hash(*texts: str) -> str:
    return hashlib.sha256("\0".join(texts).encode("utf-8", "replace")).hexdigest()
