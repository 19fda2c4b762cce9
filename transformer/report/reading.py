"""Reading reports that others hand in: each file's numbers, checked, for one table of all."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from html.parser import HTMLParser
from typing import Any

from transformer.errors import RunError
from transformer.report.document import DATA_ID, FORMAT, VERSION

MOST_BYTES = 16 << 20
MOST_TEXT = 20_000
MOST_ANSWERS = 200
KINDS_WITHOUT_RUN = ("worksheet", "experiment", "lab")


@dataclass(frozen=True)
class HandedIn:
    """One report in a teacher's table. Scores are shares of 1; None if not measured, or if the
    page is not about a run."""

    title: str
    author: str
    made: str
    task: str
    verdict: str
    answers: tuple[tuple[str, str], ...]
    """Questions, each with the author's answer."""
    steps: int | None = None
    seed: int | None = None
    loss: float | None = None
    exact_match: float | None = None
    untrained_exact_match: float | None = None
    checksum: str = ""

    @property
    def sentences(self) -> str:
        """The author's answers in one line."""
        return " / ".join(answer for _, answer in self.answers)[:MOST_TEXT]


class _Finder(HTMLParser):
    """Finds the text of the element with the JSON; nothing of the page is run or loaded."""

    def __init__(self) -> None:
        super().__init__()
        self.inside = False
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.inside = tag == "script" and dict(attrs).get("id") == DATA_ID

    def handle_endtag(self, tag: str) -> None:
        self.inside = False

    def handle_data(self, data: str) -> None:
        if self.inside:
            self.found.append(data)


def read_report(content: bytes, name: str) -> HandedIn:
    """Read a report's page, or the JSON of one.

    Args:
        name: of the file, for the error message.

    Raises:
        RunError: it is not a report, is too large, or its numbers cannot be true.
    """
    if len(content) > MOST_BYTES:
        raise RunError(f"{name} is larger than {MOST_BYTES >> 20} MB, so it is not a report.")
    text = content.decode("utf-8", "replace")
    if text.lstrip().startswith("<"):
        finder = _Finder()
        finder.feed(text)
        text = "".join(finder.found)
    try:
        plain = json.loads(text)
    except (ValueError, RecursionError):
        plain = None
    if not isinstance(plain, dict) or plain.get("format") != FORMAT:
        raise RunError(
            f"{name} is not a report of this app: drop an HTML file that Hand in or Download the "
            "worksheet has made."
        )
    if plain.get("version") != VERSION:
        raise RunError(
            f"{name} was made by another version of this app: make it again with this version."
        )
    found = _without_run(plain) if plain.get("kind") in KINDS_WITHOUT_RUN else _checked(plain)
    if found is None:
        raise RunError(f"{name} is damaged: a number or a name in it is not valid.")
    return found


def _without_run(plain: Mapping[str, Any]) -> HandedIn | None:
    texts = _texts(plain, "title", "author", "made", "kind")
    said, answers = _verdict(plain), _answers(plain.get("sentences"))
    if texts is None or said is None or len(said) > MOST_TEXT or answers is None:
        return None
    title, author, made, kind = texts
    return HandedIn(title, author, made, kind, said, answers)


def _texts(plain: Mapping[str, Any], *names: str) -> list[str] | None:
    """The texts of these names; None if one is not a text, or is too long."""
    found: list[Any] = [plain.get(name) for name in names]
    return found if all(isinstance(one, str) and len(one) <= MOST_TEXT for one in found) else None


def _verdict(plain: Mapping[str, Any]) -> str | None:
    verdict = plain.get("verdict")
    said = verdict.get("sentence") if isinstance(verdict, dict) else None
    return said if isinstance(said, str) else None


def _answers(sentences: object) -> tuple[tuple[str, str], ...] | None:
    """(question, answer) of each; None if they do not have the form of a report's."""
    if not isinstance(sentences, list) or len(sentences) > MOST_ANSWERS:
        return None
    found = []
    for one in sentences:
        both = (one.get("question"), one.get("answer")) if isinstance(one, dict) else (None, None)
        if not all(isinstance(said, str) for said in both):
            return None
        found.append((str(both[0])[:MOST_TEXT], str(both[1])[:MOST_TEXT]))
    return tuple(found)


def _checked(plain: Mapping[str, Any]) -> HandedIn | None:
    texts = _texts(plain, "title", "author", "made", "task", "state", "checksum")
    said, answers = _verdict(plain), _answers(plain.get("sentences"))
    scores = plain.get("scores")
    if (
        texts is None
        or said is None
        or answers is None
        or not isinstance(scores, dict)
        or not all(isinstance(scores.get(key), dict) for key in ("trained", "untrained"))
        or not all(type(plain.get(key)) is int and plain[key] >= 0 for key in ("steps", "seed"))
    ):
        return None
    trained, untrained = scores["trained"], scores["untrained"]
    measured = (trained.get("loss"), trained.get("exact_match"), untrained.get("exact_match"))
    most = (math.inf, 1, 1)
    for value, limit in zip(measured, most, strict=True):
        if value is not None and (
            isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= limit
        ):
            return None
    title, author, made, task, _, checksum = texts
    return HandedIn(
        title,
        author,
        made,
        task,
        said[:MOST_TEXT],
        answers,
        steps=plain["steps"],
        seed=plain["seed"],
        loss=measured[0],
        exact_match=measured[1],
        untrained_exact_match=measured[2],
        checksum=checksum,
    )
