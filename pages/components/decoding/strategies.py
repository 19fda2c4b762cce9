"""The same input under several strategies: what each writes, and the beam as a tree."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import streamlit as st

from pages.components.decoding import best_output
from pages.components.decoding.place import last_seed
from pages.components.decoding.view import View, open_at
from pages.components.shared.download import download
from pages.components.shared.inspection import LONGEST_OUTPUT, visible_tokens
from pages.components.shell import address
from pages.components.shell.tables import Cell, html_table
from pages.components.shell.text import Html, code, decimal
from pages.components.widgets.beam_tree import beam_tree as draw_tree
from transformer.config import SamplingConfig
from transformer.files import write_csv

if TYPE_CHECKING:
    from transformer.checkpoint import Checkpoint
    from transformer.decoding.beam_tree import BeamTree
    from transformer.vocabulary import Vocabulary

BEAMS = ("2", "4", "8")
ALPHAS = tuple(f"{tenth / 10:.1f}" for tenth in range(21))
USUAL_ALPHA = {"paper": "0.6", "length": "1.0"}
PENALTY_HELP = {
    "paper": "The score is log-probability ÷ ((5 + length) / 6)^α. 0 ranks by probability alone, "
    "which favours short outputs; the paper takes 0.6.",
    "length": "The score is log-probability ÷ length^α, as Hugging Face's generate has it, since "
    "this model comes from there. 0 ranks by probability alone; 1 is usual.",
}
TARGET = "the true target"
LONGEST_SHOWN = 40
"""Maximum number of characters of an output; if one is longer, the first tokens that all outputs
share are left out."""
KEPT_ALIKE = 2
"""Number of shared tokens that are still shown before the first that differs, as context."""


@dataclass(frozen=True)
class Row:
    """The output of one strategy: ids, with <eos> if it ended, and how probable they are."""

    name: str
    tokens: tuple[int, ...]
    log_prob: float
    score: float
    finished: bool


def panel(view: View) -> None:
    """Draw a table of strategies, the finding in a sentence, and one of the beams as a tree."""
    checkpoint = view.checkpoint
    beam, alpha = _choices(checkpoint.config.length_penalty)
    sampling = view.sampling or SamplingConfig(seed=last_seed())
    rows, trees = _searched(
        checkpoint.header.sha256, view.text, float(alpha), view.wanted, sampling, checkpoint
    )
    if view.prefix:
        st.caption("Strategies start from the beginning; the tokens you chose do not count here.")
    st.html(_table(checkpoint, rows, view.wanted))
    st.markdown(_finding(rows, view.wanted))
    best_output.panel(view, rows[0].tokens)
    tree = trees[beam]
    key = "beam tree"
    draw_tree(
        _nodes(checkpoint, tree),
        tree.beams,
        tree.answer,
        key=key,
        title=f"Beam of {beam} with length penalty α = {alpha}",
        on_open=lambda: _open(view.text, tree, st.session_state[key]["open"]),
    )
    _downloads(checkpoint, rows, tree, view.wanted)


def _choices(penalty: str) -> tuple[str, str]:
    usual = USUAL_ALPHA[penalty]
    left, right = st.columns(2)
    with left:
        address.read("beam", "4", BEAMS)
        st.segmented_control("Beam drawn below", BEAMS, key="beam", required=True)
        beam: str = st.session_state["beam"]
        address.write("beam", beam, "4")
    with right:
        address.read("alpha", usual, ALPHAS)
        alpha = st.select_slider(
            "Length penalty α",
            ALPHAS,
            key="alpha",
            help=PENALTY_HELP[penalty],
        )
        address.write("alpha", alpha, usual)
    return beam, alpha


@st.cache_data(max_entries=64, show_spinner=False)
def _searched(
    sha256: str,
    text: str,
    alpha: float,
    wanted: tuple[int, ...],
    sampling: SamplingConfig,
    _checkpoint: "Checkpoint",
) -> "tuple[list[Row], dict[str, BeamTree]]":
    """Decode with every strategy. Cached, so that redrawing does not search again."""
    from transformer.decoding.beam import Beam
    from transformer.decoding.beam_tree import beam_tree
    from transformer.decoding.steps import Strategy, length_penalty
    from transformer.decoding.strategies import Greedy, Sampling, decode

    model, source = _checkpoint.model, _checkpoint.encode(text)

    def row(name: str, tokens: Sequence[int], log_prob: float) -> Row:
        score = log_prob / length_penalty(len(tokens), alpha, model.config.length_penalty)
        return Row(name, tuple(tokens), log_prob, score, tokens[-1] == _checkpoint.config.eos_id)

    strategies: dict[str, Strategy] = {
        "greedy": Greedy(max_length=LONGEST_OUTPUT),
        _sampled(sampling): Sampling(sampling, max_length=LONGEST_OUTPUT),
    }
    rows = []
    for name, strategy in strategies.items():
        [found] = decode(model, source, strategy)
        rows.append(row(name, found.tokens, found.log_prob))
    trees = {}
    for size in BEAMS:
        search = Beam(int(size), alpha, max_length=LONGEST_OUTPUT)
        tree = trees[size] = beam_tree(model, source, search)
        rows.append(row(f"beam {size}", tree.tokens(tree.answer), tree.nodes[tree.answer].total))
    if wanted:
        rows.append(row(TARGET, wanted, _log_prob(_checkpoint, text, wanted)))
    return rows, trees


def _sampled(sampling: SamplingConfig) -> str:
    """The name of a sampled output: all settings that it depends on."""
    cuts = f", top-k {sampling.top_k}" if sampling.top_k else ""
    cuts += f", top-p {sampling.top_p:g}" if sampling.top_p < 1 else ""
    return f"sampling: temperature {sampling.temperature:g}{cuts}, seed {sampling.seed}"


def _log_prob(checkpoint: "Checkpoint", text: str, tokens: Sequence[int]) -> float:
    """The model's log-probability of an output, each token given those before it."""
    import torch

    read = torch.tensor([[checkpoint.config.decoder_start_id, *tokens[:-1]]])
    with torch.inference_mode():
        log_probs = checkpoint.model(checkpoint.encode(text), read)[0].log_softmax(-1)
    return float(log_probs[range(len(tokens)), list(tokens)].sum())


