"""The state of the Decode page, all in the address, so that a link restores it.

The prefix names the path; the other fields are those of the ``decoding_steps`` component, in the
format of its script.
"""

from typing import TYPE_CHECKING, Any

import streamlit as st

from pages.components.decoding import branch_store
from pages.components.decoding.paths import PathSpec, parse_prefix, prefix_text
from pages.components.shell import address
from pages.components.shell.address import Message, Place
from pages.components.shell.text import plain
from transformer.config import SamplingConfig
from transformer.errors import ConfigError

if TYPE_CHECKING:
    from transformer.checkpoint import Checkpoint

FIELDS = ("step", "temperature", "top_k", "top_p", "seed", "sums", "look")
"""The component's fields, by their names in its script, in its order."""
OF_THE_INPUT = ("prefix", "step", "target", "beside", "branches")
"""Fields that belong to one input of one model, and are reset with another."""
PLACE = Place("decoding place", "decoding", dict(zip(FIELDS, FIELDS, strict=True)))
FIRST_SEED = 1


def read(checkpoint: "Checkpoint", text: str) -> None:
    """Before everything else: read the fields from the address, and reset those of another
    input."""
    belongs_to = (checkpoint.header.sha256, text)
    if st.session_state.get("path belongs to", belongs_to) != belongs_to:
        for field in OF_THE_INPUT:
            st.session_state[field] = st.session_state[f"kept {field}"] = ""
            if address.followed():  # then the address is that of the new input
                st.session_state[f"address {field}"] = None
    st.session_state["path belongs to"] = belongs_to
    for field in (*FIELDS, "prefix", "branches", "beside"):
        address.read(field, "")


def spec(checkpoint: "Checkpoint") -> PathSpec:
    """The path that the user chose: the given tokens, and how the model continues."""
    prefix = parse_prefix(st.session_state["prefix"], checkpoint)
    if prefix is None:
        st.warning(
            "The address names tokens that this model does not have; decoding starts at the "
            "beginning."
        )
        st.session_state["prefix"] = ""
        prefix = ()
    return PathSpec(prefix, _sampling())


def _sampling() -> SamplingConfig | None:
    """The sampling in the address; None for the greedy path. Invalid values get a warning."""
    numbers: dict[str, Any] = {}
    for field, kind in (("temperature", float), ("top_p", float), ("top_k", int), ("seed", int)):
        text = st.session_state[field]
        try:
            if text:
                numbers[field] = kind(text[:20])
                SamplingConfig(**{field: numbers[field]})
        except (ConfigError, ValueError) as error:
            said = str(error) if isinstance(error, ConfigError) else f"{field} = {text[:20]!r}."
            st.warning(
                plain(f"The address has a value that cannot be used, and it is ignored: {said}")
            )
            numbers.pop(field, None)
            st.session_state[field] = ""
    if "seed" not in numbers:
        return None
    st.session_state["last seed"] = numbers["seed"]
    return SamplingConfig(**numbers)


def last_seed() -> int:
    """The seed to draw with if the address has none: the last one used."""
    seed: int = st.session_state.get("last seed", FIRST_SEED)
    return seed


def message(first_step: int, steps: int) -> Message:
    """The message to the component; without a step in the address, it opens at ``first_step``.

    steps: number of steps of the longest path shown.
    """
    text = st.session_state["step"]
    step = int(text) if text.isdecimal() and len(text) < 6 else first_step + 1
    st.session_state["step"] = str(min(max(step, 1), steps))
    return PLACE.message()


def step() -> int:
    """The position shown, from 0."""
    return int(st.session_state["step"]) - 1


def write() -> None:
    """After the component: write the state into the address."""
    for field in (*FIELDS, "prefix", "branches"):
        address.write(field, st.session_state[field])


def remember() -> None:
    """The component's callback: store its new state."""
    PLACE.store(st.session_state["decoding"]["place"])


def take_choice() -> None:
    """The component's callback: the user chose or typed a token; decoding continues from it."""
    prefix = st.session_state["decoding"]["choice"]
    if prefix:
        st.session_state["prefix"] = prefix_text([int(token) for token in prefix])
        branch_store.choose(tuple(int(token) for token in prefix))
        st.session_state["step"] = str(len(prefix))


def start_over() -> None:
    """Back to the model's own path."""
    st.session_state["prefix"] = ""
