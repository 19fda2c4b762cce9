"""A trained model in one file: save, load, and check that it behaves as when it was saved."""

import base64
import copy
import hashlib
import platform
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Self

import safetensors.torch
import torch
from torch import Tensor

from transformer.checkpoint_header import (
    METADATA_KEY,
    Entry,
    Example,
    Header,
    Probe,
    Summary,
    read_header,
)
from transformer.config import DataConfig, TransformerConfig
from transformer.decoding import Hypothesis, Strategy, decode, greedy, pad
from transformer.errors import CheckpointError, VocabularyError
from transformer.files import write_atomic
from transformer.hooks import own_modules
from transformer.model import Transformer, sinusoids
from transformer.vocabulary import Vocabulary

PROBE_NUMBERS = 16_384
"""Most logits a probe keeps: enough to prove equality, few enough for the header."""
TOLERANCE = 1e-4
"""Largest difference of a logit on another machine or version of torch."""
DECODE_BATCH = 256
PROOF_TOKENS = 20
"""Most tokens of an example's answer, of a model that was trained elsewhere."""


@dataclass(frozen=True)
class Answer:
    """What a model wrote for one source text."""

    source: str
    output: str
    tokens: list[str]
    log_prob: float


@dataclass(frozen=True)
class Check:
    """One thing that was checked: whether it holds, and the evidence, in words and in numbers."""

    name: str
    ok: bool
    detail: str
    evidence: dict[str, Any] = field(default_factory=dict)

    def verdict(self) -> dict[str, Any]:
        """Without the numbers: name, ok and detail."""
        return {"name": self.name, "ok": self.ok, "detail": self.detail}


class Checkpoint:
    """A model with its vocabularies and its history.

    The model is in evaluation mode. ``tensors`` are the model's own parameters by name;
    treat them as read-only where a :meth:`twin` shares them.
    """

    def __init__(self, header: Header, tensors: dict[str, Tensor]) -> None:
        self.header = header
        self.tensors = tensors
        self.model = assemble(header.config, tensors)

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
        """Load a file, from its path or its bytes, and believe nothing in it unchecked.

        The file is read, never mapped: a mapped file that is cut while in use kills the
        process. Order of the checks: size, header, config and vocabularies, names and shapes
        of the tensors, and only then the weights: finite, and last the checksum.

        Raises:
            CheckpointError: one sentence that says what is wrong.
        """
        if isinstance(source, str):
            source = Path(source)
        header, entries, offset = read_header(source)
        _check_tensors(header.config, entries)
        content = source if isinstance(source, bytes) else read(source)
        try:
            tensors = safetensors.torch.load(content)
        except Exception:  # whatever the library minds, the file is not sound
            raise CheckpointError("The file's weights cannot be read.") from None
        for name, tensor in tensors.items():
            if not torch.isfinite(tensor).all():
                raise CheckpointError(f"The tensor {name!r} holds NaN or infinity.")
        if header.sha256 != _checksum(header, memoryview(content)[offset:]):
            raise CheckpointError(
                "The checksum does not match: the file was changed after it was saved."
            )
        return cls(header, {name: tensor.float() for name, tensor in tensors.items()})

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
    ) -> Self:
        """A checkpoint of a model as it is now; its weights are copied.

        Args:
            summary: how the model was trained here; None if it was trained elsewhere.
            pairs: a few sources with their targets. What the model writes for them, and its
                logits for the first, are kept as the proof of how it behaves. Of a model
                trained elsewhere that has none, the logits for some ids are.
            precision: how the weights are to lie on disk. With "float16" they are rounded now,
                so that the proof is made with the weights that will be loaded.
        """
        tensors = {
            name: tensor.detach().to("cpu", torch.float32, copy=True)
            for name, tensor in _own_tensors(model).items()
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
        )
        return cls(header, tensors).proven(pairs)

    def proven(self, pairs: Sequence[tuple[str, str]]) -> Self:
        """This checkpoint, with the proof of how it behaves that :meth:`of` describes."""
        if not pairs and self.summary is None:
            probe = _make_probe(self, *_any_ids(self.config))
            self.header = replace(self.header, probe=probe)
        if pairs:
            with _one_thread():
                answers = self.answers([source for source, _ in pairs], proof_strategy(self))
            examples = [
                Example(source, target, answer.output)
                for (source, target), answer in zip(pairs, answers, strict=True)
            ]
            self.header = replace(self.header, examples=examples)
            source = self.source_ids(examples[0].source)
            target = self.target_vocabulary.encode(examples[0].target)
            probe = _make_probe(self, source, target)
            self.header = replace(self.header, probe=probe)
        return self

    def to_bytes(self) -> bytes:
        """The file's content. The same checkpoint gives the same bytes."""

        def serialise(header: Header) -> bytes:
            return safetensors.torch.save(stored, {METADATA_KEY: header.to_json()})

        dtype = torch.float16 if self.header.precision == "float16" else torch.float32
        stored = {name: tensor.to(dtype) for name, tensor in self.tensors.items()}

        # Written once, with room for the checksum: a large model is copied no more than it must.
        blank = "0" * 64
        draft = bytearray(serialise(replace(self.header, sha256=blank)))
        start = 8 + int.from_bytes(draft[:8], "little")
        checksum = _checksum(self.header, memoryview(draft)[start:])
        self.header = replace(self.header, sha256=checksum)
        # As JSON within JSON has it; no text of the header can hold quotes so written.
        name = b'\\"sha256\\": \\"'
        place = draft.index(name + blank.encode(), 8, start) + len(name)
        draft[place : place + 64] = checksum.encode()
        return bytes(draft)

    def save(self, path: Path | str) -> None:
        """Write the file; a reader sees the old one or the new one, never half."""
        write_atomic(Path(path), self.to_bytes())

    def twin(self) -> Self:
        """The same weights behind module objects of its own, for another thread's hooks."""
        twin = copy.copy(self)
        twin.model = own_modules(self.model)
        return twin

    def encode(self, text: str) -> Tensor:
        """A source text as a batch of one, [1, source]; of :meth:`source_ids`."""
        return torch.tensor([self.source_ids(text)])

    def source_ids(self, text: str) -> list[int]:
        """A source text as ids, with <eos> or what else the model reads around it.

        Raises:
            VocabularyError: a token is unknown, there is none, or there are too many.
        """
        ids = self.source_vocabulary.encode(text)
        if not ids:
            raise VocabularyError("There is nothing to read. Type at least one token.")
        framed = self.config.framed(ids)
        if len(framed) > self.config.max_length:
            raise VocabularyError(
                f"The input has {len(ids):,} tokens; this model reads at most "
                f"{self.config.max_length - (len(framed) - len(ids))}. Shorten it."
            )
        return framed

    def answers(self, texts: Sequence[str], strategy: Strategy = greedy) -> list[Answer]:
        """Decode several texts in batches, in their order.

        Raises:
            VocabularyError: a text cannot be encoded.
        """
        rows = [self.source_ids(text) for text in texts]
        found: dict[int, Hypothesis] = {}
        order = sorted(range(len(rows)), key=lambda i: len(rows[i]))
        for start in range(0, len(order), DECODE_BATCH):
            group = order[start : start + DECODE_BATCH]
            batch = pad([rows[i] for i in group], self.config.pad_id)
            found.update(zip(group, decode(self.model, batch, strategy), strict=True))
        return [self._answer(text, found[i]) for i, text in enumerate(texts)]

    def _answer(self, source: str, hypothesis: Hypothesis) -> Answer:
        tokens = [self.target_vocabulary.tokens[number] for number in hypothesis.tokens]
        output = self.target_vocabulary.decode(hypothesis.tokens)
        return Answer(source, output, tokens, hypothesis.log_prob)


