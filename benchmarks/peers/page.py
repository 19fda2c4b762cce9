"""The results as one self-contained HTML page of tables and charts."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import plotly.graph_objects as go

from benchmarks.peers.measure import Spread
from benchmarks.peers.rows import Row
from benchmarks.peers.sizes import SIZES
from benchmarks.peers.targets import TARGETS, table
from transformer.figures.style import HEADS

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem }
table { border-collapse: collapse; margin: 1rem 0; font-size: 0.9rem }
th, td { border: 1px solid #ccc; padding: 0.2rem 0.6rem; text-align: left }
td.number { text-align: right; white-space: nowrap }
"""


def page(machine: Mapping[str, Any], rows: Sequence[Row]) -> str:
    """The whole page as HTML."""
    said = "; ".join(f"{name}: {_plain(value)}" for name, value in machine.items())
    parts = list(dict.fromkeys(row.part for row in rows))
    figures = [figure(part, [row for row in rows if row.part == part]) for part in parts]
    body = []
    for number, (part, drawn) in enumerate(zip(parts, figures, strict=True)):
        body.append(f"<h2>{escape(part.capitalize())}</h2>")
        body.append(f"<p>{escape(LOOK_FOR[part])}</p>")
        # Plotly's script is included once, so that the page opens without a network.
        body.append(drawn.to_html(full_html=False, include_plotlyjs=number == 0))
        body += [_details(row) for row in rows if row.part == part]
    return (
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>"
        f"<title>Speed beside others</title><style>{STYLE}</style></head><body>"
        f"<h1>Speed beside others</h1><p>{escape(said)}</p>"
        "<p>Median of the ratios of each round, with quartiles. Differences below 10% are ties."
        f"</p>{_markdown_table(table(rows))}{''.join(body)}</body></html>"
    )


LOOK_FOR = {
    "training": "Bars above 1 are where we are faster. Diamonds are the aims.",
    "decoding": "Bars above 1 are where we are faster at writing the same. Diamonds are the aims.",
    "capture": "A bar at 1 means that looking costs nothing.",
    "growth": "Straight lines: the slope is the exponent. The dashed lines are what the matrix "
    "products alone would cost, drawn through the last point.",
    "cold start": "Seconds until something happens; shorter is better.",
}


def figure(part: str, rows: Sequence[Row]) -> go.Figure:
    if part == "growth":
        return growth(rows)
    return seconds(rows) if part == "cold start" else ratio_bars(part, rows)


def ratio_bars(part: str, rows: Sequence[Row]) -> go.Figure:
    """Bars of the ratios, one colour per peer, with quartiles and targets."""
    drawn = go.Figure()
    names = dict.fromkeys(name for row in rows for name in row.samples if name != row.ours)
    for place, name in enumerate(names):
        mine = [row for row in rows if name in row.samples]
        spreads = [row.ratio(name) for row in mine]
        drawn.add_bar(
            name=name,
            x=[f"{row.case}<br>{row.size}" for row in mine],
            y=[one.median for one in spreads],
            error_y={
                "type": "data",
                "symmetric": False,
                "array": [one.upper - one.median for one in spreads],
                "arrayminus": [one.median - one.lower for one in spreads],
            },
            marker_color=HEADS[place % len(HEADS)],
            offsetgroup=name,
        )
        aims = _aims(part, name)
        known = [(f"{row.case}<br>{row.size}", aims.get((row.case, row.size))) for row in mine]
        drawn.add_scatter(
            x=[x for x, aim in known if aim is not None],
            y=[aim for _, aim in known if aim is not None],
            mode="markers",
            marker={
                "symbol": "diamond",
                "size": 10,
                "color": HEADS[place % len(HEADS)],
                "line": {"color": "black", "width": 1},
            },
            name=f"aim against {name}",
            offsetgroup=name,
            visible=any(aim is not None for _, aim in known),
        )
    title = (
        "Time with capture over time without"
        if part == "capture"
        else "How many times as fast we are"
    )
    drawn.add_hline(y=1, line_dash="dot", line_color="#666666")
    drawn.update_layout(
        title=f"{part.capitalize()}: {title.lower()}",
        barmode="group",
        scattermode="group",
        template="plotly_white",
        height=520,
    )
    drawn.update_xaxes(title="case and size")
    drawn.update_yaxes(title="ratio of times (no unit)", rangemode="tozero")
    return drawn


