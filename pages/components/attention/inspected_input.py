"""What the Attention page shows: an input and a model, and what they are compared with."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import streamlit as st

from pages.components.shared.examples import chosen_pairs
from pages.components.shared.inputs import short_enough
from pages.components.shared.inspection import Inspection, inspect
from pages.components.shared.right_answer import known_target, seen_in_training, unlike_training
from pages.components.shell import address, models, session
from pages.components.shell.sidebar import link_to
from pages.components.shell.text import full_stop, verbatim
from pages.components.widgets.attention_explorer import Side
from transformer.analysis.heads import Head
from transformer.analysis.patterns import HeadScores, ideal_places, score_heads
from transformer.checkpoint.header import read_header
from transformer.errors import VocabularyError

if TYPE_CHECKING:
    from transformer.checkpoint import Checkpoint
    from transformer.checkpoint.verification import Check

MAX_INSPECTIONS = 4
"""Maximum number of inspections cached in a session, so that a click does not compute one again."""
COMPARISONS = {
    "": "nothing",
    "untrained": "the same model untrained",
    "checkpoint": "another checkpoint",
    "input": "another input",
}


@dataclass(frozen=True)
class InspectedInput:
    """One model with one input, and results from its weights, each computed once."""

    label: str
    checkpoint: "Checkpoint"
    text: str
    inspection: Inspection

    @cached_property
    def scores(self) -> dict[Head, HeadScores]:
        encoder, decoder, cross = self.inspection.kinds
        # The raw tokens: the maps show invisible characters as others, a space as ␣.
        sources, targets = self.checkpoint.source_vocabulary, self.checkpoint.target_vocabulary
        ideal = ideal_places(
            self.checkpoint.task,
            [sources.tokens[number] for number in self.inspection.source],
            [targets.tokens[number] for number in self.inspection.written],
        )
        found = [
            *score_heads("encoder", encoder.weights, encoder.query_tokens, encoder.key_tokens),
            # In decoder self-attention, a row's token is the one read there, not the one written.
            *score_heads(
                "decoder", decoder.weights, decoder.key_tokens, decoder.key_tokens, causal=True
            ),
            *score_heads("cross", cross.weights, cross.query_tokens, cross.key_tokens, ideal=ideal),
        ]
        return {one.head: one for one in found}

    @cached_property
    def checks(self) -> "list[Check]":
        from transformer.analysis.trust import trust

        found = self.inspection
        weights = {kind.id: kind.weights for kind in found.kinds}
        return trust(self.checkpoint, found.source, found.read, weights)

    @cached_property
    def side(self) -> Side:
        labels = {str(head): scores.label for head, scores in self.scores.items()}
        findings = {str(head): scores.sentence() for head, scores in self.scores.items()}
        return Side(self.label, self.inspection.kinds, labels, findings)


def inspect_cached(
    label: str,
    checkpoint: "Checkpoint",
    text: str,
    output: str | Sequence[int] | None = None,
) -> InspectedInput:
    """Inspect an input; cached in the session.

    Raises:
        VocabularyError: a text cannot be encoded.
    """
    kept: dict[tuple[object, ...], InspectedInput] = st.session_state.setdefault("inspections", {})
    # The name has the checkpoint object: another view of the same file has other modules.
    given = output if output is None or isinstance(output, str) else tuple(output)
    name = (id(checkpoint), label, text, given)
    if name not in kept or kept[name].checkpoint is not checkpoint:
        kept[name] = InspectedInput(label, checkpoint, text, inspect(checkpoint, text, output))
    kept[name] = kept.pop(name)  # the newest last
    while len(kept) > MAX_INSPECTIONS:
        del kept[next(iter(kept))]
    return kept[name]


def output_field() -> str | None:
    """Field for an output to look at instead of the model's own answer; None if left empty."""
    address.read("output", "")
    text = st.text_input(
        "Output to look at",
        key="output",
        placeholder="the model's own answer",
        help="Leave it empty, and the model answers. Type a text, and the maps show how the model "
        "would attend if it had written that.",
    )
    address.write("output", short_enough(text))
    return text or None


