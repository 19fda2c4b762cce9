"""The user's branches of one input, in session state and in the address as one text.

``5.6.7*3_0.8_5_0.9!my%20name~5.8``: branches joined by ``~``; each has the given ids, then for a
sampled path its seed, temperature, top-k and top-p, then a name.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

import streamlit as st

from pages.components.decoding.paths import PathSpec, parse_prefix, prefix_text
from transformer.config import SamplingConfig
from transformer.errors import ConfigError

if TYPE_CHECKING:
    from transformer.checkpoint import Checkpoint

KEY = "branches"
MOST = 40
LONGEST_NAME = 40


@dataclass(frozen=True)
class Branch:
    """A path through the decoding, and the user's name for it; empty for a generated name."""

    spec: PathSpec
    name: str = ""


def kept(checkpoint: "Checkpoint") -> list[Branch]:
    """The stored branches: the model's own greedy path first, then the others, oldest first."""
    found = {PathSpec(): Branch(PathSpec())}
    for text in st.session_state[KEY].split("~"):
        branch = _parse(text, checkpoint) if text else None
        if branch is not None and len(found) < MOST:
            found[branch.spec] = branch
    return list(found.values())


def keep(branches: Sequence[Branch]) -> None:
    st.session_state[KEY] = "~".join(
        code(branch) for branch in branches if branch != Branch(PathSpec())
    )


def notice(spec: PathSpec, checkpoint: "Checkpoint") -> None:
    """Store the path shown, if it is a new branch and there is room.

    A sampled path is stored only once the user chose a token in it, because each move of the
    temperature draws another path.
    """
    branches = kept(checkpoint)
    new = all(branch.spec != spec for branch in branches)
    if new and len(branches) < MOST and (spec.sampling is None or _was_chosen(spec)):
        keep([*branches, Branch(spec)])


def choose(prefix: tuple[int, ...]) -> None:
    """In a callback: remember that the user chose the last token of the next path shown."""
    st.session_state["chosen prefix"] = prefix


def _was_chosen(spec: PathSpec) -> bool:
    """Whether the user has just chosen this path's last token; true once after each choice."""
    return bool(spec.prefix) and st.session_state.pop("chosen prefix", None) == spec.prefix


def code(branch: Branch) -> str:
    text = prefix_text(branch.spec.prefix)
    if (drawn := branch.spec.sampling) is not None:
        text += f"*{drawn.seed}_{drawn.temperature:g}_{drawn.top_k}_{drawn.top_p:g}"
    return text + (f"!{quote(branch.name, safe='').replace('~', '%7E')}" if branch.name else "")


def _parse(text: str, checkpoint: "Checkpoint") -> Branch | None:
    """Parse a text of :func:`code`; None if it is not valid for this model."""
    text, _, name = text.partition("!")
    prefix, sampled, drawn = text.partition("*")
    ids = parse_prefix(prefix, checkpoint)
    if ids is None:
        return None
    name = unquote(name)[:LONGEST_NAME]
    if not sampled:
        return Branch(PathSpec(ids), name)
    try:
        seed, temperature, top_k, top_p = drawn.split("_")
        sampling = SamplingConfig(float(temperature), int(top_k), float(top_p), int(seed))
    except (ConfigError, ValueError):
        return None
    return Branch(PathSpec(ids, sampling), name)
