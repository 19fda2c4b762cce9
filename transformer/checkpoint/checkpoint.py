"""A trained model in one file: save it, load it, decode with it."""

import copy
import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self

import torch
from torch import Tensor

from transformer.checkpoint.answers import Answer
from transformer.checkpoint.header import (
    METADATA_KEY,
    PRECISIONS,
    Example,
    Header,
    Summary,
    read_header,
)
from transformer.checkpoint.layout import FLOAT_BYTES, Entry
from transformer.checkpoint.probe import any_ids, make_probe, one_thread
from transformer.checkpoint.weights import check_finite, read_weights
from transformer.config import DataConfig, TransformerConfig
from transformer.decoding.many import Progress, decode_many
from transformer.decoding.steps import Decoded, Search, Strategy
from transformer.decoding.strategies import GREEDY, Greedy
from transformer.errors import CheckpointError, ConfigError, VocabularyError
from transformer.faults import plant_of_run
from transformer.files import write_atomic
from transformer.hooks import own_modules
from transformer.model import Transformer, fixed_positions
from transformer.vocabulary import Vocabulary

PROOF_TOKENS = 20
"""Most tokens of an example's output, for a model that was trained elsewhere."""


class Checkpoint:
    """A model with its vocabularies and its history.

    The model is in evaluation mode. ``tensors`` are the model's own parameters by name;
    treat them as read-only where a :meth:`view` shares them.
    """

    def __init__(self, header: Header, tensors: dict[str, Tensor]) -> None:
        self.header = header
        self.tensors = tensors
        self.model = assemble(header.config, tensors)
        try:
            plant_of_run(self.model, header.fault)
        except ConfigError as error:
            raise CheckpointError(f"The checkpoint's description is wrong. {error}") from None

    @property
    def config(self) -> TransformerConfig:
        return self.header.config

    @property
    def source_vocabulary(self) -> Vocabulary:
        return self.header.source_vocabulary

    @property
    def target_vocabulary(self) -> Vocabulary:
        return self.header.target_vocabulary

    @property
    def task(self) -> str:
        return self.header.data.task

    @property
    def summary(self) -> Summary | None:
        return self.header.summary

    @classmethod
    def load(cls, source: Path | str | bytes) -> Self:
        """Load a file, from its path or its bytes, and check everything in it.

        Order of the checks: size, header, config and vocabularies, names and shapes of the
        tensors, and only then the weights: finite, and last the checksum.

        Raises:
            CheckpointError: one sentence that says what is wrong.
        """
        if isinstance(source, str):
            source = Path(source)
        header, entries, offset = read_header(source)
        _check_tensors(header.config, entries)
        digest, tensors = _digest(header), {}
        for name, tensor in read_weights(source, entries, offset, digest.update):
            check_finite(name, tensor)
            tensors[name] = tensor.float()
        if header.sha256 != digest.hexdigest():
            raise CheckpointError(
                "The checksum does not match: the file was changed after it was saved."
            )
        return cls(header, tensors)

    @classmethod
    def of(
        cls,
        model: Transformer,
        source_vocabulary: Vocabulary,
        target_vocabulary: Vocabulary,
        data: DataConfig,
        summary: Summary | None,
        pairs: Sequence[tuple[str, str]],
        notes: str = "",
        *,
        origin: str = "",
        licence: str = "",
        precision: str = "float32",
        compared: bool = True,
        copied: bool = True,
    ) -> Self:
        """A checkpoint of a model as it is now.

        Args:
            summary: how the model was trained here; None if it was trained elsewhere.
            pairs: a few sources with their targets. The model's outputs for them, and its
                logits for the first, are stored to prove later how it behaves. Without pairs,
                a model trained elsewhere stores its logits for some ids.
            precision: the weights' type on disk. With "float16" they are rounded now, so that
                the stored logits come from the weights that will be loaded.
            copied: whether to copy the weights; False if nothing else uses the model.
        """
        # A planted fault may give one tensor two names: both are stored.
        named = dict(model.named_parameters(remove_duplicate=False))
        tensors = {
            name: named[name].detach().to("cpu", torch.float32, copy=copied)
            for name in tensor_shapes(model.config)
        }
        if precision == "float16":
            tensors = {name: tensor.half().float() for name, tensor in tensors.items()}
        header = Header(
            model.config,
            source_vocabulary,
            target_vocabulary,
            data,
            summary,
            [],
            None,
            notes,
            origin=origin,
            licence=licence,
            precision=precision,
            compared=compared,
        )
        return cls(header, tensors).proven(pairs)

    def proven(self, pairs: Sequence[tuple[str, str]]) -> Self:
        """Store the outputs and logits that :meth:`of` describes; returns this checkpoint."""
        if not pairs and self.summary is None:
            probe = make_probe(self.model, *any_ids(self.config))
            self.header = replace(self.header, probe=probe)
        if pairs:
            with one_thread():
                answers = self.answers([source for source, _ in pairs], proof_strategy(self))
            examples = [
                Example(source, target, answer.output)
                for (source, target), answer in zip(pairs, answers, strict=True)
            ]
            self.header = replace(self.header, examples=examples)
            source = self.source_ids(examples[0].source)
            target = self.target_vocabulary.encode(examples[0].target)
            probe = make_probe(self.model, source, target)
            self.header = replace(self.header, probe=probe)
        return self

    def to_bytes(self) -> bytes:
        """The file's content. The same checkpoint gives the same bytes."""
        return b"".join(self._pieces())

    def save(self, path: Path | str) -> None:
        """Write the file; a reader sees the old one or the new one, never half."""
        write_atomic(Path(path), self._pieces())

    def _pieces(self) -> Iterator[bytes | memoryview]:
        """The file's content, tensor by tensor, so that a large model is in memory only once."""
        digest = _digest(self.header)
        for name in sorted(self.tensors):
            digest.update(self._stored(name))
        self.header = replace(self.header, sha256=digest.hexdigest())
        listing: dict[str, Any] = {"__metadata__": {METADATA_KEY: self.header.to_json()}}
        dtype, end = PRECISIONS[self.header.precision], 0
        for name in sorted(self.tensors):
            shape, start = list(self.tensors[name].shape), end
            end += FLOAT_BYTES[dtype] * math.prod(shape)
            listing[name] = {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}
        raw = json.dumps(listing, ensure_ascii=False, separators=(",", ":")).encode()
        raw += b" " * (-len(raw) % 8)
        yield len(raw).to_bytes(8, "little") + raw
        for name in sorted(self.tensors):
            yield self._stored(name)

    def _stored(self, name: str) -> memoryview:
        """A tensor's bytes as the file stores them."""
        kind = "<f2" if self.header.precision == "float16" else "<f4"
        return self.tensors[name].numpy().ravel().astype(kind, copy=False).data.cast("B")

    def view(self) -> Self:
        """The same weights behind new module objects, for another thread's hooks."""
        shared = copy.copy(self)
        shared.model = own_modules(self.model)
        return shared

    def encode(self, text: str) -> Tensor:
        """A source text as a batch of one, [1, source].

        Raises:
            VocabularyError: as :meth:`source_ids`.
        """
        return torch.tensor([self.source_ids(text)])

    def source_ids(self, text: str) -> list[int]:
        """A source text as ids, tokenised as in training, with what ``source_frame`` adds.

        Raises:
            VocabularyError: a token is unknown, there is none, or there are too many.
        """
        ids = self.source_vocabulary.encode(self.source_vocabulary.as_trained(text))
        if not ids:
            raise VocabularyError("There is nothing to read. Type at least one token.")
        framed = self.config.framed(ids)
        if len(framed) > self.config.max_length:
            raise VocabularyError(
                f"The input has {len(ids):,} tokens; this model reads at most "
                f"{self.config.max_length - (len(framed) - len(ids))}. Shorten it."
            )
        return framed

    def answers(self, texts: Sequence[str], strategy: Search = GREEDY) -> list[Answer]:
        """The model's outputs for some texts, in their order.

        Raises:
            VocabularyError: a text cannot be encoded.
        """
        found: dict[int, Answer] = {}
        for progress in self.answering(texts, strategy, margins=False):
            for answer in progress.new.values():
                if answer.error:
                    raise VocabularyError(answer.error)
            found.update(progress.new)
        return [found[number] for number in range(len(texts))]

    def answering(
        self, texts: Sequence[str], strategy: Search = GREEDY, *, margins: bool = True
    ) -> Iterator[Progress[Answer]]:
        """Decode many texts; first come those that the model cannot read, with the reason.

        Like :func:`decode_many`, it reports progress and may be stopped at any moment;
        ``margins`` is as there.
        """
        rows: dict[int, list[int]] = {}
        refused: dict[int, Answer] = {}
        for number, text in enumerate(texts):
            try:
                rows[number] = self.source_ids(text)
            except VocabularyError as error:
                refused[number] = Answer(text, error=str(error))
        yield Progress(0.0 if rows else 1.0, refused)
        numbers = list(rows)
        for progress in decode_many(self.model, list(rows.values()), strategy, margins=margins):
            new = {numbers[place]: found for place, found in progress.new.items()}
            yield Progress(
                progress.share,
                {number: self._answer(texts[number], found) for number, found in new.items()},
            )

    def _answer(self, source: str, found: Decoded) -> Answer:
        written, vocabulary = found.hypothesis, self.target_vocabulary
        return Answer(
            source,
            vocabulary.decode(written.tokens),
            tuple(vocabulary.tokens[token] for token in written.tokens),
            written.log_prob,
            written.finished,
            found.margin,
            tuple(self.source_vocabulary.unknown(source)),
        )


