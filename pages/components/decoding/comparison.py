"""What a path is compared with: another branch, the true target, or the untrained model."""

from typing import TYPE_CHECKING

import streamlit as st

from pages.components.decoding import branches
from pages.components.decoding.branch_store import Branch
from pages.components.decoding.paths import DecodingPath, PathSpec, decode_path
from pages.components.shell import address, session
from pages.components.widgets.decoding_steps import Side

if TYPE_CHECKING:
    from transformer.checkpoint import Checkpoint

NOTHING = ""
TARGET = "target"
UNTRAINED = "untrained"


def field(checkpoint: "Checkpoint", spec: PathSpec, wanted: tuple[int, ...]) -> str:
    """Field for what to compare with; returns the choice as it is in the address."""
    options = {NOTHING: "nothing"}
    if wanted:
        options[TARGET] = "teacher forcing: the true target given token by token"
    options[UNTRAINED] = "the same steps by the same model untrained"
    others: dict[str, Branch] = {}
    for branch in branches.all_branches(checkpoint, spec):
        if branch.spec != spec:
            others[branches.beside_code(branch)] = branch
    options |= {
        name: f"branch: {branches.name_of(branch, checkpoint)}" for name, branch in others.items()
    }
    if st.session_state["beside"] not in options:
        st.session_state["beside"] = NOTHING
    choice: str = st.selectbox(
        "Compare with", list(options), format_func=options.__getitem__, key="beside"
    )
    address.write("beside", choice)
    return choice


def sides(
    choice: str, checkpoint: "Checkpoint", text: str, path: DecodingPath, wanted: tuple[int, ...]
) -> list[Side]:
    """The path shown, and the path that it is compared with, if any."""
    if choice == NOTHING:
        return [_side("shown", path)]
    if choice == TARGET:
        other = decode_path(checkpoint, text, PathSpec(wanted), most=len(wanted))
        return [_side("running on its own", path), _side("true target given", other)]
    if choice == UNTRAINED:
        other = decode_path(
            session.untrained_model(checkpoint),
            text,
            PathSpec(path.written),
            most=len(path.written),
        )
        return [_side("trained", path), _side("untrained", other)]
    found = {
        branches.beside_code(branch): branch
        for branch in branches.all_branches(checkpoint, path.spec)
    }
    branch = found[choice]
    own = next(one for one in found.values() if one.spec == path.spec)
    return [
        _side(branches.name_of(own, checkpoint), path),
        _side(branches.name_of(branch, checkpoint), decode_path(checkpoint, text, branch.spec)),
    ]


def _side(label: str, path: DecodingPath) -> Side:
    return Side(
        label,
        path.written,
        path.log_probs,
        len(path.spec.prefix),
        path.logits,
        path.attention,
    )
