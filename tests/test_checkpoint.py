"""Checkpoints: the same model comes back bit for bit, and nothing in a file is believed unchecked.

The hostile files are built here by hand, with a checksum that is right wherever it would
otherwise hide the check that is meant.
"""

import base64
import hashlib
import json
import math
import os
import random
import resource
import signal
import struct
import subprocess
import sys
import threading
import time
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from transformer.checkpoint import Checkpoint, tensor_shapes, verify
from transformer.checkpoint_header import Summary, read_header
from transformer.config import DataConfig, TransformerConfig
from transformer.decoding import beam_search
from transformer.errors import CheckpointError
from transformer.files import write_atomic
from transformer.hooks import ablate, record
from transformer.model import Transformer
from transformer.vocabulary import Vocabulary

MEGABYTE = 1_000_000
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
    """A checkpoint of such a model."""
    data = DataConfig(task="reverse", max_letters=8)
    pairs = [(source, source[::-1]) for source in ("abc", "fed", "a", "bbbb")]
    model = wild_model(seed, **changes)
    return Checkpoint.of(model, WORDS, WORDS, data, SUMMARY, pairs, notes="für später")


@pytest.fixture(scope="module")
def saved() -> Checkpoint:
    return make()


@pytest.fixture(scope="module")
def content(saved: Checkpoint) -> bytes:
    return saved.to_bytes()


def assert_same(left: Checkpoint, right: Checkpoint) -> None:
    """The same file, the same weights, and nothing in the model that is not from them."""
    assert left.header == right.header
    assert left.tensors.keys() == right.tensors.keys()
    for name, tensor in left.tensors.items():
        assert torch.equal(tensor, right.tensors[name])
        assert tensor.dtype == right.tensors[name].dtype == torch.float32
    other = right.model.state_dict()
    for name, tensor in left.model.state_dict().items():
        assert torch.equal(tensor, other[name])


# Saving and loading

KINDS: dict[str, dict[str, Any]] = {
    "paper": {"norm_first": False, "final_norm": False},
    "untied": {"tie_embeddings": False, "output_bias": True},
    "shared": {"share_embeddings": True},
    "shared-untied": {"share_embeddings": True, "tie_embeddings": False},
    "other": {"activation": "gelu", "position_layout": "halves", "scale_embeddings": False},
    "deep": {"num_encoder_layers": 3, "num_decoder_layers": 2, "dropout": 0.3},
}


@pytest.mark.parametrize("changes", KINDS.values(), ids=KINDS)
def test_what_is_loaded_is_what_was_saved(changes: dict[str, Any], tmp_path: Path) -> None:
    before = make(**changes)
    before.save(tmp_path / "model.safetensors")
    texts = ["abc", "f", "cabcab", "dd"]
    for source in (tmp_path / "model.safetensors", before.to_bytes()):
        after = Checkpoint.load(source)
        assert_same(before, after)
        assert not after.model.training
        assert after.answers(texts) == before.answers(texts)  # log-probabilities to the bit
        beam = partial(beam_search, beam_size=3)
        assert after.answers(texts, beam) == before.answers(texts, beam)
        # Against the model it was made of: both checkpoints could share a mistake.
        source_ids, target_ids = after.encode("fedcba"), torch.tensor([[1, 4, 5, 6]])
        with torch.inference_mode():
            logits = wild_model(**changes)(source_ids, target_ids)
            assert torch.equal(after.model(source_ids, target_ids), logits)
    assert after.header.notes == "für später"
    assert all(check.ok for check in verify(tmp_path / "model.safetensors"))


@settings(max_examples=10)
@given(
    st.integers(0, 10**6),
    st.booleans(),
    st.booleans(),
    st.booleans(),
    st.booleans(),
    st.integers(1, 2),
    st.integers(1, 2),
)
def test_tensor_shapes_are_the_models(
    seed: int, tie: bool, share: bool, bias: bool, final: bool, encoder: int, decoder: int
) -> None:
    checkpoint = make(
        seed,
        tie_embeddings=tie,
        share_embeddings=share,
        output_bias=bias,
        final_norm=final,
        num_encoder_layers=encoder,
        num_decoder_layers=decoder,
    )
    shapes = tensor_shapes(checkpoint.config)
    assert shapes == {name: tuple(t.shape) for name, t in checkpoint.tensors.items()}
    assert sum(map(math.prod, shapes.values())) == checkpoint.config.num_parameters
    assert_same(checkpoint, Checkpoint.load(checkpoint.to_bytes()))


def test_tensor_shapes_allocates_nothing() -> None:
    base = TransformerConfig(
        source_vocab_size=37_000, target_vocab_size=37_000, d_model=1024, d_ff=4096
    )
    assert base.num_parameters * 4 > 500 * MEGABYTE
    with little_memory():
        assert sum(map(math.prod, tensor_shapes(base).values())) == base.num_parameters


