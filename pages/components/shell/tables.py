"""Tables as HTML, for cells that need more than text: marks, bars, and tokens in their own font.

``style.css`` has their styles, under the name of each table.
"""

from collections.abc import Iterable, Sequence
from html import escape
from itertools import zip_longest

from pages.components.shell.text import Html
from transformer.vocabulary.vocabulary import visible


class Cell:
    """A cell with a class or other attributes, or with another tag than its position implies."""

    def __init__(self, content: str, kind: str = "", tag: str = "", **attributes: str) -> None:
        self.content = content
        self.tag = tag
        self.attributes = ({"class": kind} if kind else {}) | attributes


Row = Sequence[str | Cell]


def html_table(
    name: str,
    head: Row,
    rows: Iterable[Row],
    *,
    label: str = "",
    kinds: Sequence[str] = (),
    row_heads: bool = True,
    note: str = "",
) -> Html:
    """A table in a box that scrolls sideways.

    Args:
        name: the class of the box.
        head: the titles of the columns.
        label: what the table is, for screen readers.
        kinds: a class for each row, "" for none.
        row_heads: whether the first cell of a row is its title.
        note: a sentence under the table, in the same box.
    """
    first = "th" if row_heads else "td"
    body = "".join(
        _row(cells, first, "td", kind or "")
        for cells, kind in zip_longest(rows, kinds)
        if cells is not None
    )
    region = f' tabindex="0" role="region" aria-label="{escape(label)}"' if label else ""
    under = f"<p>{escape(note)}</p>" if note else ""
    return Html(
        f'<div class="html-table {name}"{region}><table>'
        f"<thead>{_row(head, 'th', 'th')}</thead><tbody>{body}</tbody></table>{under}</div>"
    )


def _row(cells: Row, first: str, tag: str, kind: str = "") -> str:
    made = "".join(_cell(cell, tag if i else first, i, tag) for i, cell in enumerate(cells))
    return f'<tr class="{kind}">{made}</tr>' if kind else f"<tr>{made}</tr>"


def _cell(cell: str | Cell, tag: str, place: int, usual: str) -> str:
    if isinstance(cell, str):
        cell = Cell(cell)
    tag = cell.tag or tag
    scope = {"scope": "col" if usual == "th" else "row"} if tag == "th" else {}
    attributes = "".join(
        f' {name.replace("_", "-")}="{escape(value)}"'
        for name, value in (scope | cell.attributes).items()
    )
    text = cell.content if isinstance(cell.content, Html) else escape(visible(cell.content))
    return f"<{tag}{attributes}>{text}</{tag}>"
