"""HTML tables on the pages: text from files and users is escaped."""

from pages.components.shell.tables import Cell, html_table
from pages.components.shell.text import Html

HOSTILE = "<b onclick='x'>"


def test_text_is_escaped_wherever_it_stands_and_html_is_not() -> None:
    made = html_table(
        "rows",
        [HOSTILE],
        [[HOSTILE, Cell(HOSTILE, title=HOSTILE), Html("<i>mark</i>")]],
        label=HOSTILE,
    )
    assert "<b" not in made
    assert made.count("&lt;b") == 5
    assert "<td><i>mark</i></td>" in made


def test_rows_have_their_heads_and_classes() -> None:
    made = html_table("x", ["", "a"], [["one", "1"], ["two", "2"]], kinds=["", "here"])
    assert '<tr><th scope="row">one</th><td>1</td></tr>' in made
    assert '<tr class="here"><th scope="row">two</th><td>2</td></tr>' in made
    assert '<th scope="col">a</th>' in made


def test_what_is_invisible_shows_by_its_code() -> None:
    assert "U+202E" in html_table("x", [], [["\u202e"]])
