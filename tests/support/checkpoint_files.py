"""Shared by the tests of checkpoints: small models, and files built or changed by hand."""

import hashlib
import json
import struct
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from transformer.checkpoint import Checkpoint
from transformer.checkpoint.header import Summary
from transformer.config import DataConfig, TransformerConfig
from transformer.errors import CheckpointError
from transformer.model import Transformer
from transformer.vocabulary import Vocabulary

MEGABYTE = 1_000_000
DEEP: Any = "bottom"
for _ in range(600):  # not so deep that the JSON reader fails
    DEEP = {"a": DEEP}
SMALL: dict[str, Any] = {
    "d_model": 8,
    "num_heads": 2,
    "num_encoder_layers": 1,
    "num_decoder_layers": 1,
    "d_ff": 8,
    "max_length": 16,
    "norm_first": True,
    "final_norm": True,
}
SUMMARY = Summary(
    preset="tiny",
    steps=3,
    seconds=1.5,
    seed=1,
    loss=2.5,
    token_accuracy=0.25,
    exact_match=0.0,
    examples=3,
    untrained_loss=3.5,
    untrained_exact_match=0.0,
    training={"steps": 3, "schedule": "constant", "learning_rate": 0.002},
)


WORDS = Vocabulary("characters", "abcdef")


def wild_model(seed: int = 0, **changes: Any) -> Transformer:
    """An untrained model whose answers vary with the input."""
    torch.manual_seed(seed)
    sizes = {"source_vocab_size": len(WORDS), "target_vocab_size": len(WORDS)}
    model = Transformer(TransformerConfig(**(sizes | SMALL | changes)))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.5)
    return model.eval()


def make(seed: int = 0, **changes: Any) -> Checkpoint:
    """A checkpoint of a :func:`wild_model`."""
    data = DataConfig(task="reverse", max_letters=8)
    pairs = [(source, source[::-1]) for source in ("abc", "fed", "a", "bbbb")]
    model = wild_model(seed, **changes)
    return Checkpoint.of(model, WORDS, WORDS, data, SUMMARY, pairs, notes="für später")


def assert_same(left: Checkpoint, right: Checkpoint) -> None:
    """Equal headers, equal weights, and equal models."""
    assert left.header == right.header
    assert left.tensors.keys() == right.tensors.keys()
    for name, tensor in left.tensors.items():
        assert torch.equal(tensor, right.tensors[name])
        assert tensor.dtype == right.tensors[name].dtype == torch.float32
    other = right.model.state_dict()
    for name, tensor in left.model.state_dict().items():
        assert torch.equal(tensor, other[name])


@contextmanager
def little_memory(most: int = 50 * MEGABYTE) -> Iterator[None]:
    """The block must not grow the process by more than ``most`` bytes, not even for a moment."""
    peaks = Path("/proc/self/clear_refs")
    if not peaks.exists():
        tracemalloc.start()
        yield
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < most
        return

    def resident(field: str) -> int:
        lines = Path("/proc/self/status").read_text().splitlines()
        return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(field))

    peaks.write_text("5")  # reset the peak of resident memory
    before = resident("VmRSS")
    yield
    assert resident("VmHWM") - before < most


def assert_sentence(error: CheckpointError) -> None:
    message = str(error)
    assert message.endswith(".")
    assert message[0].isupper() or message.startswith(("source_vocab", "target_vocab"))
    assert len(message) < 400
    assert "\n" not in message
    assert message.isprintable()
    assert "Traceback" not in message
    assert " line " not in message


# Files built by hand. Their checksum is correct wherever a wrong one would be refused before the
# check that a test is about.

NORM = "encoder.norm.gain"


@dataclass
class Parts:
    """A checkpoint file taken apart, to be changed and joined again.

    listing: the .safetensors header without its metadata. description: our metadata.
    """

    listing: dict[str, Any]
    description: dict[str, Any]
    weights: bytes

    def sealed(self) -> "Parts":
        """With the correct checksum: of the weights and the description without a checksum."""
        plain = json.dumps(self.description | {"sha256": ""}, sort_keys=True, ensure_ascii=False)
        digest = hashlib.sha256(plain.encode("utf-8", "surrogatepass") + self.weights)
        return replace(self, description=self.description | {"sha256": digest.hexdigest()})

    def header(self) -> str:
        metadata = {"workbench": json.dumps(self.description, sort_keys=True)}
        return json.dumps({"__metadata__": metadata, **self.listing})

    def whole(self) -> bytes:
        return joined(self.header(), self.weights)


def joined(header: str | bytes, weights: bytes) -> bytes:
    raw = header.encode() if isinstance(header, str) else header
    return struct.pack("<Q", len(raw)) + raw + weights


def taken_apart(content: bytes) -> Parts:
    length = struct.unpack("<Q", content[:8])[0]
    listing = json.loads(content[8 : 8 + length])
    description = json.loads(listing.pop("__metadata__")["workbench"])
    return Parts(listing, description, content[8 + length :])


def changed(content: bytes, *path: str | int, to: Any) -> bytes:
    """The file with one value of its description replaced, and a correct checksum."""
    parts = taken_apart(content)
    place: Any = parts.description
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = to
    return parts.sealed().whole()


def relisted(content: bytes, name: str, **changes: Any) -> bytes:
    """The file with another entry for one tensor."""
    parts = taken_apart(content)
    parts.listing[name] = parts.listing[name] | changes
    return parts.sealed().whole()


