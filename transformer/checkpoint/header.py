"""The header of a checkpoint, read and checked without loading any weights.

A checkpoint is one ``.safetensors`` file. Its metadata has one key, ``workbench``, holding
sorted JSON (several keys would make the file's bytes random). Everything in the header is
checked before it is used; this needs no torch.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from transformer.checkpoint.layout import Entry, check_layout, parse_entry
from transformer.config import DataConfig, TransformerConfig
from transformer.config.faults import reveal
from transformer.errors import CheckpointError, ConfigError, VocabularyError, reading
from transformer.vocabulary import Vocabulary

FORMAT = 1
METADATA_KEY = "workbench"
MAX_HEADER_BYTES = 12_000_000
"""Largest header; two vocabularies of 60,000 pieces with scores take a third to a half of it."""
MAX_JSON_PARTS = 300_000
"""Most objects, lists or names in a header: parsed, each takes thirty times its bytes."""
MAX_JSON_ITEMS = 700_000
"""Most commas in a header: parsed, a value between two may take twenty times its bytes."""
MAX_FILE_BYTES = 2_200_000_000
PRECISIONS = {"float32": "F32", "float16": "F16"}
MAX_EXAMPLES = 100
MAX_CURVE = 100
"""Most points of a training curve: more cannot be told apart on a chart."""
MAX_TEXT = 50_000
"""Most characters of notes or of an example's text: more would slow down the browser."""


@dataclass(frozen=True)
class Summary:
    """How the model was trained, and how good it was when it was saved.

    seconds: wall time of training, evaluations included. Losses in nats per token; exact_match
    and token_accuracy as shares of 1, over ``examples`` held-out pairs.

    curve: [step, loss, exact_match] of evaluations along the way, at most MAX_CURVE of them, the
        untrained model first; empty if they were not recorded.
    """

    preset: str
    steps: int
    seconds: float
    seed: int
    loss: float
    token_accuracy: float
    exact_match: float
    examples: int
    untrained_loss: float
    untrained_exact_match: float
    evaluated_on_training_pairs: bool = False
    training: dict[str, Any] = field(default_factory=dict)
    curve: list[list[float]] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """As in the file: an empty curve is left out, so that older files keep their checksum."""
        plain = asdict(self)
        if not self.curve:
            del plain["curve"]
        return plain


@dataclass(frozen=True)
class Example:
    """A held-out pair, and what the model wrote for it when it was saved.

    target: empty if it is unknown, as for a model that was trained elsewhere.
    """

    source: str
    target: str
    output: str


@dataclass(frozen=True)
class Probe:
    """Logits computed when the model was saved, to prove later that it behaves the same.

    logits: base64 of little-endian 32-bit floats, [len(target), target vocabulary].
    environment: torch version, CPU capability, machine and threads they were computed with.
    """

    source: list[int]
    target: list[int]
    logits: str
    environment: dict[str, str]


@dataclass(frozen=True)
class Header:
    """Everything in a checkpoint except the weights.

    summary: None for a model that was trained elsewhere.
    origin: where such a model comes from, in a sentence; licence: of a redistributed model.
    precision: the weights' type on disk, "float32" or "float16".
    compared: False for a model from elsewhere whose logits were not compared with the original's.
    """

    config: TransformerConfig
    source_vocabulary: Vocabulary
    target_vocabulary: Vocabulary
    data: DataConfig
    summary: Summary | None
    examples: list[Example]
    probe: Probe | None
    notes: str = ""
    sha256: str = ""
    origin: str = ""
    licence: str = ""
    precision: str = "float32"
    compared: bool = True

    @property
    def fault(self) -> str:
        """The planted fault, by its name or hidden by :func:`config.faults.hide`; "" if none."""
        return str(self.summary.training.get("fault", "")) if self.summary else ""

    def to_json(self) -> str:
        plain = {
            "format": FORMAT,
            "config": self.config.to_dict(),
            "source_vocabulary": self.source_vocabulary.to_dict(),
            "target_vocabulary": self.target_vocabulary.to_dict(),
            "data": self.data.to_dict(),
            "summary": None if self.summary is None else self.summary.to_dict(),
            "examples": [asdict(example) for example in self.examples],
            "probe": None if self.probe is None else asdict(self.probe),
            "notes": self.notes,
            "sha256": self.sha256,
        }
        # Left out at their defaults, so that files saved before these fields keep their checksum.
        for name in ("origin", "licence"):
            if getattr(self, name):
                plain[name] = getattr(self, name)
        if self.precision != "float32":
            plain["precision"] = self.precision
        if not self.compared:
            plain["compared"] = False
        return json.dumps(plain, sort_keys=True, ensure_ascii=False, allow_nan=False)


