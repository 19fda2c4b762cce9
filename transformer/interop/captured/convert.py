"""Converts a capture of a user's own model to a checkpoint, and checks that its logits are equal.

Names are not used: :mod:`doctor.reading` finds the role of each weight by data flow. Where our
architecture computes the same differently (another scale of the scores, another formula of
positions, an unbiased standard deviation), the weights are changed to make up for it. The
checkpoint is then run on the recorded probes, and refused if its logits differ.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

import numpy as np
import torch
from torch import Tensor

from transformer.checkpoint import Checkpoint
from transformer.checkpoint.checkpoint import assemble
from transformer.config import TransformerConfig
from transformer.doctor.comparison import spread_of
from transformer.doctor.diagnosis import NOT_READABLE, Diagnosis, diagnose
from transformer.doctor.input_layers import SideEmbedding, Unmapped
from transformer.doctor.positions import formula_of, sines
from transformer.doctor.reading import Reading, read
from transformer.doctor.recording import Array, Recording
from transformer.doctor.reference import Reference, build
from transformer.errors import CheckpointError, VocabularyError, reading
from transformer.interop.foreign_vocabulary import Given, Special, completed
from transformer.interop.nn_transformer.convert import REQUIRED_SPECIAL_TOKENS, Converted
from transformer.interop.nn_transformer.rows import (
    NEVER_WRITTEN_BIAS,
    Arrangement,
    arrange,
    describe_rows,
)

EQUAL = 1e-5
"""Largest accepted difference from a recorded logit, over the logits' spread. Both are computed in
64 bits; storing the weights in 32 causes less."""
MOST_POSITIONS = 4096
USUAL_POSITIONS = 512
"""Number of positions, if they are computed by a formula."""


@dataclass(frozen=True)
class Details:
    """What the user adds to a capture.

    vocabularies: of source and target; without one, the ids themselves are the tokens.
    special: ids of special tokens for each side, by name.
    frame: tokens around a text that the encoder reads, as in a config's source_frame.
    """

    vocabularies: Given = (None, None)
    special: tuple[Mapping[str, int | None], Mapping[str, int | None]] = (
        MappingProxyType({}),
        MappingProxyType({}),
    )
    frame: str = "bos-eos"


NO_DETAILS = Details()


def import_capture(source: Path | bytes, details: Details = NO_DETAILS) -> Checkpoint:
    """A checkpoint of the model in a capture, equal to it on every probe.

    Raises:
        CheckpointError: the file is not a valid capture, or the captured model computes
            something that ours cannot: one sentence says what, and where.
        VocabularyError: a vocabulary does not fit its embedding.
    """
    if isinstance(source, Path):
        with reading(source):
            source = source.read_bytes()
    return checkpoint_of(Recording(source), details)


def checkpoint_of(
    recording: Recording, details: Details = NO_DETAILS, diagnosis: Diagnosis | None = None
) -> Checkpoint:
    """Like :func:`import_capture`, from a recording.

    Args:
        diagnosis: the doctor's, if known already; it explains a refusal.
    """
    if recording.about["part"]:
        raise CheckpointError(
            f"This capture is of a model's {recording.about['part']} alone: the rest of it is not "
            "yours. Capture the whole model once you have it."
        )
    made, largest_difference = None, math.inf
    try:
        known = read(recording) if diagnosis is None else diagnosis.reading
        if known is not None:
            made = converted(known, details)
            largest_difference = difference(made, recording, known)
    except (CheckpointError, VocabularyError):
        raise
    except (Unmapped, *NOT_READABLE):
        pass  # explained by the error below
    if made is None or largest_difference > EQUAL:
        raise CheckpointError(_why(diagnosis or diagnose(recording)))
    about = recording.about
    return made.checkpoint(
        f"Read from a capture of {about['model']}, made {about['created']}. Compared with "
        f"its own logits on {len(recording.probes)} probes: the largest difference is "
        f"{largest_difference:.0e} of their spread."
    )


def _why(found: Diagnosis) -> str:
    """Why no checkpoint of ours computes the same: where the model departs from the paper."""
    said = "This model computes something else than the paper's, so that no checkpoint of ours can"
    said += " hold it. "
    departure = next((d for d in found.departures if not d.harmless), None)
    if departure is not None:
        from transformer.doctor.report import title_of

        at = f" ({departure.site})" if departure.site else ""
        said += f"{title_of(departure)}: at {departure.where}{at}."
    elif found.problem:
        at = f" ({found.problem_site})" if found.problem_site else ""
        said += f"{found.problem}{at}"
    elif found.reference is not None and found.reference.obstacles:
        said += f"It has {found.reference.obstacles[0]}."
    else:
        said += "Its logits are not ours with its weights."
    return f"{said} Drop the capture on the Debug page to see more."


# --- conversion -----------------------------------------------------------------------------------


def converted(known: Reading, details: Details) -> Converted:
    """The captured model as our config and tensors, in 64 bits.

    Raises:
        Unmapped: our model has no such parts.
        ConfigError: our model cannot have such sizes.
        VocabularyError: a vocabulary does not fit.
    """
    reference = build(known, folded=True)
    model = reference.model
    sizes = (len(known.source.tokens), reference.config.target_vocab_size)
    guess = _special(known)
    sides = [
        completed(*side)
        for side in zip(details.vocabularies, sizes, (guess, guess), details.special, strict=True)
    ]
    source = arrange(sides[0], sizes[0], "source", REQUIRED_SPECIAL_TOKENS[details.frame])
    target = arrange(sides[1], sizes[1], "target", ("bos", "eos"))
    tokens, output = model.target_embedding.tokens.weight, model.output.weight
    tied = output.shape == tokens.shape and torch.equal(output, tokens)
    shared = known.source.leaf == known.target.leaf and source.rows == target.rows
    layout, tables = _positions(known)
    config = replace(
        reference.config,
        source_vocab_size=len(source.rows),
        target_vocab_size=len(target.rows),
        max_length=len(tables[0]),
        tie_embeddings=tied,
        share_embeddings=shared,
        scale_embeddings=model.source_embedding.scale != 1.0,
        position_layout=layout,
        output_bias=bool(model.output.bias.any()) or bool(target.never_written),
        source_frame=details.frame,
        pad_id=0,
        bos_id=1,
        eos_id=2,
        unk_id=3,
        decoder_start_id=1,
    )
    tensors = _tensors(reference, config, source, target, tables)
    notes = [f"In the original: {'; '.join(reference.choices)}."] if reference.choices else []
    if None in details.vocabularies:
        notes.append(f"Without a vocabulary, tokens are called by their ids; of these {guess}.")
    for side, foreign, rows in zip(("source", "target"), sides, (source, target), strict=True):
        notes += describe_rows(rows, foreign.special, side)
    return Converted(config, tensors, source, target, tuple(notes))


def _special(known: Reading) -> Special:
    """Guesses: pad as captured, bos as the first target id, eos as the next free id."""
    pad, bos = known.recording.pad_id, int(known.recording.probes["main"].target[0, 0])
    eos = next(i for i in range(4) if i not in (pad, bos) and i > min(pad, bos))
    return Special(pad, bos, eos)


def _tensors(
    reference: Reference,
    config: TransformerConfig,
    source: Arrangement,
    target: Arrangement,
    tables: tuple[Array, Array],
) -> dict[str, Tensor]:
    model = reference.model
    made = {
        name: tensor.detach()
        for name, tensor in model.named_parameters()
        if name.startswith(("encoder.", "decoder.")) or "_embedding.norm." in name
    }
    embedding = model.source_embedding.tokens.weight.detach()
    made["source_embedding.tokens.weight"] = source.pick(embedding)
    if not config.share_embeddings:
        embedding = model.target_embedding.tokens.weight.detach()
        made["target_embedding.tokens.weight"] = target.pick(embedding)
    if config.position_layout == "learned":
        for side, table in zip(("source", "target"), tables, strict=True):
            made[f"{side}_embedding.positions"] = torch.from_numpy(np.array(table))
    if not config.tie_embeddings:
        made["output.weight"] = target.pick(model.output.weight.detach())
    if config.output_bias:
        made["output.bias"] = target.pick(model.output.bias.detach())
        made["output.bias"][list(target.never_written)] = NEVER_WRITTEN_BIAS
    return made


def _positions(known: Reading) -> tuple[str, tuple[Array, Array]]:
    """The layout, and the tables of both sides, cut to equal lengths: [position, d_model]."""
    embeddings = (known.source, known.target)
    tables = [_table(known, embedding) for embedding in embeddings]
    length = min(len(table) for table in tables)
    kinds = {formula_of(embedding.positions.added) for embedding in embeddings}
    learned = any(embedding.positions.learned for embedding in embeddings)
    layout = kinds.pop() if len(kinds) == 1 and not learned else "learned"
    if layout not in ("interleaved", "halves"):
        layout = "learned"
    return layout, (tables[0][:length], tables[1][:length])


def _table(known: Reading, embedding: SideEmbedding) -> Array:
    """The vectors added, by a tensor, a formula or the recording: [position, d_model]."""
    positions, width = embedding.positions, known.d_model
    formula = formula_of(positions.added)
    if positions.leaf:
        rows = known.recording.value(positions.leaf).reshape(-1, width)[positions.first_row :]
        return rows[:MOST_POSITIONS]
    if formula == "none":
        return np.zeros((USUAL_POSITIONS, width))
    if formula:
        kind, _, start = formula.partition(", from position ")
        return sines(kind, USUAL_POSITIONS, width, int(start or 0))
    return positions.added


# --- comparison -----------------------------------------------------------------------------------


def difference(made: Converted, recording: Recording, known: Reading) -> float:
    """The largest difference of logits on all probes, as a share of their spread.

    Computed in 64 bits, with the weights rounded to 32 bits as in the file.
    """
    kept = {name: tensor.float().double() for name, tensor in made.tensors.items()}
    model = assemble(made.config, kept).double()
    theirs, ours = made.source.ids, made.target.ids
    columns = sorted(ours)
    largest = 0.0
    for pair in recording.probes.values():
        source = torch.from_numpy(_renumbered(pair.source, theirs))
        target = torch.from_numpy(_renumbered(pair.target, ours))
        with torch.no_grad():
            logits = model(source, target)[:, : pair.logits.shape[1], [ours[c] for c in columns]]
            if known.ending:
                logits = getattr(logits, known.ending)(-1)
        real = pair.target[:, : logits.shape[1]] != recording.pad_id
        with np.errstate(invalid="ignore"):
            differences = np.abs(logits.numpy() - pair.logits[..., columns])[real]
        largest = max(largest, float(np.nan_to_num(differences, nan=np.inf).max(initial=0.0)))
    return largest / spread_of(recording)


def _renumbered(ids: Array, numbers: dict[int, int]) -> Array:
    return np.vectorize(numbers.__getitem__, otypes=[np.int64])(ids)