def verify(source: Path | bytes) -> list[Check]:
    """Load a file afresh and check that the model behaves as it did when it was saved.

    Raises:
        CheckpointError: the file cannot be loaded at all.
    """
    checkpoint = Checkpoint.load(source)
    header = checkpoint.header
    size = len(source) if isinstance(source, bytes) else source.stat().st_size
    checks = [
        Check(
            "file",
            True,
            f"{size:,} bytes, {header.config.num_parameters:,} parameters, all finite, "
            f"checksum {header.sha256[:12]}… matches",
            {"bytes": size, "parameters": header.config.num_parameters, "sha256": header.sha256},
        )
    ]
    if header.probe is not None:
        checks.append(_check_probe(checkpoint, header.probe))
    if header.examples:
        checks.extend(_check_outputs(checkpoint))
    return checks


def _check_probe(checkpoint: Checkpoint, probe: Probe) -> Check:
    saved = _probe_logits(probe, checkpoint.config)
    with _one_thread():
        now = _logits(checkpoint.model, probe.source, probe.target)
        here = environment()
    difference = (saved - now).abs().max().item()
    same = ", ".join(f"{key} {value}" for key, value in here.items())
    evidence = {
        "logits": saved.numel(),
        "largest_difference": difference,
        "equal_bit_for_bit": torch.equal(saved, now),
        "saved_in": probe.environment,
        "compared_in": here,
    }
    if here == probe.environment:
        ok = torch.equal(saved, now)
        word = "equal bit for bit" if ok else f"differ by up to {difference:.1e}"
        return Check(
            "logits",
            ok,
            f"{saved.numel():,} logits {word} in the same environment ({same})",
            evidence | {"allowed_difference": 0.0},
        )
    saved_in = ", ".join(f"{key} {value}" for key, value in probe.environment.items())
    return Check(
        "logits",
        difference <= TOLERANCE,
        f"{saved.numel():,} logits differ by at most {difference:.1e} (allowed {TOLERANCE:.0e}); "
        f"saved with {saved_in}, here {same}",
        evidence | {"allowed_difference": TOLERANCE},
    )