@pytest.mark.parametrize("tie", [True, False])
@pytest.mark.parametrize("share", [True, False])
def test_ties_survive(tie: bool, share: bool) -> None:
    """One tensor, not two that are equal: else the next training would part them."""
    before = make(tie_embeddings=tie, share_embeddings=share)
    loaded = Checkpoint.load(before.to_bytes())
    for model in (loaded.model, loaded.twin().model):
        target = model.target_embedding.tokens.weight
        assert (model.output.weight is target) == tie
        assert (model.source_embedding.tokens.weight is target) == share
        named = dict(model.named_parameters())
        assert named.keys() == loaded.tensors.keys()
    embeddings = [name for name in loaded.tensors if "tokens" in name or name == "output.weight"]
    assert len(embeddings) == 3 - tie - share


def test_the_same_checkpoint_gives_the_same_bytes(saved: Checkpoint, content: bytes) -> None:
    assert saved.to_bytes() == content
    assert make().to_bytes() == content
    assert saved.twin().to_bytes() == content
    assert Checkpoint.load(content).to_bytes() == content
    assert make(1).to_bytes() != content


def test_a_checkpoint_keeps_its_own_copy_of_the_weights(saved: Checkpoint) -> None:
    model = Transformer(saved.config)
    header = saved.header
    copy = Checkpoint.of(
        model, header.source_vocabulary, header.target_vocabulary, header.data, SUMMARY, []
    )
    before = copy.to_bytes()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1.0)
    assert copy.to_bytes() == before


# Writing


