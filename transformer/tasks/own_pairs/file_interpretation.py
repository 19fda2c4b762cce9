"""How a file of pairs was read, in sentences, the same on the page and in the terminal."""

from collections.abc import Sequence
from dataclasses import dataclass

from transformer.tasks.own_pairs.encodings import NAMES
from transformer.tasks.own_pairs.layout import MARK_NAMES, Layout


@dataclass(frozen=True)
class FileInterpretation:
    """How a file was read.

    encoding: Python's name; guessed: whether it is a guess.
    rows: the first records, all their columns.
    """

    encoding: str
    guessed: bool
    layout: Layout
    rows: Sequence[Sequence[str]]

    @property
    def is_ambiguous(self) -> bool:
        """Whether the file could also have been read in another way."""
        layout = self.layout
        return self.guessed or layout.columns > 2 or layout.names_first_line or layout.quoted

    def sentences(self) -> list[str]:
        """How the file differs from the simplest one, two texts in UTF-8 with a tab between."""
        layout, said = self.layout, []
        if self.encoding != "utf-8":
            guess = ": a guess; if letters are wrong, name another" if self.guessed else ""
            said.append(f"Read as {NAMES[self.encoding]}{guess}.")
        if layout.names_first_line:
            shown = " | ".join(name[:40] or "(no name)" for name in layout.header)
            said.append(f"The first line, {shown}, names the columns and is left out.")
        said += self._between()
        if layout.quoted:
            said.append("Quotation marks around cells are a spreadsheet's, and are left out.")
        if layout.columns > 2:
            pair = layout.source, layout.target
            others = [n for n in range(layout.columns) if n not in pair]
            said.append(
                f"The lines have {layout.columns} columns: {self.column(pair[0])} is the source, "
                f"{self.column(pair[1])} the target; left out: "
                f"{', '.join(self.column(n, sample=True) for n in others)}."
            )
        elif layout.form == "json" or layout.source > layout.target:
            said.append(
                f"{layout.header[layout.source]} is the source, "
                f"{layout.header[layout.target]} the target."
            )
        return said

    def _between(self) -> list[str]:
        layout = self.layout
        if layout.form == "aligned":
            return ["Two files, line by line: the sources, and their targets."]
        if layout.form == "json":
            return ["Read as JSON, a record for each pair."]
        if layout.form == "labels":
            return ["Read as lines of IN: source OUT: target."]
        if layout.tight:
            return [
                "Cells are separated by commas; a comma before a space or between two digits "
                "belongs to the text."
            ]
        plain = "," if layout.form == "csv" else "\t"
        if layout.delimiter != plain:
            return [f"Cells are separated by {MARK_NAMES[layout.delimiter]}."]
        return []

    def column(self, place: int, *, sample: bool = False) -> str:
        """A column's number, with its name or the beginning of its first cell."""
        header = self.layout.header
        name = header[place] if place < len(header) else ""
        if sample and not name and self.rows and place < len(self.rows[0]):
            cell = self.rows[0][place]
            name = cell if len(cell) <= 20 else cell[:19] + "…"
        return f"column {place + 1} ({name})" if name else f"column {place + 1}"
