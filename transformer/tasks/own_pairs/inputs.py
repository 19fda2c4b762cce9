"""Reading many inputs: one per line, or input and target with a tab or an arrow between them."""

import io
from dataclasses import dataclass

from transformer.errors import TaskError
from transformer.tasks.own_pairs.file import MAX_TEXT
from transformer.tasks.own_pairs.layout import cut_line
from transformer.tasks.own_pairs.lines import MAX_LINE_BYTES, TextLines

MAX_INPUTS = 10_000
MAX_BYTES = 10_000_000


@dataclass(frozen=True)
class Input:
    """One line of the user's text or file.

    line: its number, from 1. target: None if the line has none.
    problem: why it cannot be used, in one sentence; empty if it can.
    """

    line: int
    text: str
    target: str | None = None
    problem: str = ""


@dataclass(frozen=True)
class Inputs:
    """The inputs in order, and how they were read.

    encoding: Python's name. extra: number of lines with more than two cells, of which two are used.
    """

    inputs: tuple[Input, ...]
    encoding: str = "utf-8"
    extra: int = 0

    @property
    def targets(self) -> int:
        """Number of inputs with a target."""
        return sum(one.target is not None for one in self.inputs)


def parse_inputs(content: bytes) -> Inputs:
    """Read a file's content, or a text's bytes. White space inside a text becomes one space.

    Empty lines are skipped. A line that cannot be used keeps its place, with its problem.

    Raises:
        TaskError: the content is too large, not text, or has no input or too many.
    """
    if len(content) > MAX_BYTES:
        raise TaskError(
            f"This is {len(content) / 1e6:,.1f} MB; at most {MAX_BYTES // 1_000_000} MB can be "
            "decoded at once. Bring it in parts."
        )
    lines = TextLines(io.BytesIO(content))
    found: list[Input] = []
    extra = count = 0
    for number, line in lines:
        if line is not None and not line.strip():
            continue
        count += 1
        if count > MAX_INPUTS:
            continue
        if line is None:
            problem = f"The line has more than {MAX_LINE_BYTES:,} bytes; shorten it."
            found.append(Input(number, "", None, problem))
            continue
        cells = [" ".join(cell.split()) for cell in cut_line(line, apart=True)]
        extra += len(cells) > 2 and any(cells[2:])
        target = (cells[1] or None) if len(cells) > 1 else None
        problem = ""
        if max(map(len, cells[:2])) > MAX_TEXT:
            problem = f"The line has more than {MAX_TEXT:,} characters; shorten it."
            cells[0] = cells[0][:MAX_TEXT]
            target = None if target is None else target[:MAX_TEXT]
        found.append(Input(number, cells[0], target, problem))
    if count > MAX_INPUTS:
        raise TaskError(
            f"There are {count:,} inputs; at most {MAX_INPUTS:,} can be decoded at once. Bring "
            "them in parts."
        )
    if not found:
        raise TaskError("There is no input yet. Write one per line.")
    return Inputs(tuple(found), lines.encoding, extra)