# --- the table ----------------------------------------------------------------------------------


def _table(checkpoint: "Checkpoint", rows: Sequence[Row], wanted: tuple[int, ...]) -> str:
    """HTML: one line per strategy; the best score that a strategy found is bold."""
    best = _best(rows)
    titles = ["Strategy", "Output", *(["Right?"] if wanted else [])]
    numbers = ["Tokens", Html("Log-<wbr>probability"), "Score"]
    head: list[str | Cell] = [*titles, *(Cell(title, "number") for title in numbers)]
    lines: list[list[str | Cell]] = []
    start = _alike([row.tokens for row in rows], checkpoint.target_vocabulary)
    for row in rows:
        text = code(checkpoint.target_vocabulary.decode(row.tokens[start:])) or "(nothing)"
        text = f"… {text}" if start else text
        judged = "✓ right" if row.tokens == wanted else "✗ wrong"
        marked = " best" if row.tokens == best.tokens and row.name != TARGET else ""
        lines.append(
            [
                row.name,
                Cell(Html(f"{text}{'' if row.finished else ' … (cut)'}"), "output"),
                *(["" if row.name == TARGET else judged] if wanted else []),
                Cell(f"{len(row.tokens)}", "number"),
                Cell(decimal(row.log_prob), "number"),
                Cell(decimal(row.score), f"number{marked}"),
            ]
        )
    note = f"All begin with the same {start} tokens, which are left out." if start else ""
    return html_table("strategies", head, lines, label="Strategies", note=note)


def _alike(outputs: Sequence[Sequence[int]], vocabulary: "Vocabulary") -> int:
    """How many shared first tokens to leave out of long outputs, so that differences are seen."""
    if max(len(vocabulary.decode(tokens)) for tokens in outputs) <= LONGEST_SHOWN:
        return 0
    columns = zip(*outputs, strict=False)
    differs = (place for place, column in enumerate(columns) if len(set(column)) > 1)
    return max(next(differs, 0) - KEPT_ALIKE, 0)


def _best(rows: Sequence[Row]) -> Row:
    """The best row that a strategy found: finished, with the highest score."""
    return max(
        (row for row in rows if row.name != TARGET), key=lambda row: (row.finished, row.score)
    )


def _finding(rows: Sequence[Row], wanted: tuple[int, ...]) -> str:
    """What the table shows, and whether a wrong output is the search's error or the model's."""
    found = [row for row in rows if row.name != TARGET]
    greedy, best = found[0], _best(rows)
    if len({row.tokens for row in found}) == 1:
        said = "All strategies write the same."
    elif best.tokens == greedy.tokens:
        said = "A wider search finds no output with a better score than greedy search."
    else:
        times = math.exp(min(best.log_prob - greedy.log_prob, 700))
        more = (
            f"{times:,.1f} times as probable as"
            if times >= 1.05
            else "no more probable, but longer, than"
        )
        said = (
            f"{best.name.capitalize()} finds an output that is {more} greedy's: the best token "
            "at each step does not always lead to the best output."
        )
    target = next((row for row in rows if row.name == TARGET), None)
    if target is None or best.tokens == wanted:
        return said
    if target.score > best.score:
        return (
            f"{said} The true target has the better score and was not found: this is the "
            "**search's** error."
        )
    return (
        f"{said} The true target scores worse than what was found: this is the **model's** error, "
        "and no wider search can correct it."
    )