# Changes of a checkpoint file

Change = Callable[[bytes], bytes]


def value(*path: str | int, to: Any) -> Change:
    return lambda content: changed(content, *path, to=to)


def listed(name: str, **changes: Any) -> Change:
    return lambda content: relisted(content, name, **changes)


def without(*path: str) -> Change:
    """Without one key of the description."""

    def change(content: bytes) -> bytes:
        parts = taken_apart(content)
        place: Any = parts.description
        for step in path[:-1]:
            place = place[step]
        del place[path[-1]]
        return parts.sealed().whole()

    return change


def raw_value(*path: str | int, text: str) -> Change:
    """One value of the description written as a text that no JSON writer would write.

    The checksum cannot be correct then, but the file must be refused before it is checked.
    """

    def change(content: bytes) -> bytes:
        marked = taken_apart(changed(content, *path, to="@"))
        plain = json.dumps(marked.description).replace('"@"', text)
        return joined(
            json.dumps({"__metadata__": {"workbench": plain}, **marked.listing}), marked.weights
        )

    return change


def renamed(old: str, new: str) -> Change:
    def change(content: bytes) -> bytes:
        parts = taken_apart(content)
        parts.listing[new] = parts.listing.pop(old)
        return parts.whole()

    return change


def one_more(name: str) -> Change:
    """With one more tensor, correctly placed at the end."""

    def change(content: bytes) -> bytes:
        parts = taken_apart(content)
        end = len(parts.weights)
        parts.listing[name] = {"dtype": "F32", "shape": [2], "data_offsets": [end, end + 8]}
        parts.weights += bytes(8)
        return parts.sealed().whole()

    return change


def one_less(name: str) -> Change:
    """Without one tensor; all later ones moved forward."""

    def change(content: bytes) -> bytes:
        parts = taken_apart(content)
        start, end = parts.listing.pop(name)["data_offsets"]
        parts.weights = parts.weights[:start] + parts.weights[end:]
        for entry in parts.listing.values():
            entry["data_offsets"] = [n - (end - start) * (n >= end) for n in entry["data_offsets"]]
        return parts.sealed().whole()

    return change


def twice(content: bytes) -> bytes:
    """A tensor's name occurs twice: which of the two is read depends on the reader."""
    parts = taken_apart(content)
    entry = json.dumps(parts.listing["output.weight" if "output.weight" in parts.listing else NORM])
    header = parts.header()
    return joined(header[:-1] + f', "{NORM}": {entry}}}', parts.weights)


def twice_within(content: bytes) -> bytes:
    parts = taken_apart(content).sealed()
    plain = json.dumps(parts.description)
    plain = plain[:-1] + ', "notes": "another"}'
    header = json.dumps({"__metadata__": {"workbench": plain}, **parts.listing})
    return joined(header, parts.weights)


def with_header(rewrite: Callable[[bytes], bytes]) -> Change:
    """The file with its raw header rewritten, and the correct header length."""

    def change(content: bytes) -> bytes:
        parts = taken_apart(content).sealed()
        raw = parts.header().encode()
        assert rewrite(raw) != raw
        return joined(rewrite(raw), parts.weights)

    return change


def one_number(number: float) -> Change:
    def change(content: bytes) -> bytes:
        parts = taken_apart(content)
        start = parts.listing[NORM]["data_offsets"][0]
        weights = bytearray(parts.weights)
        weights[start + 4 : start + 8] = struct.pack("<f", number)
        return replace(parts, weights=bytes(weights)).sealed().whole()

    return change


def more_bytes(content: bytes) -> bytes:
    parts = taken_apart(content)
    return replace(parts, weights=parts.weights + bytes(4)).sealed().whole()


def a_hole(content: bytes) -> bytes:
    """Eight bytes between two tensors that belong to neither."""
    parts = taken_apart(content)
    middle = parts.listing[NORM]["data_offsets"][0]
    parts.weights = parts.weights[:middle] + bytes(8) + parts.weights[middle:]
    for entry in parts.listing.values():
        entry["data_offsets"] = [
            n + 8 * (entry["data_offsets"][0] >= middle) for n in entry["data_offsets"]
        ]
    return parts.sealed().whole()


def an_overlap(content: bytes) -> bytes:
    """Two tensors of the same shape share their bytes; the file has no unused bytes."""
    parts = taken_apart(content)
    first, second = NORM, NORM.replace("gain", "bias")
    assert parts.listing[first]["shape"] == parts.listing[second]["shape"]
    start, end = parts.listing[second]["data_offsets"]
    parts.listing[second]["data_offsets"] = list(parts.listing[first]["data_offsets"])
    parts.weights = parts.weights[:start] + parts.weights[end:]
    for entry in parts.listing.values():
        entry["data_offsets"] = [n - (end - start) * (n >= end) for n in entry["data_offsets"]]
    return parts.sealed().whole()


def summary_of(checkpoint: Checkpoint) -> Summary:
    """The summary of a checkpoint that must have one."""
    assert checkpoint.summary is not None
    return checkpoint.summary


def assert_refused(content: bytes, tmp_path: Path, says: str) -> None:
    """Refused from memory and from disk, with one sentence, and without allocating much memory."""
    (tmp_path / "hostile.safetensors").write_bytes(content)
    for source in (content, tmp_path / "hostile.safetensors"):
        with little_memory(), pytest.raises(CheckpointError, match=says) as caught:
            Checkpoint.load(source)
        assert_sentence(caught.value)
