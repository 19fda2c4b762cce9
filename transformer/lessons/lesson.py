"""A lesson, and how to read it from a Markdown file such as this:

# What a head looks at

## Embedding
A token is only a number.

- [Its vector](learn?box=source.embedding): What does it say about its neighbours?
"""

import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

from transformer.errors import UserError

MOST_BYTES, MOST_EXERCISES = 100_000, 100
BUILT_IN = Path(__file__).with_name("attention_is_all_you_need.md")
HEADING = re.compile(r"#{1,6}\s+(?P<title>.+?)\s*#*")
EXERCISE = re.compile(
    r"(?:[-*+]|\d{1,3}[.)])\s+\[(?P<title>[^\]]+)\]\((?P<link>[^()\s]*)\)\s*[:.–-]?\s*(?P<question>.*)"
)


@dataclass(frozen=True)
class Exercise:
    """A link to a page, and a question to answer there.

    link: relative to the app, or the full address of another site.
    page: name of the app's page in the address, "" for the Overview; None for another site.
    """

    title: str
    question: str
    link: str
    page: str | None

    @property
    def query(self) -> dict[str, str]:
        """The query parameters of the link."""
        return dict(parse_qsl(urlsplit(self.link).query))


@dataclass(frozen=True)
class Step:
    """The content under one heading. title: empty before the first heading. text: Markdown."""

    title: str
    text: str
    exercises: tuple[Exercise, ...]


@dataclass(frozen=True)
class Lesson:
    """A title, and steps with text, exercises or both."""

    title: str
    steps: tuple[Step, ...]

    @property
    def exercises(self) -> tuple[Exercise, ...]:
        """The exercises of all steps."""
        return tuple(one for step in self.steps for one in step.exercises)


def what_was_found(lesson: Lesson) -> str:
    """How much of a file was understood, in a sentence for its author."""
    exercises, headed = len(lesson.exercises), sum(bool(step.title) for step in lesson.steps)
    if not exercises:
        return (
            "No exercise was found, so there is nothing to answer. Write each as a list entry with "
            "a link: “- [Title](train?task=sort): Question”."
        )
    many = f"{exercises} exercise{'' if exercises == 1 else 's'} found"
    if not headed and not lesson.title:
        return f"{many}, without headings: a line that starts with ## begins a step."
    steps = len(lesson.steps)
    return f"{many}, in {steps} step{'' if steps == 1 else 's'}."


def decode_lesson(content: bytes, name: str) -> str:
    """The text of a file.

    Raises:
        UserError: the file is too large for a lesson, or is not text.
    """
    if len(content) > MOST_BYTES:
        raise UserError(f"{name} is larger than {MOST_BYTES // 1000} kB, the limit for a lesson.")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UserError(f"{name} is not text in UTF-8: save it again as plain text.") from None
    if "\0" in text:
        raise UserError(f"{name} is not text: a lesson is a Markdown file.")
    return text


def read_lesson(text: str, pages: Collection[str], host: str = "") -> tuple[Lesson, list[str]]:
    """A lesson, and a sentence for each list entry that is not an exercise.

    The first heading is the title, if nothing comes before it; every other heading begins a step.

    Args:
        pages: names of the app's pages, as in addresses.
        host: the app's host, so that a link copied from the browser stays inside the app.
    """
    title, steps, problems, in_code = "", [_Open("")], [], False
    for number, line in enumerate(text.splitlines(), 1):
        heading, last = HEADING.fullmatch(line.strip()), steps[-1]
        fence = line.lstrip().startswith(("```", "~~~"))
        in_code ^= fence
        if in_code or fence:
            last.words.append(line)
            continue
        if heading and not title and len(steps) == 1 and not last.words and not last.exercises:
            title = heading["title"]
        elif heading:
            steps.append(_Open(heading["title"]))
        elif line.lstrip().startswith(("- ", "* ", "+ ")) or EXERCISE.fullmatch(line.strip()):
            found = _exercise(line.strip(), pages, host)
            if isinstance(found, str):
                problems.append(f"Line {number} is not an exercise. {found}")
            elif sum(len(step.exercises) for step in steps) == MOST_EXERCISES:
                problems.append(
                    f"Only {MOST_EXERCISES} exercises are shown; line {number} is one more."
                )
                break
            else:
                last.exercises.append(found)
        elif line.strip() or last.words:
            last.words.append(line)
    return Lesson(title, tuple(step.closed() for step in steps if step)), problems


class _Open:
    """A step that is still being read."""

    def __init__(self, title: str) -> None:
        self.title = title
        self.words: list[str] = []
        self.exercises: list[Exercise] = []

    def __bool__(self) -> bool:
        return bool(self.title or self.words or self.exercises)

    def closed(self) -> Step:
        return Step(self.title, "\n".join(self.words).strip(), tuple(self.exercises))


def _exercise(line: str, pages: Collection[str], host: str) -> Exercise | str:
    """The exercise, or a sentence on what to write instead."""
    parts = EXERCISE.fullmatch(line)
    if parts is None:
        return "Write “- [Title](train?task=sort): Question”: each exercise has a link."
    title, question, link = parts["title"].strip(), parts["question"].strip(), parts["link"]
    try:
        target = urlsplit(link)
    except ValueError:
        return "Its link is not a valid address."
    if target.scheme not in ("", "http", "https") or (target.netloc and not target.scheme):
        return "Its link must begin with https:// or with the name of a page of this app."
    if target.netloc and target.netloc != host:
        return Exercise(title, question, link, None)
    name = target.path.strip("/")
    name = name.rpartition("/")[2] if target.netloc else name
    if name not in pages:
        known = ", ".join(sorted(filter(None, pages)))
        return f"This app has no page “{name[:60]}”; it has {known}."
    return Exercise(title, question, f"{name}?{target.query}" if target.query else name, name)
