"""What a road is put beside: another branch, the true target, or the model before training."""

from typing import TYPE_CHECKING

import streamlit as st

from pages.components.decoding import branches
from pages.components.decoding.branch_store import Branch
from pages.components.decoding.paths import Road, Way, decode_road
from pages.components.shell import address, session
from pages.components.widgets.decoding_steps import Side

if TYPE_CHECKING:
    from transformer.checkpoint.checkpoint import Checkpoint

NOTHING = ""
TARGET = "target"
UNTRAINED = "untrained"


def field(checkpoint: "Checkpoint", way: Way, wanted: tuple[int, ...]) -> str:
    """The widget that chooses what to compare with; also what the address names it by."""
    options = {NOTHING: "nothing"}
    if wanted:
        options[TARGET] = "teacher forcing: the true target given token by token"
    options[UNTRAINED] = "the same steps by the same model untrained"
    others: dict[str, Branch] = {}
    for branch in branches.all_branches(checkpoint, way):
        if branch.way != way:
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
    choice: str, checkpoint: "Checkpoint", text: str, road: Road, wanted: tuple[int, ...]
) -> list[Side]:
    """The road shown and, if something is put beside it, that."""
    if choice == NOTHING:
        return [_side("shown", road)]
    if choice == TARGET:
        other = decode_road(checkpoint, text, Way(wanted), most=len(wanted))
        return [_side("running on its own", road), _side("true target given", other)]
    if choice == UNTRAINED:
        other = decode_road(
            session.untrained_twin(checkpoint), text, Way(road.written), most=len(road.written)
        )
        return [_side("trained", road), _side("untrained", other)]
    found = {
        branches.beside_code(branch): branch
        for branch in branches.all_branches(checkpoint, road.way)
    }
    branch = found[choice]
    own = next(one for one in found.values() if one.way == road.way)
    return [
        _side(branches.name_of(own, checkpoint), road),
        _side(branches.name_of(branch, checkpoint), decode_road(checkpoint, text, branch.way)),
    ]


def _side(label: str, road: Road) -> Side:
    return Side(
        label,
        road.written,
        road.log_probs,
        len(road.way.prefix),
        road.logits,
        road.attention,
    )