def test_a_failing_write_leaves_the_old_file(saved: Checkpoint, tmp_path: Path) -> None:
    """The file system itself refuses, as with a full disk: no file may pass 1,000 bytes."""
    path = tmp_path / "model.safetensors"
    saved.save(path)
    before = path.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(OSError, match="File too large"):
            make(1).save(path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == [path.name]


def test_a_write_that_cannot_take_its_place_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").mkdir()
    with pytest.raises(OSError, match="directory"):
        write_atomic(tmp_path / "model.safetensors", b"content")
    assert os.listdir(tmp_path) == ["model.safetensors"]


def test_others_may_read_what_is_written(saved: Checkpoint, tmp_path: Path) -> None:
    """A temporary file is its owner's alone; the file in its place must not stay so."""
    saved.save(tmp_path / "model.safetensors")
    assert (tmp_path / "model.safetensors").stat().st_mode & 0o777 == 0o644


def test_a_reader_never_sees_half_a_file(tmp_path: Path) -> None:
    """A process writes without pause and is killed; whoever reads meanwhile sees whole files."""
    path = tmp_path / "file"
    code = (
        "import sys; from itertools import count; from pathlib import Path;"
        "from transformer.files import write_atomic\n"
        "for i in count(): write_atomic(Path(sys.argv[1]), bytes([i % 256]) * 300_000)"
    )
    root = Path(__file__).parent.parent
    for _ in range(3):
        writer = subprocess.Popen([sys.executable, "-c", code, str(path)], cwd=root)
        try:
            deadline = time.monotonic() + 30
            while not path.exists() and time.monotonic() < deadline:
                time.sleep(0.01)
            for _ in range(60):
                found = path.read_bytes()
                assert found == found[:1] * 300_000
        finally:
            writer.send_signal(signal.SIGKILL)
            writer.wait()
        found = path.read_bytes()
        assert found == found[:1] * 300_000


# Twins


def test_twins_share_weights_and_nothing_else(saved: Checkpoint) -> None:
    left, right = saved.twin(), saved.twin()
    for name, tensor in left.model.named_parameters():
        assert tensor.data_ptr() == saved.tensors[name].data_ptr()
        assert tensor.data_ptr() == right.model.get_parameter(name).data_ptr()
    source, target = saved.encode("abc"), torch.tensor([[1, 4]])
    with torch.inference_mode():
        before = right.model(source, target)
        with (
            record(left.model) as trace,
            ablate(left.model, "encoder.layers.0.self_attention.weights"),
        ):
            changed = left.model(source, target)
            seen = {name: value.clone() for name, value in trace.items()}
            assert torch.equal(right.model(source, target), before)
            assert all(torch.equal(trace[name], value) for name, value in seen.items())
    assert not torch.equal(changed, before)


def test_eight_threads_record_on_eight_twins(saved: Checkpoint) -> None:
    """Each sees its own forward pass and no other's, whatever the threads' order."""
    texts = ["abc", "fed", "a", "bbbb", "cafe", "deadbeef", "fab", "ffff"]

    def look(checkpoint: Checkpoint, text: str) -> dict[str, Tensor]:
        with torch.inference_mode(), record(checkpoint.model) as trace:
            checkpoint.model(checkpoint.encode(text), torch.tensor([[1, 4, 5]]))
        return dict(trace)

    alone = [look(saved, text) for text in texts]
    found: list[list[dict[str, Tensor]]] = [[] for _ in texts]
    start = threading.Barrier(len(texts))

    def work(number: int) -> None:
        # How many threads torch uses is each thread's own setting.
        torch.set_num_threads(1)
        twin = saved.twin()
        start.wait()
        for _ in range(15):
            found[number].append(look(twin, texts[number]))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(len(texts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for expected, traces in zip(alone, found, strict=True):
        assert len(traces) == 15
        for trace in traces:
            assert trace.keys() == expected.keys()
            assert all(torch.equal(trace[name], value) for name, value in expected.items())


# Files built by hand


@dataclass
class Parts:
    """A checkpoint file taken apart, to be changed and put together again.

    listing: the .safetensors header without its metadata. description: our own part of it.
    """

    listing: dict[str, Any]
    description: dict[str, Any]
    weights: bytes

    def sealed(self) -> "Parts":
        """With the checksum right: over the description with no checksum in it, and the weights."""
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
    """The file with one value of its description replaced, and a checksum that is right."""
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


def test_the_builder_builds_sound_files(saved: Checkpoint, content: bytes) -> None:
    """Otherwise the tests below would prove nothing but that the builder is broken."""
    rebuilt = taken_apart(content).sealed().whole()
    assert_same(Checkpoint.load(rebuilt), saved)
    assert taken_apart(content).sealed().description["sha256"] == saved.header.sha256
    assert Checkpoint.load(changed(content, "notes", to="changed")).header.notes == "changed"


@contextmanager
def little_memory(most: int = 50 * MEGABYTE) -> Iterator[None]:
    """What runs inside must not grow the process, not even for a moment."""
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

    peaks.write_text("5")  # forget the highest mark of resident memory so far
    before = resident("VmRSS")
    yield
    assert resident("VmHWM") - before < most


def assert_refused(content: bytes, tmp_path: Path, says: str) -> None:
    """Refused from memory and from disk, in a sentence, and without taking memory for it."""
    (tmp_path / "hostile.safetensors").write_bytes(content)
    for source in (content, tmp_path / "hostile.safetensors"):
        with little_memory(), pytest.raises(CheckpointError, match=says) as caught:
            Checkpoint.load(source)
        assert_sentence(caught.value)


def assert_sentence(error: CheckpointError) -> None:
    message = str(error)
    assert message.endswith(".")
    assert message[0].isupper() or message.startswith(("source_vocab", "target_vocab"))
    assert len(message) < 400
    assert "\n" not in message
    assert message.isprintable()
    assert "Traceback" not in message
    assert " line " not in message


def a_png() -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    head = struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0)
    body = zlib.compress(b"\0\xff\0\0")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def a_pickle(value: Any) -> bytes:
    buffer = BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


FOREIGN: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "too short"),
    "seven bytes": (b"\x02\0\0\0\0\0\0", "too short"),
    "no header": (struct.pack("<Q", 0) + b"x" * 64, "no header"),
    "random": (random.Random(1).randbytes(5000), "header would have"),
    "png": (a_png(), "header would have"),
    "csv": (b"source,target\nabc,cba\n" * 50, "header would have"),
    "state dict": (a_pickle({"weight": torch.zeros(9)}), "header would have"),
    "gigabyte in a few bytes": (a_pickle(bytearray(2 * MEGABYTE)), "header would have"),
    "header of 2^63": (struct.pack("<Q", 2**63) + b"{}" * 50, "header would have"),
    "header of 2^64 - 1": (b"\xff" * 8 + b"{}" * 50, "header would have"),
    "header beyond the file": (struct.pack("<Q", 1000) + b"{}", "cut off"),
    "header one byte too long": (struct.pack("<Q", 3) + b"{}", "cut off"),
    "not json": (joined("hello, world", b""), "not valid JSON"),
    "not utf-8": (joined(b'{"a": "\xff\xfe"}', b""), "not valid JSON"),
    "json of another kind": (joined("[1, 2, 3]", b""), "JSON object"),
    "deep lists": (joined("[" * 100_000, b""), "not valid JSON"),
    "deep and closed": (joined("[" * 100_000 + "]" * 100_000, b""), "not valid JSON"),
    "deep objects": (joined('{"a":' * 100_000 + "1" + "}" * 100_000, b""), "not valid JSON"),
    "5,000 digits": (joined(f'{{"a": {"9" * 5000}}}', b""), "not valid JSON"),
    "not a number": (joined('{"a": NaN}', b""), "not valid JSON"),
    "no metadata": (joined("{}", b""), "not saved by Transformer Workbench"),
    "metadata of another kind": (joined('{"__metadata__": []}', b""), "not saved by Transformer"),
    "metadata of another tool": (
        joined('{"__metadata__": {"format": "pt"}}', b""),
        "not saved by Transformer Workbench",
    ),
    "our key, not text": (
        joined('{"__metadata__": {"workbench": {}}}', b""),
        "not saved by Transformer Workbench",
    ),
    "our key, not json": (
        joined('{"__metadata__": {"workbench": "hello"}}', b""),
        "description is not valid JSON",
    ),
    "our key, deep": (
        joined(json.dumps({"__metadata__": {"workbench": "[" * 100_000}}), b""),
        "description is not valid JSON",
    ),
    "our key, utf-16": (
        joined('{"__metadata__": {"workbench": "{}"}}'.encode("utf-16"), b""),
        "not valid JSON|format",
    ),
    "our key, empty": (joined('{"__metadata__": {"workbench": "{}"}}', b""), "format is 'None'"),
}


