"""A report as one HTML file: it opens offline, prints, and carries its numbers as JSON."""

import html
import json
from collections.abc import Sequence

from transformer.analysis.heads import KINDS
from transformer.report.contents import Report, settings_in_words
from transformer.report.drawing import Line, attention_map, chart, tokens
from transformer.vocabulary.vocabulary import visible

DATA_ID = "report"
"""The id of the element that holds the JSON."""
MOST_ANSWERS = 50

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
  --bad: #b3261e; }}
@media (prefers-color-scheme: dark) {{ :root {{ --ink: #e6eaef; --paper: #11151a;
  --pale: #a3adb8; --line: #3a424b; --one: #56b4e9; --two: #a0a0a0; --level: #e69f00;
  --good: #5fd0a8; --bad: #ff9d94; }} }}
@media print {{ :root {{ color-scheme: light; }} details > * {{ display: block; }} }}
body {{ font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper);
  max-width: 1180px; margin: 1.5rem auto; padding: 0 1rem; }}
h1 {{ margin-bottom: 0; }} .about {{ color: var(--pale); margin-top: .2rem; }}
.verdict {{ font-size: 1.25rem; border-left: 5px solid var(--two); padding-left: .8rem; }}
.good {{ border-color: var(--good); }} .bad {{ border-color: var(--bad); }}
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
td {{ overflow-wrap: break-word; max-width: 32rem; }}
blockquote {{ margin: .3rem 0 1rem; padding-left: .8rem; border-left: 3px solid var(--line);
  white-space: pre-wrap; }}
code {{ overflow-wrap: anywhere;
  border: 1px solid var(--line); border-radius: 4px; padding: 0 .25rem; }}
</style>
</head>
<body>
<h1>{title}</h1>
<p class="about">{about}</p>
<p class="verdict {tone}">{verdict}</p>
<p>{scores}</p>
<div class="pair">{charts}</div>
<p>Look for the held-out curve: it should leave the untrained model's level and stay near the
training curve. Where it turns away from it, the model memorises.</p>
{sentences}
{maps}
{answers}
<h2>Settings</h2>
<p>Seed {seed}; {parameters:,} parameters. SHA-256 of the newest weights:
<code>{checksum}</code></p>
<details><summary>All settings</summary>{settings}</details>
<script type="application/json" id="{data_id}">{data}</script>
</body>
</html>
"""


def page_of(report: Report) -> bytes:
    """The file. Everything that a person or a file brought is escaped."""
    scores = report.scores
    about = [report.author, report.task, f"{report.steps:,} updates", report.made]
    if report.seconds is not None:
        about.insert(3, f"{report.seconds:,.0f} s")
    # "<" alone could end the element; JSON may write it by its code.
    data = json.dumps(report.to_dict(), ensure_ascii=False, allow_nan=False).replace("<", "\\u003c")
    return PAGE.format(
        title=_text(report.title),
        about=" · ".join(_text(part) for part in about if part),
        tone=report.verdict.tone,
        verdict=_text(str(report.verdict)),
        scores=_scores(scores),
        charts=_charts(report),
        sentences=_sentences(report),
        maps=_maps(report),
        answers=_answers(report),
        seed=report.config.training.seed,
        parameters=report.config.model.num_parameters,
        checksum=report.checksum or "none is saved",
        settings=_table(("part", "setting", "value"), settings_in_words(report.config)),
        data_id=DATA_ID,
        data=data,
    ).encode("utf-8", "replace")


def _text(text: str) -> str:
    return html.escape("\n".join(visible(line) for line in text.split("\n")))


def _table(titles: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    head = "".join(f"<th>{_text(title)}</th>" for title in titles)
    body = "".join(
        "<tr>" + "".join(f"<td>{_text(value)}</td>" for value in row) + "</tr>" for row in rows
    )
    return f'<div class="wide"><table><tr>{head}</tr>{body}</table></div>'


def _scores(scores: dict[str, dict[str, float | None]]) -> str:
    rows = []
    for name, found in scores.items():
        loss, exact = found["loss"], found["exact_match"]
        rows.append(
            (
                name,
                "not measured" if loss is None else f"{loss:.3f}",
                "not measured" if exact is None else f"{100 * exact:.1f} %",
            )
        )
    return _table(("model", "loss, nats per token", "exact match"), rows)


def _charts(report: Report) -> str:
    curves = report.history.curves(report.config)
    end = max(1, report.steps)
    where = str(curves["evaluated_on"])
    untrained = curves["untrained"]
    level = [] if untrained is None else [[0, untrained], [end, untrained]]
    loss = [
        Line("training", [point[:2] for point in curves["train"]], "two"),
        Line(where, curves["evaluation"], "one"),
        Line("untrained", level, "level"),
    ]
    exact = [Line(where, [[step, 100 * share] for step, share in curves["exact"]], "one")]
    return chart("Loss", "updates", "nats per token", loss) + chart(
        "Exact match", "updates", "per cent of outputs", exact
    )


def _sentences(report: Report) -> str:
    if not report.sentences:
        return ""
    said = "".join(
        f"<h3>{_text(question)}</h3><blockquote>{_text(answer)}</blockquote>"
        for question, answer in report.sentences
    )
    return f"<h2>In my own words</h2>{said}"


def _maps(report: Report) -> str:
    maps = report.maps
    if maps is None:
        return ""
    groups = []
    for kind, (title, _) in KINDS.items():
        weights = maps.weights[kind]
        drawn = "".join(
            attention_map(f"layer {layer + 1}, head {head + 1}", weights[layer, head])
            for layer in range(weights.shape[0])
            for head in range(weights.shape[1])
        )
        if drawn:
            groups.append(f'<h3>{title}</h3><div class="maps">{drawn}</div>')
    return (
        f"<h2>Attention</h2><p>Every head on one example, the model reading the true target. "
        f"Encoder reads {tokens(maps.source)}; decoder reads {tokens(maps.read)} and is to write "
        f"{tokens(maps.written)}. Rows are queries, from the top down; columns are keys; "
        f"dark blue is a weight of 1.</p>{''.join(groups)}"
    )


def _answers(report: Report) -> str:
    if not report.answers:
        return ""
    rows = [
        (
            answer["source"],
            " ".join(answer["output"]),
            " ".join(answer["target"]),
            "right" if answer["right"] else "wrong",
        )
        for answer in report.answers[:MOST_ANSWERS]
    ]
    errors = ""
    if report.errors:
        told = [(kind, f"{count:,}") for kind, count in report.errors.items()]
        errors = f"<h3>Kinds of errors</h3>{_table(('kind', 'outputs'), told)}"
    titles = ("source", "the model writes", "right answer", "")
    return f"<h2>Answers at the end</h2>{_table(titles, rows)}{errors}"