def judgement(inspected: InspectedInput) -> tuple[str, str]:
    """What the model writes, and whether it is right, because the maps of a wrong answer mean
    something else.

    Returns:
        A sentence; and why the answer may be wrong, "" if it is right or no reason is known.
    """
    checkpoint, written = inspected.checkpoint, inspected.inspection.output
    says = f"The model writes {verbatim(written)}"
    target = known_target(checkpoint, inspected.text, written)
    if target is None:
        return f"{says}{full_stop(written)}", ""
    if target == written:
        return f"{says}, which is right.", ""
    length = 0
    with suppress(VocabularyError):  # a target that it cannot write has no length
        length = len(checkpoint.target_vocabulary.encode(target))
    why = unlike_training(checkpoint, inspected.text, length)
    return f"{says}, which is **wrong**: right is {verbatim(target)}.", why


def answer(inspected: InspectedInput, without: str) -> None:
    """Draw the answer line.

    Args:
        without: a sentence on what the model writes without the heads that are off; or "".
    """
    found = inspected.inspection
    if found.given:
        st.markdown(
            f"The maps are for {verbatim(found.output)}, the output you gave. {without}".rstrip()
        )
    else:
        says, why = judgement(inspected)
        seen = seen_in_training(inspected.checkpoint, chosen_pairs(), inspected.text)
        st.markdown(" ".join(filter(None, (says, without, why, seen))))
        if "**wrong**" in says:
            link_to("Decode", "See where it goes wrong")
    if not found.complete:
        st.warning("The output was cut: the model did not write an end.")


def comparison_field() -> str:
    """The widget that chooses what to compare with."""
    return address.option(st.selectbox, "Compare with", COMPARISONS, "compare")


def name_of(comparison: str, text: str) -> str:
    """The label of the first side in a comparison."""
    return {"untrained": "trained", "input": f"“{text}”"}.get(comparison, "the one chosen above")


def comparison(choice: str, inspected: InspectedInput) -> InspectedInput | None:
    """The side to compare with; None if there is no comparison.

    Raises:
        UserError: the other text or checkpoint cannot be used.
    """
    written = inspected.inspection.written
    if choice == "untrained":
        # Both run over the same output, so that the maps can be compared cell by cell.
        return inspect_cached(
            "untrained", session.untrained_model(inspected.checkpoint), inspected.text, written
        )
    if choice == "checkpoint":
        return _other_checkpoint(inspected)
    if choice == "input":
        address.read("other", inspected.text)
        text = short_enough(st.text_input("Other input", key="other"))
        address.write("other", text)
        return inspect_cached(f"“{text}”", inspected.checkpoint, text)
    return None


def _like(checkpoint: "Checkpoint", entries: dict[str, models.Listed]) -> str:
    """Id of a bundled checkpoint with the same source vocabulary, preferably not this one; else of
    the first in the list."""
    same = [
        (header.sha256 == checkpoint.header.sha256, entry.id)
        for entry in entries.values()
        if entry.path.parent == models.BUNDLED
        and (header := read_header(entry.path)[0]).source_vocabulary == checkpoint.source_vocabulary
    ]
    return min(same)[1] if same else next(iter(entries))


def _other_checkpoint(inspected: InspectedInput) -> InspectedInput | None:
    entries = models.listed_checkpoints()
    key = "with checkpoint"
    known = key in st.session_state or f"kept {key}" in st.session_state
    address.read(key, "" if known else _like(inspected.checkpoint, entries))
    chosen = address.choose(
        "Other checkpoint",
        {name: entry.label for name, entry in entries.items()},
        key,
    )
    if chosen is None:
        return None
    other = session.load(entries[chosen], slot="compared")
    same = (
        other.target_vocabulary == inspected.checkpoint.target_vocabulary
        and other.source_vocabulary == inspected.checkpoint.source_vocabulary
    )
    label = entries[chosen].label
    if not same:
        return inspect_cached(label, other, inspected.text)
    own = inspect_cached("own", other, inspected.text).inspection.output
    if own != inspected.inspection.output:
        st.caption(
            "Its maps are for the same output, so that you can compare them cell by cell; by "
            f"itself it writes {verbatim(own)}{full_stop(own)}"
        )
    return inspect_cached(label, other, inspected.text, inspected.inspection.written)
