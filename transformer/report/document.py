"""One HTML file that works offline, prints well, runs nothing, and may contain data as JSON."""

import html
import json
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from transformer.vocabulary.vocabulary import visible

FORMAT = "transformer-workbench-report"
VERSION = 1
"""Format and version, as the data states them."""
DATA_ID = "report"
"""The id of the element that holds the JSON."""

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
  content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; --ink: #0d1116; --paper: #fff; --pale: #5b6470;
  --line: #d0d5db; --one: #0072b2; --two: #8a8a8a; --level: #d55e00; --good: #006b4f;
  --bad: #b3261e; --doubt: #b87a00; }}
@media (prefers-color-scheme: dark) {{ :root {{ --ink: #e6eaef; --paper: #11151a;
  --pale: #a3adb8; --line: #3a424b; --one: #56b4e9; --two: #a0a0a0; --level: #e69f00;
  --good: #5fd0a8; --bad: #ff9d94; --doubt: #e69f00; }} }}
@media print {{ :root {{ color-scheme: light; }} details > * {{ display: block; }}
  tr {{ break-inside: avoid; }} }}
body {{ font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper);
  max-width: 1180px; margin: 1.5rem auto; padding: 0 1rem; }}
h1 {{ margin-bottom: 0; }} .about {{ color: var(--pale); margin-top: .2rem; }}
.verdict {{ font-size: 1.25rem; border-left: 5px solid var(--two); padding-left: .8rem; }}
.good {{ border-color: var(--good); }} .bad {{ border-color: var(--bad); }}
.doubt {{ border-color: var(--doubt); }} .note {{ border-color: var(--one); }}
.none {{ border-left-style: dashed; }}
.pair {{ display: flex; flex-wrap: wrap; gap: 1rem; }} .pair > figure {{ flex: 1 1 360px; }}
figure {{ margin: 0; }} figcaption {{ font-weight: 600; }}
svg text {{ fill: var(--ink); font-size: 12px; }} svg .grid {{ stroke: var(--line); }}
svg .one, svg .two, svg .level {{ fill: none; stroke-width: 2; }}
svg .one {{ stroke: var(--one); }} svg .two {{ stroke: var(--two); stroke-width: 1; }}
svg .level {{ stroke: var(--level); stroke-dasharray: 6 4; }}
.legend span {{ margin-right: 1.2rem; white-space: nowrap; }}
.maps {{ display: flex; flex-wrap: wrap; gap: .8rem; }}
.map figcaption {{ font-weight: 400; font-size: .8rem; }}
.map img {{ image-rendering: pixelated; border: 1px solid var(--line); }}
table {{ border-collapse: collapse; }} .wide {{ overflow-x: auto; }}
th, td {{ border-bottom: 1px solid var(--line); padding: .2rem .8rem .2rem 0; text-align: left;
  vertical-align: top; }}
td {{ overflow-wrap: break-word; max-width: 32rem; }} .named td {{ overflow-wrap: anywhere; }}
blockquote {{ margin: .3rem 0 1rem; padding-left: .8rem; border-left: 3px solid var(--line);
  white-space: pre-wrap; }}
.lines {{ border-bottom: 1px solid var(--line); height: 2.2rem; }}
pre {{ white-space: pre-wrap; }}
code {{ overflow-wrap: anywhere;
  border: 1px solid var(--line); border-radius: 4px; padding: 0 .25rem; }}
</style>
</head>
<body>
<h1>{title}</h1>
<p class="about">{about}</p>
{body}
{data}</body>
</html>
"""


def document(title: str, about: str, body: str, data: Mapping[str, Any] | None = None) -> bytes:
    """Make the file.

    Args:
        title, about: text, which is escaped here. body: HTML.
        data: the page's content, for programs.
    """
    carried = ""
    if data is not None:
        # "<" could end the element, so it is written as a JSON escape.
        plain = json.dumps(data, ensure_ascii=False, allow_nan=False).replace("<", "\\u003c")
        carried = f'<script type="application/json" id="{DATA_ID}">{plain}</script>\n'
    page = PAGE.format(title=text(title), about=text(about), body=body, data=carried)
    return page.encode("utf-8", "replace")


def handed_in(
    kind: str, title: str, author: str, verdict: str, answers: Iterable[tuple[str, str]]
) -> dict[str, Any]:
    """The data of a page to hand in, for :mod:`report.reading`, with the present time.

    Args:
        answers: questions, each with the user's answer.
    """
    return {
        "format": FORMAT,
        "version": VERSION,
        "kind": kind,
        "title": title,
        "author": author,
        "made": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "verdict": {"sentence": verdict},
        "sentences": [{"question": question, "answer": answer} for question, answer in answers],
    }


def by_and_when(data: Mapping[str, Any]) -> str:
    """The line below the title of a page to hand in: "Anna · 2026-11-29 06:01 UTC"."""
    when = f"{data['made'][:10]} {data['made'][11:16]} UTC"
    return " · ".join(part for part in (data["author"], when) if part)


def table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of texts, which are escaped here."""
    head = "".join(f"<th>{text(title)}</th>" for title in titles)
    body = "".join(
        "<tr>" + "".join(f"<td>{text(value)}</td>" for value in row) + "</tr>" for row in rows
    )
    return f'<div class="wide"><table><tr>{head}</tr>{body}</table></div>'


def named(values: Mapping[str, str]) -> str:
    """A table of names and texts; empty texts are left out."""
    rows = (
        f"<tr><th scope='row'>{text(name)}</th><td>{text(value)}</td></tr>"
        for name, value in values.items()
        if value
    )
    return f'<table class="named">{"".join(rows)}</table>'


def text(said: str) -> str:
    """Text from a person or a file, as HTML that shows it exactly."""
    return html.escape("\n".join(visible(line) for line in said.split("\n")))
