"""The beam search of one sentence as a tree: every hypothesis, and why each stopped growing."""

from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from transformer.decoding.beam import Beam
from transformer.decoding.steps import DecodingStep, length_penalty
from transformer.model import Transformer


@dataclass(frozen=True)
class Node:
    """A hypothesis: its parent plus one token.

    parent: the parent's index in the tree's nodes; None for a first token.
    token, position, log_prob: the last token, its position from 0, and its log-probability.
    total, score: log_prob and score of the whole hypothesis, as in :class:`Hypothesis`.
    """

    parent: int | None
    token: int
    position: int
    log_prob: float
    total: float
    score: float
    finished: bool


@dataclass(frozen=True)
class End:
    """Why a node has no children.

    kind: "answer": it is the search's result. "outscored": it finished and stayed in the beam,
        but the answer scores better. "dropped": at step ``position``, other hypotheses filled
        the beam. "stopped": it was still growing when the search ended.
    position: the step that decided this, from 0.
    token: the most probable next token of a dropped node; None if the node had finished.
    score: the node's best possible score: its own; if dropped, its score with ``token``; if
        stopped, the score it could still reach if all further tokens had probability 1.
    against: the node it lost to: the last one kept, or the answer; None for the answer.
    """

    kind: Literal["answer", "outscored", "dropped", "stopped"]
    position: int
    token: int | None
    score: float
    against: int | None


@dataclass(frozen=True)
class BeamTree:
    """A whole beam search.

    beams: the nodes in the beam after each step, best first; a finished node appears again at
        each step at which it stays in the beam.
    ends: for each node without children, the reason.
    answer: index of the search's result.
    limit: most tokens that an output may have.
    """

    nodes: list[Node]
    beams: list[list[int]]
    ends: dict[int, End]
    answer: int
    limit: int

    def tokens(self, node: int) -> list[int]:
        """The token ids of a hypothesis, first token first."""
        place: int | None = node
        found: list[int] = []
        while place is not None:
            found.append(self.nodes[place].token)
            place = self.nodes[place].parent
        return found[::-1]


def beam_tree(model: Transformer, source: Tensor, search: Beam) -> BeamTree:
    """Search one sentence, [1, source] ids, and keep every hypothesis that was in the beam."""
    limit, alpha, kind = search.limit(model), search.alpha, search.kind(model)
    nodes: list[Node] = []
    beams: list[list[int]] = []
    ends: dict[int, End] = {}
    # The node in each slot of the beam; at first one slot holds the empty hypothesis.
    before: list[int | None] = [None]
    for step in replace(search, max_length=limit)(model, source):
        kept = _grow(step, before, nodes)
        grown = set(step.parents[0, : len(kept)].tolist())
        for slot, node in enumerate(before):
            if node is not None and slot not in grown:
                ends[node] = _dropped(step, slot, nodes[node], kept[-1], alpha, kind)
        beams.append(kept)
        before = list(kept)
    answer = max(beams[-1], key=lambda node: (nodes[node].finished, nodes[node].score))
    for node in beams[-1]:
        ends[node] = _last(nodes, node, answer, len(beams) - 1, limit, alpha, kind)
    return BeamTree(nodes, beams, ends, answer, limit)


def _grow(step: DecodingStep, before: list[int | None], nodes: list[Node]) -> list[int]:
    """The node in each used slot after a step; new nodes are appended to ``nodes``."""
    kept = []
    for slot, (total, score) in enumerate(
        zip(step.total[0].tolist(), step.scores[0].tolist(), strict=True)
    ):
        if total == -torch.inf:
            continue  # an unused slot; those are the last ones
        came_from = int(step.parents[0, slot])
        parent = before[came_from]
        if parent is not None and nodes[parent].finished:
            kept.append(parent)
            continue
        token = int(step.tokens[0, slot, -1])
        log_prob = float(step.log_probs[0, came_from, token])
        finished = bool(step.finished[0, slot])
        nodes.append(Node(parent, token, step.position, log_prob, total, score, finished))
        kept.append(len(nodes) - 1)
    return kept


def _dropped(step: DecodingStep, slot: int, node: Node, last: int, alpha: float, kind: str) -> End:
    """Why the node in this slot before the step is not in the beam after it."""
    if node.finished:
        return End("dropped", step.position, None, node.score, last)
    best = step.candidates(1, hypothesis=slot)[0]
    score = (node.total + best.log_prob) / length_penalty(step.position + 1, alpha, kind)
    return End("dropped", step.position, best.token, score, last)


def _last(
    nodes: list[Node],
    node: int,
    answer: int,
    position: int,
    limit: int,
    alpha: float,
    kind: str,
) -> End:
    """Why a node of the last beam stopped growing."""
    if node == answer:
        return End("answer", position, None, nodes[node].score, None)
    if nodes[node].finished:
        return End("outscored", position, None, nodes[node].score, answer)
    # Hugging Face's search scores a growing node at its current length, the paper's at the limit.
    length = position + 1 if kind == "length" else limit
    hope = nodes[node].total / length_penalty(length, alpha, kind)
    return End("stopped", position, None, hope, answer)