def proof_strategy(checkpoint: Checkpoint, cached: bool = True) -> Strategy:
    """How to decode the examples: greedily; only ``PROOF_TOKENS`` tokens with a model trained
    elsewhere, which may be large and never write <eos>."""
    return Greedy(max_length=None if checkpoint.summary else PROOF_TOKENS, cached=cached)


@lru_cache(maxsize=16)  # every snapshot of a run asks for the same
def tensor_shapes(config: TransformerConfig) -> Mapping[str, tuple[int, ...]]:
    """Name and shape of every tensor a checkpoint of this config must hold; allocates nothing."""
    with torch.device("meta"):
        return MappingProxyType(
            {
                name: tuple(tensor.shape)
                for name, tensor in _own_tensors(Transformer(config)).items()
            }
        )


def _own_tensors(model: Transformer) -> dict[str, Tensor]:
    """The model's parameters by name; a shared one only under its first name."""
    return dict(model.named_parameters())


def assemble(config: TransformerConfig, tensors: Mapping[str, Tensor]) -> Transformer:
    """A model in evaluation mode whose parameters are these tensors themselves, not copies."""
    with torch.device("meta"):
        model = Transformer(config)
    model.load_state_dict(dict(tensors), strict=False, assign=True)
    # Assigning breaks the ties that the constructor made.
    if config.share_embeddings:
        model.target_embedding.tokens = model.source_embedding.tokens
    if config.tie_embeddings:
        model.output.weight = model.target_embedding.tokens.weight
    if config.position_layout != "learned":
        model.source_embedding.positions = fixed_positions(config)
        model.target_embedding.positions = model.source_embedding.positions
    return model.requires_grad_(False).eval()


def _check_tensors(config: TransformerConfig, entries: Mapping[str, Entry]) -> None:
    expected = tensor_shapes(config)
    for name, shape in expected.items():
        if name not in entries:
            raise CheckpointError(f"The tensor {name!r} is missing.")
        if entries[name].shape != shape:
            raise CheckpointError(
                f"The tensor {name!r} has shape {list(entries[name].shape)}; the configuration "
                f"demands {list(shape)}."
            )
    for name in entries:
        if name not in expected:
            raise CheckpointError(f"The file has a tensor {name[:80]!r} that this model lacks.")


def _digest(header: Header) -> "hashlib._Hash":
    """A file's checksum over its header; the caller adds the weights' bytes."""
    plain = replace(header, sha256="").to_json()
    return hashlib.sha256(plain.encode("utf-8", "surrogatepass"))
