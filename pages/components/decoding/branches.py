"""The tree of branches: open them, name them, compare two."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import streamlit as st

from pages.components.decoding import branch_store, verdict
from pages.components.decoding.branch_store import Branch
from pages.components.decoding.paths import DecodingPath, PathSpec, decode_path, prefix_text
from pages.components.decoding.view import View
from pages.components.shared.download import download
from pages.components.shared.inspection import visible_tokens
from pages.components.shell import address
from pages.components.widgets.branch_tree import Row, branch_tree
from transformer.analysis.first_error import common_prefix_length
from transformer.files import write_csv

if TYPE_CHECKING:
    from transformer.checkpoint import Checkpoint

PREFIX = "branch "
"""Marks a branch's code in ``beside``, which can also name other things to compare with."""


def name_of(branch: Branch, checkpoint: "Checkpoint") -> str:
    """The user's name for a branch, else the step and token chosen: “step 3: k”."""
    if branch.name:
        return branch.name
    tokens = checkpoint.target_vocabulary.tokens
    drawn = branch.spec.sampling
    chance = "" if drawn is None else f"seed {drawn.seed}, T {drawn.temperature:g}"
    if not branch.spec.prefix:
        return chance or "the model's own"
    step = f"step {len(branch.spec.prefix)}: {visible_tokens(tokens, branch.spec.prefix[-1:])[0]}"
    return f"{step}, {chance}" if chance else step


def all_branches(checkpoint: "Checkpoint", spec: PathSpec) -> list[Branch]:
    """The stored branches and, last, the one shown if it is not stored."""
    branches = branch_store.kept(checkpoint)
    return branches if any(one.spec == spec for one in branches) else [*branches, Branch(spec)]


def panel(view: View) -> None:
    """Draw the tree, with buttons to open, compare, name and remove its branches."""
    checkpoint = view.checkpoint
    spec = PathSpec(view.prefix, view.sampling)
    branches = all_branches(checkpoint, spec)
    paths = [decode_path(checkpoint, view.text, branch.spec) for branch in branches]
    st.markdown(
        "Each token you wrote in place of the model's began a branch. **Open** one to walk it "
        "above, or put it **beside** the one shown."
    )
    order, parents = tree_order([path.written for path in paths])
    st.session_state["tree"] = [branches[i] for i in order]
    kept = {branch.spec for branch in branch_store.kept(checkpoint)}
    depth: dict[int, int] = {}
    rows: list[Row] = []
    for i in order:
        parent = parents[i]
        depth[i] = 0 if parent is None else depth[parent] + 1
        parts = (
            0 if parent is None else common_prefix_length(paths[parent].written, paths[i].written)
        )
        branch, path = branches[i], paths[i]
        error = verdict.find_error(path, view.wanted)
        own = error is not None and verdict.is_own(path, error)
        rows.append(
            Row(
                name=name_of(branch, checkpoint),
                depth=depth[i],
                parts=parts,
                tokens=visible_tokens(checkpoint.target_vocabulary.tokens, path.written),
                probabilities=[math.exp(value) for value in path.log_probs],
                dashed=[
                    i
                    for i in range(len(branch.spec.prefix))
                    if int(path.logits[i].argmax()) != path.written[i]
                ],
                log_prob=path.total,
                verdict="" if own else _judged(path, view.wanted),
                wrong=-1 if error is None or own else error.position,
                open=branch.spec == spec,
                compared=st.session_state["beside"] == beside_code(branch),
                kept=branch.spec in kept,
            )
        )
    branch_tree(rows, step=view.step, key="branch tree", on_act=_act)
    download(
        "All branches, step by step (CSV)",
        lambda: as_csv(checkpoint, branches, paths),
        f"branches-{checkpoint.task}.csv",
    )
    if len(branches) >= branch_store.MOST:
        st.warning(f"A tree holds {branch_store.MOST} branches; remove some to keep more.")
    if len(st.session_state[branch_store.KEY]) > address.LIMIT:
        st.caption(
            "The branches are too long for the address: they stay while this tab is open, but a "
            "link does not have them."
        )


def as_csv(
    checkpoint: "Checkpoint", branches: Sequence[Branch], paths: Sequence[DecodingPath]
) -> bytes:
    """One line per step of a branch: its token, whether the user gave it, the log-probabilities."""
    titles = ("branch", "step", "token", "given", "log_probability", "log_probability_so_far")
    tokens = checkpoint.target_vocabulary.tokens
    rows = [
        (
            name_of(branch, checkpoint),
            step + 1,
            tokens[number],
            step < len(branch.spec.prefix),
            log_prob,
            sum(path.log_probs[: step + 1]),
        )
        for branch, path in zip(branches, paths, strict=True)
        for step, (number, log_prob) in enumerate(zip(path.written, path.log_probs, strict=True))
    ]
    return write_csv(titles, rows)


def tree_order(
    written: Sequence[Sequence[int]],
) -> tuple[list[int], list[int | None]]:
    """Make each output a child of the earlier output with which it shares most first tokens.

    Returns:
        the order in which to draw them, each below its parent; and each one's parent.
    """
    parents: list[int | None] = [None]
    for i in range(1, len(written)):
        parents.append(
            max(range(i), key=lambda j: (common_prefix_length(written[j], written[i]), -j))
        )
    order: list[int] = []

    def visit(i: int) -> None:
        order.append(i)
        for child, parent in enumerate(parents):
            if parent == i:
                visit(child)

    visit(0)
    return order, parents


def _judged(path: DecodingPath, wanted: tuple[int, ...]) -> str:
    if not wanted:
        return ""
    return "right" if path.written == wanted else "wrong"


def beside_code(branch: Branch) -> str:
    """The value of ``beside`` for a branch; without the branch's name, which may change."""
    return PREFIX + branch_store.code(Branch(branch.spec))


def _act() -> None:
    """The tree's callback: open, compare, name or remove a branch."""
    act = st.session_state["branch tree"]["act"]
    branches: list[Branch] = st.session_state["tree"]
    if not act or not 0 <= int(act[1]) < len(branches):
        return
    what, index, value = act
    branch = branches[int(index)]
    if what == "open":
        open_branch(branch, value)
    elif what == "compare":
        chosen = beside_code(branch)
        st.session_state["beside"] = "" if st.session_state["beside"] == chosen else chosen
    elif what == "name":
        named = Branch(branch.spec, " ".join(str(value).split())[: branch_store.LONGEST_NAME])
        branch_store.keep([named if one.spec == branch.spec else one for one in branches])
    elif what == "remove":
        branch_store.keep([one for one in branches if one.spec != branch.spec])
        st.session_state["prefix"] = st.session_state["seed"] = ""


def open_branch(branch: Branch, step: object = None) -> None:
    """In a callback: show a branch, at a step (from 0) or at the step shown now."""
    st.session_state["prefix"] = prefix_text(branch.spec.prefix)
    drawn = branch.spec.sampling
    st.session_state["seed"] = "" if drawn is None else str(drawn.seed)
    if drawn is not None:
        neutral = type(drawn)()
        for field in ("temperature", "top_k", "top_p"):
            value = getattr(drawn, field)
            st.session_state[field] = "" if value == getattr(neutral, field) else f"{value:g}"
    if isinstance(step, int):
        st.session_state["step"] = str(step + 1)
    if st.session_state["beside"] == beside_code(branch):
        st.session_state["beside"] = ""
