"""Checkpoints load bit for bit as they were saved, and their files can be verified."""

import base64
import math
import os
import resource
import signal
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tests.support.checkpoint_files import (
    MEGABYTE,
    SUMMARY,
    WORDS,
    assert_same,
    assert_sentence,
    changed,
    little_memory,
    make,
    one_number,
    taken_apart,
    wild_model,
)
from transformer.checkpoint import Checkpoint
from transformer.checkpoint.checkpoint import tensor_shapes
from transformer.checkpoint.verification import verify, verifying
from transformer.config import DataConfig, TransformerConfig
from transformer.decoding.beam import Beam
from transformer.errors import CheckpointError
from transformer.files import write_atomic
from transformer.hooks import ablate, record
from transformer.model import Transformer

# Saving and loading

KINDS: dict[str, dict[str, Any]] = {
    "paper": {"norm_first": False, "final_norm": False},
    "untied": {"tie_embeddings": False, "output_bias": True},
    "shared": {"share_embeddings": True},
    "shared-untied": {"share_embeddings": True, "tie_embeddings": False},
    "other": {"activation": "gelu", "position_layout": "halves", "scale_embeddings": False},
    "none": {"position_layout": "none", "d_model": 9, "num_heads": 3},
    "learned": {"position_layout": "learned", "d_model": 9, "num_heads": 3},
    "framed": {"source_frame": "bos-eos"},
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
        beam = Beam(3)
        assert after.answers(texts, beam) == before.answers(texts, beam)
        # Compare with the original model, since both checkpoints could share a mistake.
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
    """Tied weights load as one tensor; two equal ones would diverge in further training."""
    before = make(tie_embeddings=tie, share_embeddings=share)
    loaded = Checkpoint.load(before.to_bytes())
    for model in (loaded.model, loaded.view().model):
        target = model.target_embedding.tokens.weight
        assert (model.output.weight is target) == tie
        assert (model.source_embedding.tokens.weight is target) == share
        named = dict(model.named_parameters())
        assert named.keys() == loaded.tensors.keys()
    embeddings = [name for name in loaded.tensors if "tokens" in name or name == "output.weight"]
    assert len(embeddings) == 3 - tie - share


def test_weights_of_16_bits_load_as_they_were_rounded(saved: Checkpoint, content: bytes) -> None:
    half = Checkpoint.of(
        saved.model, WORDS, WORDS, saved.header.data, SUMMARY, [("abc", "cba")], precision="float16"
    )
    assert 0 < len(content) - len(half.to_bytes()) - 2 * saved.config.num_parameters < 5000
    loaded = Checkpoint.load(half.to_bytes())
    assert_same(half, loaded)
    assert all(check.ok for check in verify(half.to_bytes()))
    for name, tensor in saved.tensors.items():
        assert torch.equal(loaded.tensors[name], tensor.half().float())
    rounded = [
        name for name in loaded.tensors if not torch.equal(half.tensors[name], saved.tensors[name])
    ]
    assert rounded


def test_a_model_trained_elsewhere_has_no_summary(saved: Checkpoint) -> None:
    data = DataConfig(task="imported")
    origin = "Imported from model.pt."
    made = Checkpoint.of(
        saved.model, WORDS, WORDS, data, None, [("abc", "")], origin=origin, licence="Apache-2.0"
    )
    loaded = Checkpoint.load(made.to_bytes())
    assert_same(made, loaded)
    assert loaded.summary is None
    assert (loaded.header.origin, loaded.header.licence) == (origin, "Apache-2.0")


def test_the_same_checkpoint_gives_the_same_bytes(saved: Checkpoint, content: bytes) -> None:
    assert saved.to_bytes() == content
    assert make().to_bytes() == content
    assert saved.view().to_bytes() == content
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
    """A file size limit of 1,000 bytes makes the write fail, as on a full disk."""
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
    """The saved file has mode 644, not the owner-only mode of a temporary file."""
    saved.save(tmp_path / "model.safetensors")
    assert (tmp_path / "model.safetensors").stat().st_mode & 0o777 == 0o644


def test_a_reader_never_sees_half_a_file(tmp_path: Path) -> None:
    """While a process keeps writing and is killed, a reader sees only whole files."""
    path = tmp_path / "file"
    code = (
        "import sys; from itertools import count; from pathlib import Path;"
        "from transformer.files import write_atomic\n"
        "for i in count(): write_atomic(Path(sys.argv[1]), bytes([i % 256]) * 300_000)"
    )
    root = Path(__file__).parents[2]
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


# Views


def test_views_share_weights_and_nothing_else(saved: Checkpoint) -> None:
    left, right = saved.view(), saved.view()
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


def test_eight_threads_record_on_eight_views(saved: Checkpoint) -> None:
    """Each thread records only its own forward pass, in any order of the threads."""
    texts = ["abc", "fed", "a", "bbbb", "cafe", "deadbeef", "fab", "ffff"]

    def look(checkpoint: Checkpoint, text: str) -> dict[str, Tensor]:
        with torch.inference_mode(), record(checkpoint.model) as trace:
            checkpoint.model(checkpoint.encode(text), torch.tensor([[1, 4, 5]]))
        return dict(trace)

    alone = [look(saved, text) for text in texts]
    found: list[list[dict[str, Tensor]]] = [[] for _ in texts]
    start = threading.Barrier(len(texts))

    def work(number: int) -> None:
        # torch's number of threads is set separately in each thread.
        torch.set_num_threads(1)
        view = saved.view()
        start.wait()
        for _ in range(15):
            found[number].append(look(view, texts[number]))

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
    """The probe's logits in base64, after adding ``by`` to one of them."""
    probe = taken_apart(content).description["probe"]
    numbers = list(struct.iter_unpack("<f", base64.b64decode(probe["logits"])))
    moved = b"".join(struct.pack("<f", x + by * (i == 3)) for i, (x,) in enumerate(numbers))
    return base64.b64encode(moved).decode()


def test_a_probe_that_differs_in_the_last_bits_fails(content: bytes) -> None:
    """In the same environment logits must be equal; the tolerance is for other ones."""
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
    """Valid weights with a valid checksum fail if the probe was made with other weights."""
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


def test_a_check_goes_in_steps_and_can_be_left(content: bytes) -> None:
    """The check can stop between examples: a hundred endless outputs take minutes."""
    steps = verifying(content)
    shares = [next(steps), next(steps)]
    steps.close()
    assert all(0 <= share <= 1 for share in shares)
    assert len(list(verifying(content))) > 4


@pytest.mark.parametrize("source", ["xyz", "", "a" * 500, "a\ud800"])
def test_examples_that_the_model_cannot_read_are_refused(content: bytes, source: str) -> None:
    """A file is forged if its model cannot encode the file's own examples."""
    with pytest.raises(CheckpointError) as caught:
        verify(changed(content, "examples", 0, "source", to=source))
    assert_sentence(caught.value)


@pytest.mark.parametrize("shared", [False, True])
def test_a_twin_shares_weights_and_nothing_else(shared: bool) -> None:
    checkpoint = make(share_embeddings=shared)
    with record(checkpoint.model) as seen:
        view = checkpoint.view()
        source, target = torch.tensor([[4, 5, 3]]), torch.tensor([[1, 4]])
        logits = view.model(source, target)
        assert not seen  # the view does not call hooks of the original
    assert torch.equal(logits, checkpoint.model(source, target))
    assert set(view.model.modules()).isdisjoint(checkpoint.model.modules())
    assert len(list(view.model.modules())) == len(list(checkpoint.model.modules()))
    one, other = view.model.state_dict(), checkpoint.model.state_dict()
    assert {name: t.data_ptr() for name, t in one.items()} == {
        name: t.data_ptr() for name, t in other.items()
    }