@pytest.mark.parametrize("case", FOREIGN.values(), ids=FOREIGN)
def test_a_file_of_another_kind_is_refused(case: tuple[bytes, str], tmp_path: Path) -> None:
    content, says = case
    assert_refused(content, tmp_path, says)


def test_paths_that_are_no_file_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "missing.safetensors", tmp_path / ("x" * 5000)):
        with pytest.raises(CheckpointError, match="could not be read") as caught:
            Checkpoint.load(path)
        assert "\n" not in str(caught.value)


def test_a_file_too_large_is_refused_by_its_size(tmp_path: Path) -> None:
    """A sparse file of 3 GB: it takes no room, and must not be read to be refused."""
    path = tmp_path / "large.safetensors"
    with path.open("wb") as file:
        file.truncate(3_000_000_000)
    with little_memory(), pytest.raises(CheckpointError, match="at most 2,200,000,000"):
        Checkpoint.load(path)


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

    The checksum cannot be right then, but none of these may come as far as that.
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
    """One tensor more, in its proper place at the end."""

    def change(content: bytes) -> bytes:
        parts = taken_apart(content)
        end = len(parts.weights)
        parts.listing[name] = {"dtype": "F32", "shape": [2], "data_offsets": [end, end + 8]}
        parts.weights += bytes(8)
        return parts.sealed().whole()

    return change


def one_less(name: str) -> Change:
    """Without one tensor, all others moved up."""

    def change(content: bytes) -> bytes:
        parts = taken_apart(content)
        start, end = parts.listing.pop(name)["data_offsets"]
        parts.weights = parts.weights[:start] + parts.weights[end:]
        for entry in parts.listing.values():
            entry["data_offsets"] = [n - (end - start) * (n >= end) for n in entry["data_offsets"]]
        return parts.sealed().whole()

    return change


def twice(content: bytes) -> bytes:
    """A tensor's name twice: which of the two counts depends on the reader."""
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
    """The file with its raw header rewritten, and its length right."""

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
    """Eight bytes between two tensors, that belong to none."""
    parts = taken_apart(content)
    middle = parts.listing[NORM]["data_offsets"][0]
    parts.weights = parts.weights[:middle] + bytes(8) + parts.weights[middle:]
    for entry in parts.listing.values():
        entry["data_offsets"] = [
            n + 8 * (entry["data_offsets"][0] >= middle) for n in entry["data_offsets"]
        ]
    return parts.sealed().whole()


def an_overlap(content: bytes) -> bytes:
    """Two tensors of the same shape lie on the same bytes; nothing stands beside them."""
    parts = taken_apart(content)
    first, second = NORM, NORM.replace("gain", "bias")
    assert parts.listing[first]["shape"] == parts.listing[second]["shape"]
    start, end = parts.listing[second]["data_offsets"]
    parts.listing[second]["data_offsets"] = list(parts.listing[first]["data_offsets"])
    parts.weights = parts.weights[:start] + parts.weights[end:]
    for entry in parts.listing.values():
        entry["data_offsets"] = [n - (end - start) * (n >= end) for n in entry["data_offsets"]]
    return parts.sealed().whole()


NORM = "encoder.norm.gain"
LONG = "x" * 5000
DEEP: Any = "bottom"
for _ in range(600):  # not deep enough for the JSON reader to mind
    DEEP = {"a": DEEP}