def read_header(source: Path | bytes) -> tuple[Header, dict[str, Entry], int]:
    """Read and check everything except the weights.

    Returns:
        the header, the tensors it lists by name, and the offset of the first weight's byte.

    Raises:
        CheckpointError: the file is not one of ours, or damaged; the message says how.
    """
    raw, size = header_bytes(source)
    header, listing = parse_header(raw)
    entries = {name: parse_entry(name, value) for name, value in listing.items()}
    for name, entry in entries.items():
        if entry.dtype != PRECISIONS[header.precision]:
            raise CheckpointError(
                f"The tensor {name[:80]!r} has type {entry.dtype!r}; expected "
                f"{PRECISIONS[header.precision]!r}."
            )
    check_layout(entries, size - 8 - len(raw))
    return header, entries, 8 + len(raw)


def parse_header(raw: bytes) -> tuple[Header, dict[str, Any]]:
    """Parse the JSON at the start of a file: the header, and the list of tensors, not yet checked.

    Raises:
        CheckpointError: the file was not saved by this app, or is malformed.
    """
    listing = parse_json(raw, "The file's header")
    metadata = listing.pop("__metadata__", None)
    if not isinstance(metadata, Mapping) or not isinstance(metadata.get(METADATA_KEY), str):
        raise CheckpointError(
            "This .safetensors file was not saved by Transformer Workbench: it says nothing of "
            "its configuration and vocabularies."
        )
    if not all(isinstance(text, str) for text in metadata.values()):
        raise CheckpointError("The file's metadata must be texts, and nothing else.")
    return _parse_header(parse_json(metadata[METADATA_KEY], "The file's description")), listing


def header_bytes(source: Path | bytes) -> tuple[bytes, int]:
    """The JSON at the start of a .safetensors file, and the size of the whole file.

    Raises:
        CheckpointError: the file cannot be read, or has an impossible size.
    """
    if isinstance(source, bytes):
        size, start = len(source), source[:8]
    else:
        with reading(source):
            size = source.stat().st_size
            with source.open("rb") as file:
                start = file.read(8)
    if size > MAX_FILE_BYTES:
        raise CheckpointError(f"The file has {size:,} bytes; at most {MAX_FILE_BYTES:,} can be.")
    length = int.from_bytes(start, "little")
    if size < 8 or length < 2:
        raise CheckpointError("This is not a .safetensors file; it is too short or has no header.")
    if length > MAX_HEADER_BYTES:
        if start[:4] == b"PK\x03\x04" or start[:1] == b"\x80":  # a zip archive, or a pickle
            raise CheckpointError(
                "This may be a PyTorch file. Import it: python -m transformer import FILE OUT."
            )
        raise CheckpointError(
            "This is not a checkpoint of Transformer Workbench: its header would have "
            f"{length:,} bytes, and at most {MAX_HEADER_BYTES:,} are allowed."
        )
    if 8 + length > size:
        raise CheckpointError(
            f"The file is cut off: its header needs {length:,} bytes, it has {size - 8:,}."
        )
    if isinstance(source, bytes):
        return source[8 : 8 + length], size
    with source.open("rb") as file:
        file.seek(8)
        return file.read(length), size


def parse_json(text: str | bytes, what: str) -> dict[str, Any]:
    """Parse one JSON object, more strictly than the standard library.

    Args:
        what: the name of the text, for the message.

    Raises:
        CheckpointError: it is no JSON object, is too large, repeats a key, or has a value that
            cannot be written as JSON again.
    """
    marks = "{[:" if isinstance(text, str) else b"{[:"
    if any(text.count(marks[i : i + 1]) > MAX_JSON_PARTS for i in range(3)):  # type: ignore[arg-type]
        raise CheckpointError(f"{what} has too many parts; the file is damaged or forged.")
    comma = "," if isinstance(text, str) else b","
    if text.count(comma) > MAX_JSON_ITEMS:  # type: ignore[arg-type]
        raise CheckpointError(f"{what} lists too many things; the file is damaged or forged.")

    def no_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            raise ValueError("a name stands twice")
        return found

    def no_constants(name: str) -> None:
        raise ValueError(f"{name} is not a number")

    try:
        # From bytes, json.loads would also accept UTF-16 and UTF-32, which the format forbids.
        text = text if isinstance(text, str) else text.decode()
        parsed = json.loads(text, object_pairs_hook=no_repeats, parse_constant=no_constants)
        # Refuse what cannot be written again: 1e999, which is infinity, and lone surrogates.
        json.dumps(parsed, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError):
        raise CheckpointError(f"{what} is not valid JSON; the file is damaged or forged.") from None
    if not isinstance(parsed, dict):
        raise CheckpointError(f"{what} must be a JSON object.")
    return parsed


