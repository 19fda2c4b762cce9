"""A report on a run as one HTML file."""

from transformer.analysis.heads import KINDS
from transformer.report.contents import Report, settings_in_words
from transformer.report.document import document, table, text
from transformer.report.drawing import Line, attention_map, chart, tokens

MOST_ANSWERS = 50

BODY = """<p class="verdict {tone}">{verdict}</p>
<p>{scores}</p>
<div class="pair">{charts}</div>
<p>Look for the held-out curve: it should leave the untrained model's level and stay near the
training curve. Where it rises above the training curve, the model memorises.</p>
{sentences}
{maps}
{answers}
<h2>Settings</h2>
<p>Seed {seed}; {parameters:,} parameters. SHA-256 of the newest weights:
<code>{checksum}</code></p>
<details><summary>All settings</summary>{settings}</details>"""


def page_of(report: Report) -> bytes:
    """The HTML file. All text from people or files is escaped."""
    scores = report.scores
    about = [report.author, report.task, f"{report.steps:,} updates", report.made]
    if report.seconds is not None:
        about.insert(3, f"{report.seconds:,.0f} s")
    body = BODY.format(
        tone=report.verdict.tone,
        verdict=text(f"{report.verdict.sign} {report.verdict}"),
        scores=_scores(scores),
        charts=_charts(report),
        sentences=_sentences(report),
        maps=_maps(report),
        answers=_answers(report),
        seed=report.config.training.seed,
        parameters=report.config.model.num_parameters,
        checksum=report.checksum or "none is saved",
        settings=table(("part", "setting", "value"), settings_in_words(report.config)),
    )
    shown = " · ".join(part for part in about if part)
    return document(report.title, shown, body, report.to_dict())


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
    return table(("model", "loss, nats per token", "exact match"), rows)


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
        f"<h3>{text(question)}</h3><blockquote>{text(answer)}</blockquote>"
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
        f"<h2>Attention</h2><p>Every head on one example, with the true target as input. The "
        f"encoder reads {tokens(maps.source)}; the decoder reads {tokens(maps.read)} and has to "
        f"write {tokens(maps.written)}. Rows are queries, from the top down; columns are keys; "
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
        errors = f"<h3>Kinds of errors</h3>{table(('kind', 'outputs'), told)}"
    titles = ("source", "the model writes", "right answer", "")
    return f"<h2>Answers at the end</h2>{table(titles, rows)}{errors}"