HOSTILE: dict[str, tuple[Change, str]] = {
    # the listing of the tensors
    "tensor twice": (twice, "not valid JSON"),
    "tensor missing": (one_less(NORM), f"'{NORM}' is missing"),
    "tensor too many": (one_more("backdoor"), "'backdoor' that this model lacks"),
    "tensor with a name of 5,000": (one_more(LONG), "that this model lacks"),
    "tensor with a name of two lines": (one_more("a\nb"), "that this model lacks"),
    "tensor renamed": (renamed(NORM, "decoder.norm.gain2"), f"'{NORM}' is missing"),
    "tensor of another shape": (listed(NORM, shape=[4, 2]), r"demands \[8\]"),
    "tensor larger than its bytes": (listed(NORM, shape=[9]), f"'{NORM}' needs 36 bytes"),
    "tensor with no dimensions": (listed(NORM, shape=[]), f"'{NORM}' needs 4 bytes"),
    "tensor of 1,000 dimensions": (listed(NORM, shape=[8] + [1] * 1000), NORM),
    "tensor of 10^5600 numbers": (listed(NORM, shape=[2**61] * 300), NORM),
    "shape (0, 10^18)": (listed(NORM, shape=[0, 10**18]), f"'{NORM}' needs 0 bytes"),
    "half precision": (listed(NORM, dtype="F16"), "'F16'; expected 'F32'"),
    "whole numbers": (listed(NORM, dtype="I64"), "'I64'; expected 'F32'"),
    "eight bits": (listed(NORM, dtype="F8_E4M3"), "expected 'F32'"),
    "unknown dtype": (listed(NORM, dtype=LONG), "expected 'F32'"),
    "dtype of another kind": (listed(NORM, dtype=["F32"]), "expected 'F32'"),
    "offsets that overlap": (an_overlap, "bytes from byte"),
    "offsets with a hole": (a_hole, "bytes from byte"),
    "offsets back to front": (listed(NORM, data_offsets=[64, 32]), "bytes from byte"),
    "offsets below zero": (listed(NORM, data_offsets=[-32, 0]), "not described as it must be"),
    "offsets with fractions": (listed(NORM, data_offsets=[0.0, 32.0]), "not described"),
    "offsets true and false": (listed(NORM, data_offsets=[False, True]), "not described"),
    "offsets of 4,000 digits": (listed(NORM, data_offsets=[0, 10**4000]), "not described"),
    "offsets beyond the file": (listed(NORM, data_offsets=[0, 2**61]), "bytes from byte"),
    "three offsets": (listed(NORM, data_offsets=[0, 32, 64]), "not described"),
    "offsets of another kind": (listed(NORM, data_offsets="ab"), "not described"),
    "shape below zero": (listed(NORM, shape=[-8]), "not described"),
    "shape with fractions": (listed(NORM, shape=[8.0]), "not described"),
    "shape true": (listed(NORM, shape=[True, 8]), "not described"),
    "entry with more keys": (listed(NORM, device="cuda"), "not described"),
    # the weights
    "not a number": (one_number(math.nan), f"'{NORM}' holds NaN or infinity"),
    "infinity": (one_number(math.inf), f"'{NORM}' holds NaN or infinity"),
    "minus infinity": (one_number(-math.inf), f"'{NORM}' holds NaN or infinity"),
    "bytes too many": (more_bytes, "4 bytes that belong to nothing"),
    # the description
    "format 2": (value("format", to=2), "format is '2'"),
    "format as text": (value("format", to="1"), "format"),
    "format of 5,000 letters": (value("format", to=LONG), "format"),
    "format missing": (without("format"), "format is 'None'"),
    "description twice": (twice_within, "not valid JSON"),
    # Sound to Python's JSON reader and not to safetensors', whose words must not come through.
    "header in utf-16": (
        with_header(lambda header: header.decode().encode("utf-16")),
        "cannot be read|JSON",
    ),
    "metadata that is no text": (
        with_header(lambda h: h.replace(b'{"__metadata__": {', b'{"__metadata__": {"a": {}, ')),
        "cannot be read|metadata",
    ),
    "metadata of two lines": (
        with_header(lambda h: h.replace(b'{"__metadata__": {', b'{"__metadata__": {"a\\nb": 5, ')),
        "cannot be read|metadata",
    ),
    "no config": (without("config"), "TransformerConfig"),
    "config of another kind": (value("config", to=[]), "TransformerConfig must be an object"),
    "d_model of a billion": (value("config", "d_model", to=10**9), "d_model = 1000000000"),
    "d_model true": (value("config", "d_model", to=True), "d_model = True"),
    "d_model with fractions": (value("config", "d_model", to=8.0), r"d_model = 8\.0"),
    "d_model as text": (value("config", "d_model", to="8"), "d_model = '8'"),
    "d_model null": (value("config", "d_model", to=None), "d_model = None"),
    "d_model below zero": (value("config", "d_model", to=-8), "d_model = -8"),
    "d_model of 4,000 digits": (value("config", "d_model", to=10**4000), "more than 38 digits"),
    "d_model of 5,000 digits": (
        raw_value("config", "d_model", text="9" * 5000),
        "description is not valid JSON",
    ),
    "d_model other than the tensors": (value("config", "d_model", to=16), "demands"),
    "dropout of 400 digits": (value("config", "dropout", to=10**400), "dropout"),
    "dropout 1e999": (raw_value("config", "dropout", text="1e999"), "dropout|not valid JSON"),
    "heads that do not divide": (value("config", "num_heads", to=3), "num_heads = 3"),
    "too many parameters": (
        lambda content: changed(
            changed(changed(content, "config", "d_model", to=8192), "config", "d_ff", to=32768),
            "config",
            "num_encoder_layers",
            to=48,
        ),
        "parameters",
    ),
    "unknown activation": (value("config", "activation", to=LONG), "activation"),
    "unknown field": (value("config", "a\nb" + LONG, to=1), "no field"),
    "field missing": (without("config", "source_vocab_size"), "source_vocab_size"),
    "other special tokens": (value("config", "bos_id", to=5), "special tokens"),
    "vocabulary too small": (
        value("source_vocabulary", "tokens", to=list("abcde")),
        "source_vocab_size is 10, but the source vocabulary has 9",
    ),
    "vocabulary too large": (
        value("target_vocabulary", "tokens", to=list("abcdefg")),
        "target_vocab_size is 10, but the target vocabulary has 11",
    ),
    "token twice": (value("source_vocabulary", "tokens", to=list("abcdea")), "stands twice"),
    "token empty": (value("source_vocabulary", "tokens", to=["", *"bcdef"]), "1 to 1000"),
    "token a number": (value("source_vocabulary", "tokens", to=[1, *"bcdef"]), "1 to 1000"),
    "token of 5,000": (value("source_vocabulary", "tokens", to=[LONG, *"bcdef"]), "1 to 1000"),
    "half a character": (
        value("source_vocabulary", "tokens", to=["\ud800", *"bcdef"]),
        "surrogate|not valid JSON",
    ),
    "special token again": (
        value("source_vocabulary", to={"kind": "words", "tokens": ["<eos>", *"bcdef"]}),
        "special meaning",
    ),
    "tokens as one text": (value("source_vocabulary", "tokens", to="abcdef"), "must be lists"),
    "unknown kind of vocabulary": (value("source_vocabulary", "kind", to=LONG), "kind"),
    "kind on two lines": (value("source_vocabulary", "kind", to="a\nb"), "kind"),
    "vocabulary with a pipeline": (
        value("source_vocabulary", "regex", to="(a+)+$"),
        "kind, tokens",
    ),
    "merges that do not fit": (
        value(
            "source_vocabulary",
            to={"kind": "bpe", "tokens": list("abcdef"), "merges": [["a", "\n" + LONG]]},
        ),
        "merges",
    ),
    # Of these the tokenizers library gives up in Rust, with an error that `except Exception`
    # does not catch: it would end a trainer, or a page, without a word.
    "merges longer than any token": (
        value(
            "source_vocabulary",
            to={"kind": "bpe", "tokens": ["ab", *"bcdef"], "merges": [["ab", "ab"]]},
        ),
        "merges",
    ),
    "merges of surrogates": (
        value(
            "source_vocabulary",
            to={"kind": "bpe", "tokens": list("abcdef"), "merges": [["a", "\ud800"]]},
        ),
        "merges|not valid JSON",
    ),
    "task of another kind": (value("data", "task", to=5), "task = 5"),
    "no summary": (without("summary"), "'summary'"),
    "summary with text": (value("summary", "loss", to="low"), r"Summary\.loss"),
    "summary with NaN": (raw_value("summary", "loss", text="NaN"), "not valid JSON"),
    "summary with 1e999": (
        raw_value("summary", "loss", text="1e999"),
        "out of range|not valid JSON",
    ),
    "summary with 400 digits": (value("summary", "steps", to=10**400), r"Summary\.steps"),
    "summary with 400 digits, fraction": (value("summary", "loss", to=10**400), r"Summary\.loss"),
    "summary true": (value("summary", "steps", to=True), r"Summary\.steps"),
    "summary incomplete": (without("summary", "loss"), "loss"),
    "summary with more": (value("summary", "a\nb" + LONG, to=1), "description"),
    "training 1e999": (
        raw_value("summary", "training", "steps", text="1e999"),
        "training|not valid JSON",
    ),
    "training very deep": (value("summary", "training", "steps", to=DEEP), "description"),
    "no examples": (without("examples"), "'examples'"),
    "examples a number": (value("examples", to=5), "description"),
    "examples a text": (value("examples", to="abc"), "[Ee]xample"),
    "examples an object": (value("examples", to={}), "examples"),
    "examples of numbers": (value("examples", to=[1, 2]), "Example"),
    "example with a number": (value("examples", 0, "output", to=5), r"Example\.output"),
    "example incomplete": (value("examples", 0, to={"source": "a"}), "target"),
    "101 examples": (
        value("examples", to=[{"source": "a", "target": "a", "output": "a"}] * 101),
        "examples",
    ),
    "notes a number": (value("notes", to=5), "notes"),
    "checksum a number": (
        lambda content: replace(
            taken_apart(content), description=taken_apart(content).description | {"sha256": 5}
        ).whole(),
        "checksum",
    ),
    "probe of another kind": (value("probe", to=[]), "Probe"),
    "probe beyond the vocabulary": (value("probe", "source", to=[4, 10]), "probe has ids outside"),
    "probe below zero": (value("probe", "target", to=[-1]), "probe has ids outside"),
    "probe empty": (value("probe", "source", to=[]), "probe has ids outside"),
    "probe too long": (value("probe", "target", to=[4] * 17), "probe has ids outside"),
    "probe of texts": (value("probe", "source", to=["4"]), "probe has ids outside"),
    "probe of fractions": (value("probe", "source", to=[4.0]), "probe has ids outside"),
    "probe of 4,000 digits": (value("probe", "source", to=[10**4000]), "probe has ids outside"),
    "probe true": (value("probe", "source", to=[True, True]), "probe has ids outside"),
    "probe's logits a list": (value("probe", "logits", to=[1.0]), r"Probe\.logits"),
    "environment very deep": (value("probe", "environment", to=DEEP), "description|environment"),
}