def _aims(part: str, peer: str) -> dict[tuple[str, str], float | None]:
    return {
        (target.case, size.name): aim
        for target in TARGETS
        if (target.part, target.peer) == (part, peer) and target.variant in ("ours", "capture off")
        for size, aim in zip(SIZES, target.aims, strict=False)
    }


def growth(rows: Sequence[Row]) -> go.Figure:
    """Step time against length, batch and width, on logarithmic axes."""
    drawn = go.Figure()
    for colour, row in zip(HEADS, rows, strict=False):
        sizes = [float(x) for x in row.samples]
        spreads = [Spread.of(samples) for samples in row.samples.values()]
        counted = [float(x) for x in row.facts["GFLOP of the matrix products"].split(", ")]
        scale = spreads[-1].median / counted[-1]
        drawn.add_scatter(
            x=sizes,
            y=[1000 * one.median for one in spreads],
            mode="lines+markers",
            name=f"{row.case}: exponent {row.facts['measured exponent']}",
            line={"color": colour},
        )
        drawn.add_scatter(
            x=sizes,
            y=[1000 * scale * one for one in counted],
            mode="lines",
            name=f"by arithmetic {row.facts['exponent of the arithmetic']}",
            line={"color": colour, "dash": "dash"},
        )
    drawn.update_layout(title="How a training step grows", template="plotly_white", height=520)
    drawn.update_xaxes(title="tokens a side, pairs a batch, or d_model", type="log")
    drawn.update_yaxes(title="milliseconds a step", type="log")
    return drawn


def seconds(rows: Sequence[Row]) -> go.Figure:
    """Bars of seconds, with quartiles."""
    named = [
        (name if len(row.samples) > 1 else row.case, Spread.of(samples))
        for row in rows
        for name, samples in row.samples.items()
    ]
    drawn = go.Figure(
        go.Bar(
            x=[name for name, _ in named],
            y=[one.median for _, one in named],
            error_y={
                "type": "data",
                "symmetric": False,
                "array": [one.upper - one.median for _, one in named],
                "arrayminus": [one.median - one.lower for _, one in named],
            },
            marker_color=HEADS[0],
        )
    )
    drawn.update_layout(title="Cold starts", template="plotly_white", height=420)
    drawn.update_xaxes(title="what starts")
    drawn.update_yaxes(title="seconds of the wall")
    return drawn


def _details(row: Row) -> str:
    """One comparison as a table, with how each variant differs."""
    facts = "; ".join(f"{name}: {value}" for name, value in row.facts.items())
    lines = [
        f"<h3>{escape(row.case)} {escape(row.size)}</h3><p>{escape(facts)}</p><table><tr>"
        f"<th>variant</th><th>{escape(row.unit)}s/s</th>"
        f"<th>{escape(row.ours)}: times as fast</th>"
        "<th>quartiles</th><th>rounds</th><th>what is not equal</th></tr>"
    ]
    for name, samples in row.samples.items():
        one = row.ratio(name)
        lines.append(
            f"<tr><td>{escape(name)}</td><td class='number'>{row.rate(name):,.3g}</td>"
            f"<td class='number'>{one.median:.2f}</td>"
            f"<td class='number'>{one.lower:.2f}–{one.upper:.2f}</td>"
            f"<td class='number'>{len(samples)}</td><td>{escape(row.notes.get(name, ''))}</td></tr>"
        )
    return "".join([*lines, "</table>"])


def _plain(value: Any) -> str:
    """A value of the machine's description as readable text."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {one or '–'}" for name, one in value.items())
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return "none" if value is None else str(value)


def _markdown_table(text: str) -> str:
    """Convert the Markdown table of targets to HTML, and the lines below it to a list."""
    found = ["<table>"]
    lines = text.splitlines()
    for number, line in enumerate(line for line in lines if line.startswith("| ")):
        tag = "th" if number == 0 else "td"
        cells = line.strip("| ").split(" | ")
        found.append("<tr>" + "".join(f"<{tag}>{escape(c)}</{tag}>" for c in cells) + "</tr>")
    found.append("</table><ul>")
    found += [f"<li>{escape(line[2:])}</li>" for line in lines if line.startswith("- ")]
    return "".join([*found, "</ul>"])
