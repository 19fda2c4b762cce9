"""A checkpoint's model card: what it is, its scores, an example decoded now, and its origin."""

from typing import TYPE_CHECKING

import pandas as pd
import streamlit as st

from pages.components.checkpoints.actions import note_of
from pages.components.shared.scores import score
from pages.components.shell.models import Listed
from pages.components.shell.text import number, percent, plain, seconds, verbatim
from transformer.errors import UserError
from transformer.tasks import title_of

if TYPE_CHECKING:
    from transformer.checkpoint import Checkpoint
    from transformer.checkpoint.header import Summary


def checkpoint_card(entry: Listed, checkpoint: "Checkpoint") -> None:
    """Draw scores, an answer decoded now, and the checkpoint's origin."""
    header = checkpoint.header
    title = title_of(checkpoint.task, (example.source for example in header.examples))
    st.header(plain(title.capitalize() if title == "imported" else title))
    if note := note_of(entry):
        st.markdown(plain(note))
    if checkpoint.summary is not None:
        _scores(checkpoint.summary)
    _decoded_now(checkpoint)
    _provenance(checkpoint)
    if header.notes:
        st.caption(plain(header.notes))


def _decoded_now(checkpoint: "Checkpoint") -> None:
    """Draw the first example's output, decoded now, and whether it is the one stored when saved."""
    examples = checkpoint.header.examples
    with st.container(border=True):
        if not examples:
            st.markdown("This file brings no example; give it an input on the Decode page.")
            return
        example = examples[0]
        known: tuple[str, str] | None = st.session_state.get("decoded now")
        if known is None or known[0] != checkpoint.header.sha256:
            try:
                with st.spinner("Decoding an example…"):
                    known = (
                        checkpoint.header.sha256,
                        checkpoint.answers([example.source])[0].output,
                    )
            except UserError as error:
                st.markdown(f"It cannot read its own example: {plain(str(error))}")
                return
            st.session_state["decoded now"] = known
        output = known[1]
        st.markdown(f"Decoded now: {verbatim(example.source)} → {verbatim(output)}")
        if output == example.output:
            st.caption(":material/check_circle: Equal to what it gave when it was saved.")
        else:
            st.caption(f":material/cancel: When it was saved, it gave {verbatim(example.output)}.")


def _provenance(checkpoint: "Checkpoint") -> None:
    """Draw how the model was trained, or where it was imported from."""
    header, summary = checkpoint.header, checkpoint.summary
    facts = {"Origin": header.origin} if header.origin else {}
    if summary is not None:
        facts["Trained"] = (
            f"{summary.steps:,} updates in {seconds(summary.seconds)}, preset {summary.preset}, "
            f"seed {summary.seed}"
        )
    torch_version = header.probe.environment.get("torch", "?") if header.probe else ""
    facts["Saved with"] = f"torch {torch_version}" if torch_version else "unknown"
    if header.precision != "float32":
        facts["On disk"] = header.precision
    facts["Licence"] = header.licence or "none stated"
    facts["Checksum"] = header.sha256[:16] + "…"
    _facts(facts)


def _scores(summary: "Summary") -> None:
    kind = "training" if summary.evaluated_on_training_pairs else "held-out"
    where = f"On {summary.examples:,} {kind} pairs."
    matched, untrained_matched = (
        percent(summary.exact_match),
        percent(summary.untrained_exact_match),
    )
    learned = ", which it learned" if summary.evaluated_on_training_pairs else ""
    st.caption(f"On {summary.examples:,} {kind} pairs{learned}")
    with st.container(horizontal=True, gap="small"):
        score("Exact match", matched, f"untrained {untrained_matched}", where)
        score("Loss", number(summary.loss), f"untrained {number(summary.untrained_loss)}", where)
        score("Tokens right", percent(summary.token_accuracy), "given those before", where)


def _facts(values: dict[str, str]) -> None:
    """Draw a two-column table; values may come from a file, so they are escaped."""
    rows = pd.DataFrame({"value": [plain(text) for text in values.values()]}, index=list(values))
    st.table(rows, border="horizontal", hide_header=True)