# --- the tree -----------------------------------------------------------------------------------


def _nodes(checkpoint: "Checkpoint", tree: "BeamTree") -> list[dict[str, Any]]:
    """The tree's nodes as the component draws them."""
    tokens = checkpoint.target_vocabulary.tokens
    nodes = []
    for place, node in enumerate(tree.nodes):
        end = tree.ends.get(place)
        nodes.append(
            {
                "parent": node.parent,
                "token": visible_tokens(tokens, [node.token])[0],
                "text": _text(checkpoint, tree.tokens(place)),
                "position": node.position,
                "log_prob": node.log_prob,
                "total": node.total,
                "score": node.score,
                "ended": node.finished,
                "kind": "" if end is None else end.kind,
                "decided": node.position if end is None else end.position,
                "why": "Others grow from it." if end is None else _why(checkpoint, tree, place),
            }
        )
    return nodes


def _text(checkpoint: "Checkpoint", ids: Sequence[int]) -> str:
    """A hypothesis as one text, with its <eos>, to show whether it has ended."""
    ended = ids[-1] == checkpoint.config.eos_id
    text = checkpoint.target_vocabulary.decode(ids)
    return f"{text} <eos>" if ended else text or "(nothing)"


def _why(checkpoint: "Checkpoint", tree: "BeamTree", place: int) -> str:
    """How and why a hypothesis ended, in one or two sentences."""
    end = tree.ends[place]
    node = tree.nodes[place]
    if end.against is None:
        if node.finished:
            return (
                f"The answer: it has the best score of all finished outputs, {decimal(node.score)}."
            )
        return f"Nothing had ended after {tree.limit} tokens; this one scores best, and is cut."
    rival = tree.nodes[end.against]
    name = f"“{_text(checkpoint, tree.tokens(end.against))}”, with {decimal(rival.score)}"
    if end.kind == "outscored":
        return (
            f"It ended and kept its place, but scores {decimal(end.score)}; the answer scores "
            f"{decimal(rival.score)}."
        )
    if end.kind == "stopped":
        if len(tree.beams) == tree.limit:
            return f"Cut: it had not ended after {tree.limit} tokens, the maximum."
        if checkpoint.config.length_penalty == "length":
            return (
                "Still growing when the search stopped: at its length it scores "
                f"{decimal(end.score)}, no better than the worst finished output."
            )
        return (
            "Still growing when the search stopped. Even if all its further tokens were certain, "
            f"it would score {decimal(end.score)}; the answer scores {decimal(rival.score)}."
        )
    step = end.position + 1
    if end.token is None:
        return f"It ended, and lost its place at step {step}: the last one went to {name}."
    [token] = visible_tokens(checkpoint.target_vocabulary.tokens, [end.token])
    return (
        f"Dropped at step {step}: its best continuation, “{token}”, would score "
        f"{decimal(end.score)}. The last place went to {name}."
    )


def _open(text: str, tree: "BeamTree", place: int | None) -> None:
    if place is not None:
        open_at(text, tree.tokens(place), tree.nodes[place].position)


# --- downloads ----------------------------------------------------------------------------------


def _downloads(
    checkpoint: "Checkpoint", rows: Sequence[Row], tree: "BeamTree", wanted: tuple[int, ...]
) -> None:
    decode = checkpoint.target_vocabulary.decode

    def strategies() -> bytes:
        return write_csv(
            ("strategy", "output", "right", "tokens", "log_probability", "score"),
            (
                (
                    row.name,
                    decode(row.tokens),
                    str(row.tokens == wanted).lower() if wanted else None,
                    len(row.tokens),
                    row.log_prob,
                    row.score,
                )
                for row in rows
            ),
        )

    def hypotheses() -> bytes:
        return write_csv(
            ("hypothesis", "step", "log_probability", "score", "end", "why"),
            (
                (
                    decode(tree.tokens(place)),
                    node.position + 1,
                    node.total,
                    node.score,
                    tree.ends[place].kind if place in tree.ends else "",
                    _why(checkpoint, tree, place) if place in tree.ends else "",
                )
                for place, node in enumerate(tree.nodes)
            ),
        )

    with st.container(horizontal=True):
        for label, data, name in (
            ("Strategies (CSV)", strategies, "strategies.csv"),
            ("Hypotheses (CSV)", hypotheses, "beam.csv"),
        ):
            download(label, data, name)