def _parse_header(plain: dict[str, Any]) -> Header:
    if plain.get("format") != FORMAT:
        raise CheckpointError(
            f"The checkpoint's format is {str(plain.get('format'))[:20]!r}; this version reads "
            f"{FORMAT}."
        )
    try:
        config = TransformerConfig.from_dict(plain.get("config"))
        sides = plain.get("source_vocabulary"), plain.get("target_vocabulary")
        source = Vocabulary.from_dict(sides[0])
        # Equal vocabularies are one object: a large one takes as much memory as the weights.
        vocabularies = source, source if sides[0] == sides[1] else Vocabulary.from_dict(sides[1])
        data = DataConfig.from_dict(plain.get("data"))
    except (ConfigError, VocabularyError) as error:
        raise CheckpointError(f"The checkpoint's description is wrong. {error}") from None
    sizes = (config.source_vocab_size, config.target_vocab_size)
    for side, vocabulary, size in zip(("source", "target"), vocabularies, sizes, strict=True):
        if len(vocabulary) != size:
            raise CheckpointError(
                f"{side}_vocab_size is {size}, but the {side} vocabulary has {len(vocabulary)} "
                "tokens."
            )
    ids = (config.pad_id, config.bos_id, config.eos_id, config.unk_id, config.decoder_start_id)
    for vocabulary in vocabularies:
        expected = (*vocabulary.special, vocabulary.special.bos)
        if ids != expected:
            raise CheckpointError(f"The ids of the special tokens are {ids}, expected {expected}.")
    try:
        summary = None if plain["summary"] is None else _typed(Summary, plain["summary"])
        if not isinstance(plain["examples"], list):
            raise TypeError("examples must be a list")
        examples = [_typed(Example, example) for example in plain["examples"]]
        probe = None if plain["probe"] is None else _typed(Probe, plain["probe"])
        notes, sha256 = plain["notes"], plain["sha256"]
        origin, licence = plain.get("origin", ""), plain.get("licence", "")
        precision = plain.get("precision", "float32")
        compared = plain.get("compared", True)
    except (KeyError, TypeError) as error:
        raise CheckpointError(f"The checkpoint's description is incomplete: {error}.") from None
    texts = [notes, sha256, origin, licence, precision, data.task]
    texts_sound = all(isinstance(text, str) for text in texts) and type(compared) is bool
    if not texts_sound or len(examples) > MAX_EXAMPLES:
        raise CheckpointError("The checkpoint's notes, checksum or examples are malformed.")
    if precision not in PRECISIONS:
        raise CheckpointError(
            f"The checkpoint's precision is {precision[:20]!r}; this version reads "
            f"{' and '.join(PRECISIONS)}."
        )
    if summary is not None:
        texts.append(summary.preset)
        _check_curve(summary.curve)
        try:
            reveal(str(summary.training.get("fault", "")))
        except ConfigError as error:
            raise CheckpointError(f"The checkpoint's description is wrong. {error}") from None
    for example in examples:
        texts += [example.source, example.target, example.output]
    if max(map(len, texts)) > MAX_TEXT:
        raise CheckpointError(f"A text in the checkpoint has more than {MAX_TEXT:,} characters.")
    if probe is not None:
        _check_probe(probe, config)
    said = (notes, sha256, origin, licence, precision, compared)
    return Header(config, *vocabularies, data, summary, examples, probe, *said)


def _typed(kind: type[Any], plain: Any) -> Any:
    """Build a dataclass from a JSON object; each value must have its field's type."""
    if not isinstance(plain, dict):
        raise TypeError(f"{kind.__name__} must be an object")
    for name in plain:
        if name not in kind.__annotations__:
            raise TypeError(f"{kind.__name__} has no field {name[:40]!r}")
    made = kind(**plain)
    for name, wanted in kind.__annotations__.items():
        value = getattr(made, name)
        base: Any = getattr(wanted, "__origin__", wanted)
        accepted: Any = (int, float) if base is float else base
        if not isinstance(value, accepted) or (isinstance(value, bool) and base is not bool):
            raise TypeError(f"{kind.__name__}.{name} must be of type {base.__name__}")
        if isinstance(value, int | float) and not abs(value) < 1e15:
            raise TypeError(f"{kind.__name__}.{name} is out of range")
        if isinstance(value, dict) and any(isinstance(x, dict | list) for x in value.values()):
            raise TypeError(f"{kind.__name__}.{name} must hold plain values")
    return made


def _check_curve(curve: list[Any]) -> None:
    def sound(point: object) -> bool:
        return (
            isinstance(point, list)
            and len(point) == 3
            and all(type(number) in (int, float) and 0 <= number < 1e15 for number in point)
            and type(point[0]) is int
            and point[2] <= 1
        )

    steps = [point[0] for point in curve if sound(point)]
    if len(steps) != len(curve) or len(curve) > MAX_CURVE or steps != sorted(set(steps)):
        raise CheckpointError(
            f"The checkpoint's curve is malformed: it must be at most {MAX_CURVE} points of a "
            "rising step, a loss and a share of right answers."
        )


def _check_probe(probe: Probe, config: TransformerConfig) -> None:
    sides = (
        (probe.source, config.source_vocab_size),
        (probe.target, config.target_vocab_size),
    )
    for ids, size in sides:
        if not 0 < len(ids) <= config.max_length or not all(
            type(number) is int and 0 <= number < size for number in ids
        ):
            raise CheckpointError("The checkpoint's probe has ids outside its vocabulary.")