@pytest.mark.parametrize("case", HOSTILE.values(), ids=HOSTILE)
def test_a_forged_file_is_refused(case: tuple[Change, str], content: bytes, tmp_path: Path) -> None:
    change, says = case
    assert_refused(change(content), tmp_path, says)


@settings(max_examples=120)
@given(st.data())
def test_a_file_cut_off_is_refused(content: bytes, data: st.DataObject) -> None:
    length = data.draw(st.integers(0, len(content) - 1))
    with pytest.raises(CheckpointError, match=r"cut off|too short") as caught:
        Checkpoint.load(content[:length])
    assert_sentence(caught.value)


def test_one_bit_in_the_weights_is_noticed(content: bytes) -> None:
    """Any bit of any weight, even one that leaves a sound number."""
    start = 8 + struct.unpack("<Q", content[:8])[0]
    draw = random.Random(1)
    for _ in range(60):
        damaged = bytearray(content)
        # The lowest bits of a number: they never make it infinite.
        damaged[draw.randrange(start, len(content), 4)] ^= 1 << draw.randrange(8)
        with pytest.raises(CheckpointError, match="checksum does not match") as caught:
            Checkpoint.load(bytes(damaged))
        assert_sentence(caught.value)


@pytest.mark.parametrize(
    ("path", "to"),
    [
        (("notes",), "better"),
        (("summary", "exact_match"), 1.0),
        (("summary", "training", "steps"), 4),
        (("examples", 0, "output"), "abc"),
        (("source_vocabulary", "tokens"), list("bacdef")),
        (("config", "activation"), "gelu"),
        (("data", "task"), "copy"),
        (("probe", "environment", "torch"), "0"),
    ],
)
def test_the_checksum_covers_the_description(
    content: bytes, path: tuple[str | int, ...], to: Any
) -> None:
    """Changed without a new checksum: a file's history cannot be improved by an editor."""
    old = taken_apart(content).description["sha256"]
    forged = taken_apart(changed(content, *path, to=to))
    assert forged.description["sha256"] != old
    forged.description["sha256"] = old
    with pytest.raises(CheckpointError, match="checksum does not match"):
        Checkpoint.load(forged.whole())