def proof_strategy(checkpoint: Checkpoint, cached: bool = True) -> Strategy:
    """How examples are answered: greedily, and not beyond a few tokens by a model from elsewhere,
    which may be large and find no end."""
    longest = None if checkpoint.summary else PROOF_TOKENS
    return partial(greedy, max_length=longest, cached=cached)


def _check_outputs(checkpoint: Checkpoint) -> list[Check]:
    examples = checkpoint.header.examples
    texts = [example.source for example in examples]
    fast = proof_strategy(checkpoint)
    try:
        answers = checkpoint.answers(texts, fast)
    except VocabularyError:
        raise CheckpointError("The model cannot read the checkpoint's own examples.") from None
    same = [a.output == e.output for a, e in zip(answers, examples, strict=True)]
    slow = checkpoint.answers(texts, proof_strategy(checkpoint, cached=False))
    agree = [a.tokens == b.tokens for a, b in zip(answers, slow, strict=True)]
    count = len(examples)
    return [
        Check(
            "outputs",
            all(same),
            f"{sum(same)} of {count} examples written token by token as when it was saved",
            {
                "examples": [
                    {"source": e.source, "target": e.target, "then": e.output, "now": a.output}
                    for e, a in zip(examples, answers, strict=True)
                ]
            },
        ),
        Check(
            "cache",
            all(agree),
            f"{sum(agree)} of {count} examples the same with and without the key-value cache",
        ),
    ]


def environment() -> dict[str, str]:
    """What the bits of a result may depend on."""
    return {
        "torch": torch.__version__,
        "cpu": f"{_processor()} with {torch.backends.cpu.get_cpu_capability()}",
        "threads": str(torch.get_num_threads()),
    }


def _processor() -> str:
    """Which processor this is: another model may round differently, by other instructions."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").split("\n\n")[0].splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    facts = dict(line.replace("\t", "").split(":", 1) for line in lines if ":" in line)
    named = (
        facts.get(key, "").strip() for key in ("model name", "cpu family", "model", "stepping")
    )
    return " ".join(filter(None, named)) or platform.machine()


def tensor_shapes(config: TransformerConfig) -> dict[str, tuple[int, ...]]:
    """Name and shape of every tensor a checkpoint of this config must hold; allocates nothing."""
    with torch.device("meta"):
        return {
            name: tuple(tensor.shape) for name, tensor in _own_tensors(Transformer(config)).items()
        }


def _own_tensors(model: Transformer) -> dict[str, Tensor]:
    """The model's parameters by name; one that stands under two names only under its first."""
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
        model.source_embedding.positions = sinusoids(config)
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


def read(path: Path) -> bytes:
    """A file's content; raises CheckpointError, in a sentence, where it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise CheckpointError(
            f"The file {path.name} could not be read: {error.strerror}."
        ) from None


def _checksum(header: Header, weights: memoryview) -> str:
    digest = hashlib.sha256(replace(header, sha256="").to_json().encode("utf-8", "surrogatepass"))
    digest.update(weights)
    return digest.hexdigest()


@torch.inference_mode()
def _logits(model: Transformer, source: Sequence[int], target: Sequence[int]) -> Tensor:
    return model(torch.tensor([source]), torch.tensor([target]))[0]


def _make_probe(checkpoint: Checkpoint, source: list[int], target: Sequence[int]) -> Probe:
    """The logits for one source as the encoder reads it, and the start of one target."""
    config = checkpoint.config
    read = [config.decoder_start_id, *target]
    read = read[: min(config.max_length, max(1, PROBE_NUMBERS // config.target_vocab_size))]
    with _one_thread():
        numbers = _logits(checkpoint.model, source, read).numpy().astype("<f4").tobytes()
        return Probe(source, read, base64.b64encode(numbers).decode(), environment())


def _any_ids(config: TransformerConfig) -> tuple[list[int], list[int]]:
    """Some ids of each side, for a model that comes without examples: they prove as well that it
    still behaves as it did."""
    special = {config.pad_id, config.bos_id, config.eos_id, config.unk_id}
    source, target = (
        [number for number in range(min(size, 16)) if number not in special][:8]
        for size in (config.source_vocab_size, config.target_vocab_size)
    )
    return config.framed(source[: config.max_length - 2]) or [config.eos_id], target


@contextmanager
def _one_thread() -> Iterator[None]:
    """Probes are made and compared on one thread: the number of threads can change the bits."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _probe_logits(probe: Probe, config: TransformerConfig) -> Tensor:
    try:
        content = base64.b64decode(probe.logits, validate=True)
        numbers = torch.frombuffer(bytearray(content), dtype=torch.float32)
        return numbers.view(len(probe.target), config.target_vocab_size)
    except (ValueError, RuntimeError):
        raise CheckpointError("The checkpoint's probe does not fit its configuration.") from None
