"""A checkpoint's model card, and the evidence that it behaves as when it was saved."""

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import streamlit as st

from pages.components.scores import score
from pages.components.text import number, percent, plain, seconds
from transformer.tasks import TASKS
from transformer.vocabulary import visible

if TYPE_CHECKING:
    from transformer.checkpoint import Check, Checkpoint
    from transformer.checkpoint_header import Summary

CHECK_TITLES = {
    "file": "The file is whole",
    "logits": "Same logits as when it was saved",
    "outputs": "Same answers, generated token by token",
    "cache": "Same answers with and without the cache",
}


def checks(path: Path) -> None:
    """Reload the file and show each check with its evidence."""
    from transformer.checkpoint import verify

    with st.spinner("Loading the file afresh and comparing…"):
        found = verify(path)
    with st.container(border=True):
        st.markdown(f"**{_verdict(found)}**")
        for check in found:
            mark = ":material/check_circle:" if check.ok else ":material/cancel:"
            word = "holds" if check.ok else "FAILS"
            st.markdown(f"{mark} **{CHECK_TITLES[check.name]}** ({word}): {plain(check.detail)}.")


def _verdict(found: "list[Check]") -> str:
    if not all(check.ok for check in found):
        return "This checkpoint does not behave as it did when it was saved."
    if not {"logits", "outputs"} <= {check.name for check in found}:
        return "The file is whole, but it carries nothing to compare its behaviour with."
    return "This checkpoint behaves exactly as it did when it was saved."


def checkpoint_card(checkpoint: "Checkpoint") -> None:
    """What the model is, how good it is next to untrained, and examples of what it writes."""
    config, header = checkpoint.config, checkpoint.header
    title = TASKS[checkpoint.task].title if checkpoint.task in TASKS else checkpoint.task
    st.header(plain(title))
    if checkpoint.summary is not None:
        _scores(checkpoint.summary)
    left, right = st.columns(2, gap="large")
    with left:
        st.subheader("Architecture")
        norm = "before" if config.norm_first else "after"
        _facts(
            {
                "Parameters": f"{config.num_parameters:,}",
                "Layers": f"{config.num_encoder_layers} encoder, "
                f"{config.num_decoder_layers} decoder",
                "Width": f"d_model {config.d_model}, d_ff {config.d_ff}",
                "Heads": f"{config.num_heads}, each of width {config.d_k}",
                "Norm": f"{norm} each sub-layer",
                "Activation": config.activation,
                "Vocabulary": f"{config.source_vocab_size} source, "
                f"{config.target_vocab_size} target tokens "
                f"({checkpoint.source_vocabulary.kind})",
                "Longest sequence": f"{config.max_length} tokens",
            }
        )
    with right:
        _provenance(checkpoint)
    if header.examples:
        st.subheader(f"{_kind_of_examples(checkpoint)} as answered when it was saved")
        st.dataframe(
            pd.DataFrame(
                {
                    "Input": [visible(example.source) for example in header.examples],
                    "Target": [visible(example.target) for example in header.examples],
                    "Output": [visible(example.output) for example in header.examples],
                    "Right": [
                        "✓" if example.target == example.output else "✗"
                        for example in header.examples
                    ],
                }
            ),
            hide_index=True,
        )
    if header.notes:
        st.caption(plain(header.notes))


def _provenance(checkpoint: "Checkpoint") -> None:
    """How it was trained here, or where it was brought from."""
    header, summary = checkpoint.header, checkpoint.summary
    facts = {"Origin": header.origin} if header.origin else {}
    if summary is not None:
        facts |= {
            "Preset": summary.preset,
            "Updates": f"{summary.steps:,}",
            "Time": seconds(summary.seconds),
            "Seed": str(summary.seed),
            "Learning rate": f"{summary.training.get('learning_rate', '?')}",
            "Batch": f"{summary.training.get('batch_size', '?')} pairs",
        }
    facts["Checksum"] = header.sha256[:16] + "…"
    torch_version = header.probe.environment.get("torch", "?") if header.probe else ""
    facts["Saved with"] = f"torch {torch_version}" if torch_version else "unknown"
    if header.licence:
        facts["Licence"] = header.licence
    st.subheader("Training" if summary else "Origin")
    _facts(facts)


def _kind_of_examples(checkpoint: "Checkpoint") -> str:
    if checkpoint.summary is None:
        return "Examples"
    kind = "Training" if checkpoint.summary.evaluated_on_training_pairs else "Held-out"
    return f"{kind} examples,"


def _scores(summary: "Summary") -> None:
    kind = "training" if summary.evaluated_on_training_pairs else "held-out"
    where = f"On {summary.examples:,} {kind} pairs."
    matched, untrained_matched = (
        percent(summary.exact_match),
        percent(summary.untrained_exact_match),
    )
    with st.container(horizontal=True, gap="small"):
        score("Exact match", matched, f"untrained {untrained_matched}", where)
        score("Loss", number(summary.loss), f"untrained {number(summary.untrained_loss)}", where)
        over = f"over {summary.examples:,} {kind} pairs"
        score("Tokens right", percent(summary.token_accuracy), over, where)


def _facts(values: dict[str, str]) -> None:
    """A two-column table; values may come from a file, so they are shown as they are."""
    rows = pd.DataFrame({"value": [plain(text) for text in values.values()]}, index=list(values))
    st.table(rows, border="horizontal", hide_header=True)