def test_a_byte_changed_is_noticed_or_without_effect(saved: Checkpoint, content: bytes) -> None:
    draw = random.Random(7)
    header = 8 + struct.unpack("<Q", content[:8])[0]
    for number in range(300):
        damaged = bytearray(content)
        # Half of them in the header, where a change means something.
        place = draw.randrange(header if number % 2 else len(content))
        damaged[place] = draw.choice([draw.randrange(256), damaged[place] ^ 1 << draw.randrange(8)])
        try:
            loaded = Checkpoint.load(bytes(damaged))
        except CheckpointError as error:
            assert_sentence(error)
        else:
            assert_same(loaded, saved)


JUNK: list[Any] = [
    *(None, True, False, 0, 1, -1, 3, 2**31, 2**63, 10**20, 10**400, 0.5, -1.5, 1e300),
    *("", "a", "\ud800", "a\nb", "<b>", "x" * 2000, [], {}, [1], [[]], ["a"], {"a": 1}, DEEP),
]


def places(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """The path of every value inside a value."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in items:
        yield (*path, key)
        if isinstance(inner, dict | list):
            yield from places(inner, (*path, key))


@settings(max_examples=120)
@given(data=st.data())
def test_any_forged_value_is_refused_or_harmless(content: bytes, data: st.DataObject) -> None:
    """One value anywhere replaced by junk, with a checksum that is right.

    Whatever is accepted must survive being checked and saved again.
    """
    path = data.draw(st.sampled_from(list(places(taken_apart(content).description))))
    forged = changed(content, *path, to=data.draw(st.sampled_from(JUNK)))
    try:
        checkpoint = Checkpoint.load(forged)
        verify(forged)
        assert_same(Checkpoint.load(checkpoint.to_bytes()), checkpoint)
    except CheckpointError as error:
        assert_sentence(error)


def test_the_header_is_read_without_the_weights(content: bytes, tmp_path: Path) -> None:
    """A list of many large checkpoints must not read them all."""
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    header, entries, offset = read_header(path)
    assert header == Checkpoint.load(path).header
    assert offset + max(entry.end for entry in entries.values()) == len(content)
    huge = tmp_path / "huge.safetensors"
    parts = taken_apart(content)
    parts.listing = {"w": {"dtype": "F32", "shape": [10**8], "data_offsets": [0, 4 * 10**8]}}
    huge.write_bytes(replace(parts, weights=b"").whole())
    with huge.open("ab") as file:
        file.truncate(huge.stat().st_size + 4 * 10**8)
    with little_memory(10 * MEGABYTE):
        assert read_header(huge)[1]["w"].shape == (10**8,)
    with little_memory(), pytest.raises(CheckpointError, match="missing"):
        Checkpoint.load(huge)  # names and shapes come before the 400 MB of weights


# Checking a file again


def results(content: bytes) -> dict[str, bool]:
    checks = verify(content)
    assert all(check.detail for check in checks)
    return {check.name: check.ok for check in checks}


def test_a_fresh_file_passes_every_check(content: bytes, tmp_path: Path) -> None:
    everything = {"file": True, "logits": True, "outputs": True, "cache": True}
    assert results(content) == everything
    (tmp_path / "model.safetensors").write_bytes(content)
    assert {check.name: check.ok for check in verify(tmp_path / "model.safetensors")} == everything


def probe_moved(content: bytes, by: float) -> str:
    """The probe's logits with one of them moved, as a file holds them."""
    probe = taken_apart(content).description["probe"]
    numbers = list(struct.iter_unpack("<f", base64.b64decode(probe["logits"])))
    moved = b"".join(struct.pack("<f", x + by * (i == 3)) for i, (x,) in enumerate(numbers))
    return base64.b64encode(moved).decode()


def test_a_probe_that_differs_in_the_last_bits_fails(content: bytes) -> None:
    """In the same environment, equal means equal: the tolerance is for others."""
    forged = changed(content, "probe", "logits", to=probe_moved(content, 1e-6))
    assert forged != content
    assert results(forged) == {"file": True, "logits": False, "outputs": True, "cache": True}
    detail = next(check.detail for check in verify(forged) if check.name == "logits")
    assert "e-0" in detail  # says by how much


@pytest.mark.parametrize(("by", "ok"), [(1e-6, True), (1e-2, False), (math.nan, False)])
def test_a_probe_of_another_machine_may_differ_a_little(
    content: bytes, by: float, ok: bool
) -> None:
    forged = changed(content, "probe", "environment", "torch", to="0.4.1")
    forged = changed(forged, "probe", "logits", to=probe_moved(content, by))
    assert results(forged) == {"file": True, "logits": ok, "outputs": True, "cache": True}


def test_weights_other_than_the_probes_fail(content: bytes) -> None:
    """Sound weights under a sound checksum, but not those that the probe was made with."""
    forged = results(one_number(3.0)(content))
    assert forged["file"]
    assert not forged["logits"]


def test_outputs_other_than_the_examples_fail(content: bytes) -> None:
    forged = changed(content, "examples", 1, "output", to="abcabc")
    assert results(forged) == {"file": True, "logits": True, "outputs": False, "cache": True}


@pytest.mark.parametrize("logits", ["", "AAAA", "AAAAAAA=", "no base64!", "ÄÖÜ", "\ud800"])
def test_a_probe_that_does_not_fit_is_refused(content: bytes, logits: str) -> None:
    with pytest.raises(CheckpointError, match=r"probe does not fit|not valid JSON") as caught:
        verify(changed(content, "probe", "logits", to=logits))
    assert_sentence(caught.value)


@pytest.mark.parametrize("source", ["xyz", "", "a" * 500, "a\ud800"])
def test_examples_that_the_model_cannot_read_are_refused(content: bytes, source: str) -> None:
    """Such a file was forged: its own examples cannot have been written by its model."""
    with pytest.raises(CheckpointError) as caught:
        verify(changed(content, "examples", 0, "source", to=source))
    assert_sentence(caught.value)
