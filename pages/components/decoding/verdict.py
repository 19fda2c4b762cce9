"""Right or wrong, and if wrong: at which step, how sure the model was, and what it looked at."""

from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from pages.components.decoding.paths import DecodingPath, PathSpec, decode_path, prefix_text
from pages.components.shared.inputs import short_enough
from pages.components.shared.inspection import visible_tokens
from pages.components.shared.right_answer import known_target, unlike_training
from pages.components.shell import address
from pages.components.shell.text import plain, probability, verbatim
from transformer.analysis.first_error import FirstError, first_error
from transformer.analysis.patterns import ideal_places
from transformer.errors import VocabularyError

if TYPE_CHECKING:
    from transformer.checkpoint import Checkpoint


def target_field(checkpoint: "Checkpoint", text: str) -> str | None:
    """Field for the true target: the text that the user typed, else the known target, else None."""
    own = checkpoint.target_vocabulary.decode(decode_path(checkpoint, text).written)
    known = known_target(checkpoint, text, own)
    address.read("target", "")
    given = st.text_input(
        "True target",
        key="target",
        placeholder="not known; type one to compare with" if known is None else known,
        help="The output is compared with it, and teacher forcing gives it to the model. If "
        "empty, it is the task's own answer where that can be computed.",
    )
    address.write("target", short_enough(given))
    return given or known


def target_ids(checkpoint: "Checkpoint", target: str | None) -> tuple[int, ...]:
    """Ids of the target and <eos>; empty without a target, or if the model cannot write it.

    Raises:
        VocabularyError: the target that the user typed has unknown tokens, or too many.
    """
    if target is None:
        return ()
    config = checkpoint.config
    own = bool(st.session_state["target"])
    try:
        ids = (*checkpoint.target_vocabulary.encode(target), config.eos_id)
    except VocabularyError:
        if own:
            raise
        return ()
    if len(ids) <= config.max_length:
        return ids
    if own:
        raise VocabularyError(
            f"The true target has {len(ids) - 1:,} tokens; this model writes at most "
            f"{config.max_length - 1}. Shorten it."
        )
    return ()


def find_error(path: DecodingPath, wanted: tuple[int, ...]) -> FirstError | None:
    return first_error(path.written, wanted, path.logits) if wanted else None


def verdict(
    checkpoint: "Checkpoint",
    text: str,
    path: DecodingPath,
    wanted: tuple[int, ...],
    error: FirstError,
) -> None:
    """Draw the first error and its likely cause, with buttons to go there and to correct it.

    Draws nothing if the user wrote the wrong token, because it was not the model's mistake.
    """
    if is_own(path, error):
        return
    written, right = (verbatim(name) for name in _names(checkpoint, error.written, error.wanted))
    step = error.position + 1
    sentences = [
        f"**Wrong from step {step} on:** there the model wrote {written} "
        f"({probability(error.probability)}); the target has {right}, its "
        f"{_ordinal(error.rank)} choice ({probability(error.wanted_probability)}).",
        _how_sure(path, error),
        unlike_training(checkpoint, text, len(wanted) - 1),
        _looked(checkpoint, text, path, wanted, error),
        _afterwards(checkpoint, text, path, wanted, error),
    ]
    with st.container(key="verdict"):
        said, todo = st.columns([5, 1], vertical_alignment="center")
    with said:
        st.error(" ".join(filter(None, sentences)), icon=":material/close:")
    with todo:
        st.button(f"Go to step {step}", on_click=_go_to, args=(error.position,), width="stretch")
        st.button(
            f"Write {plain(_names(checkpoint, error.wanted)[0])} there",
            on_click=_put_right,
            args=(wanted[:step],),
            disabled=wanted[:step] == path.spec.prefix,
            width="stretch",
        )


def is_own(path: DecodingPath, error: FirstError) -> bool:
    """Whether the user wrote the wrong token, instead of the model's first choice."""
    place = error.position
    return place < len(path.spec.prefix) and int(path.logits[place].argmax()) != error.written


def own_choice(checkpoint: "Checkpoint", path: DecodingPath) -> str:
    """The user's last token and the model's choice there, in a sentence; "" if they are equal."""
    prefix = path.spec.prefix
    if not prefix:
        return ""
    logits = path.logits[len(prefix) - 1].astype(np.float64)
    first = int(logits.argmax())
    if first == prefix[-1]:
        return ""
    share = float(1 / np.exp(logits - logits[first]).sum())
    mine, models = (verbatim(name) for name in _names(checkpoint, prefix[-1], first))
    return f"You wrote {mine}; the model would write {models} ({probability(share)})."


def _how_sure(path: DecodingPath, error: FirstError) -> str:
    if path.spec.sampling is not None and error.rank == 1:
        return "The right token was its first choice; sampling drew another."
    lead = error.probability - error.wanted_probability
    if lead < 0.2:
        return "A close call: the two were nearly as probable."
    if error.probability > 0.9:
        return "It was sure, and wrong."
    return "It was not sure."


def _looked(
    checkpoint: "Checkpoint",
    text: str,
    path: DecodingPath,
    wanted: tuple[int, ...],
    error: FirstError,
) -> str:
    """Where the last layer looked and, if the task knows it, where the right token comes from."""
    source = checkpoint.source_ids(text)
    tokens = visible_tokens(checkpoint.source_vocabulary.tokens, source)
    weights = path.attention[error.position, -1].mean(axis=0)
    most = int(weights.argmax())
    said = (
        f"It looked most at {verbatim(tokens[most])}, input token {most + 1} "
        f"(weight {weights[most]:.2f}, last layer"
    )
    names = [checkpoint.target_vocabulary.tokens[number] for number in wanted]
    sources = [checkpoint.source_vocabulary.tokens[number] for number in source]
    ideal = ideal_places(checkpoint.task, sources, names)
    places = [] if ideal is None else ideal[1][error.position].nonzero()[0].tolist()
    if not places:
        return f"{said})."
    where = " and ".join(f"{verbatim(tokens[place])}, token {place + 1}" for place in places)
    return f"{said}); it needed {where} (weight {weights[places].sum():.2f})."


def _afterwards(
    checkpoint: "Checkpoint",
    text: str,
    path: DecodingPath,
    wanted: tuple[int, ...],
    error: FirstError,
) -> str:
    """Whether the rest is right if this one token is corrected, in a sentence."""
    spec = PathSpec(wanted[: error.position + 1], path.spec.sampling)
    other = find_error(decode_path(checkpoint, text, spec), wanted)
    if error.position + 1 == len(wanted):
        return ""
    if other is None:
        return "Given the right token there, it writes the rest right."
    return f"Even given the right token there, it errs again at step {other.position + 1}."


def _names(checkpoint: "Checkpoint", *ids: int) -> list[str]:
    return visible_tokens(checkpoint.target_vocabulary.tokens, ids)


def _ordinal(rank: int) -> str:
    ending = {1: "st", 2: "nd", 3: "rd"}.get(rank % 10, "th")
    return f"{rank}{'th' if rank % 100 in (11, 12, 13) else ending}"


def _go_to(position: int) -> None:
    st.session_state["step"] = str(position + 1)


def _put_right(prefix: tuple[int, ...]) -> None:
    st.session_state["prefix"] = prefix_text(prefix)
    st.session_state["step"] = str(len(prefix))
