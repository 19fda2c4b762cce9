"""Attention records equal what the model computes, change no training, are checked when read."""

import json
import subprocess
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from transformer.config import DataConfig, TrainingConfig, TransformerConfig
from transformer.errors import RunError
from transformer.hooks import record
from transformer.model import Transformer
from transformer.runs.attention import (
    CANDIDATES,
    EXAMPLES,
    FILE_BYTES,
    HEADER,
    HEADER_BYTES,
    KINDS,
    MOMENTS,
    RECORD_BYTES,
    RECORDS,
    AttentionHistory,
    moments,
)
from transformer.tasks import Task, build_task
from transformer.trainer.attention import AttentionRecorder
from transformer.training.batches import collate, encode
from transformer.training.loop import Update, train

CONFIG = TransformerConfig(
    source_vocab_size=30,
    target_vocab_size=30,
    d_model=16,
    num_heads=2,
    num_encoder_layers=1,
    num_decoder_layers=2,
    d_ff=16,
    dropout=0.3,
    max_length=64,
)


def sorting(longest: int = 6) -> Task:
    return build_task(DataConfig(task="sort", min_letters=1, max_letters=longest))


def a_model(seed: int = 0, config: TransformerConfig = CONFIG) -> Transformer:
    torch.manual_seed(seed)
    return Transformer(config)


def load(folder: Path) -> AttentionHistory:
    history = AttentionHistory.load(folder)
    assert history is not None
    return history


# --- Moments ---------------------------------------------------------------------------------


@given(st.integers(1, 10_000_000))
def test_moments_start_dense_and_thin_out(steps: int) -> None:
    found = moments(steps)
    assert found[0] == 0
    assert found[-1] == steps
    assert len(found) <= MOMENTS
    gaps = np.diff(found)
    assert (gaps > 0).all()
    assert (np.diff(gaps) >= -1).all()  # except for rounding, no gap is shorter than the one before
    if steps < MOMENTS // 2:
        assert found == list(range(steps + 1))
    if steps > 2 * MOMENTS:
        assert len(found) > MOMENTS - 4
        assert found[1] <= 8


def test_moments_of_an_ordinary_run() -> None:
    gaps = np.diff(moments(1500))
    assert max(gaps[:3]) <= 3
    assert 80 < gaps[-1] < 120


# --- Recording -------------------------------------------------------------------------------


def test_the_record_is_what_the_model_does_with_each_example_alone(tmp_path: Path) -> None:
    task, model = sorting(), a_model()
    recorder = AttentionRecorder(tmp_path, CONFIG, task)
    recorder.record(0, model)
    history = load(tmp_path)
    assert history.steps.tolist() == [0]
    assert len(history.examples) == EXAMPLES
    shown = [pair.source for pair in task.held_out(CANDIDATES)]
    model.eval()
    for number, (example, pair) in enumerate(zip(history.examples, recorder.pairs, strict=True)):
        assert example.text == pair.source in shown
        assert example.source == (*pair.source, "<eos>")
        assert example.read == ("<bos>", *pair.target)
        assert example.written == (*pair.target, "<eos>")
        batch = collate(encode(task, [pair]), CONFIG)
        with torch.inference_mode(), record(model) as trace:
            logits = model(batch.source, batch.target_in)[0]
        true = logits.log_softmax(-1)[range(len(example.written)), batch.target_out[0]]
        assert np.isclose(history.loss(number)[0], -true.mean().item(), atol=1e-5)
        shares = history.probability(number)[0] / 255
        assert np.allclose(shares, true.exp().numpy(), atol=0.51 / 255)
        right = logits.argmax(-1) == batch.target_out[0]
        assert history.right(number)[0].tolist() == right.tolist()
        for kind in KINDS:
            exact = getattr(trace, f"{kind}_attention").numpy()
            stored = history.weights(number, kind)[0] / 255
            assert stored.shape == exact.shape
            assert np.allclose(stored, exact, atol=0.51 / 255)


def test_recording_changes_nothing_of_the_training(tmp_path: Path) -> None:
    task = sorting()
    # A timed trial could choose another precision or number of threads in each of the two runs.
    config = TrainingConfig(
        precision="fp32",
        threads=1,
        steps=6,
        batch_size=4,
        eval_every=3,
        eval_examples=4,
        final_examples=4,
    )

    def losses(recorder: AttentionRecorder | None) -> list[float]:
        model = a_model()  # with dropout: a random draw of the recorder's would change the losses
        found = []
        for event in train(model, task, config):
            if recorder:
                before = torch.get_rng_state(), model.training
                recorder.record(event.step, model)
                assert torch.equal(torch.get_rng_state(), before[0])
                assert model.training == before[1]
            if isinstance(event, Update):
                found.append(event.loss)
        return found

    recorder = AttentionRecorder(tmp_path, CONFIG, task)
    assert losses(recorder) == losses(None)
    assert load(tmp_path).steps.tolist() == [0, 1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("torn", [0, 1, 9, -1])
def test_a_file_cut_back_goes_on_as_if_unbroken(tmp_path: Path, torn: int) -> None:
    """Resuming truncates the file to its saved length; a kill may have cut the last record."""
    task, models = sorting(), [a_model(seed) for seed in range(4)]
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    for folder in (whole, broken):
        folder.mkdir()
        recorder = AttentionRecorder(folder, CONFIG, task)
        for step, model in enumerate(models):
            recorder.record(step, model)
    size = recorder.dtype.itemsize
    content = (broken / RECORDS).read_bytes()
    assert len(content) == 4 * size
    (broken / RECORDS).write_bytes(content[: 2 * size + (torn if torn >= 0 else size - 1)])
    assert load(broken).steps.tolist() == [0, 1]
    resumed = AttentionRecorder(broken, CONFIG, task)
    for step, model in enumerate(models):  # 0 and 1 are there already
        resumed.record(step, model)
    for name in (HEADER, RECORDS):
        assert (broken / name).read_bytes() == (whole / name).read_bytes()


def test_another_models_records_are_never_mixed_with_ours(tmp_path: Path) -> None:
    AttentionRecorder(tmp_path, CONFIG, sorting()).record(0, a_model())
    before = (tmp_path / HEADER).read_bytes(), (tmp_path / RECORDS).read_bytes()
    other = CONFIG.replace(num_heads=4)
    AttentionRecorder(tmp_path, other, sorting()).record(1, a_model(config=other))
    assert ((tmp_path / HEADER).read_bytes(), (tmp_path / RECORDS).read_bytes()) == before


def test_a_diverged_model_is_recorded_as_it_is(tmp_path: Path) -> None:
    model = a_model()
    with torch.no_grad():
        model.source_embedding.tokens.weight.fill_(float("nan"))
    AttentionRecorder(tmp_path, CONFIG, sorting()).record(0, model)
    assert not np.isfinite(load(tmp_path).loss(0)).any()


def test_a_large_model_records_fewer_examples_and_a_huge_one_none(tmp_path: Path) -> None:
    for name, heads, layers, longest, expected in (
        ("base", 8, 6, 15, 4),
        ("fewer", 8, 6, 30, 1),
        ("none", 16, 12, 60, 0),
    ):
        config = TransformerConfig(
            source_vocab_size=30,
            target_vocab_size=30,
            num_heads=heads,
            num_encoder_layers=layers,
            num_decoder_layers=layers,
        )
        folder = tmp_path / name
        folder.mkdir()
        task = build_task(DataConfig(task="copy", min_letters=longest, max_letters=longest))
        recorder = AttentionRecorder(folder, config, task)
        history = load(folder)
        assert len(history.examples) == expected
        assert recorder.dtype.itemsize <= RECORD_BYTES
        assert bool(history.note) == (expected == 0)
    recorder.record(0, a_model())  # the model is not used
    assert not (folder / RECORDS).exists()
    assert "200 kB" in history.note


def test_the_file_stops_growing_at_its_limit(tmp_path: Path) -> None:
    recorder = AttentionRecorder(tmp_path, CONFIG, sorting())
    size = recorder.dtype.itemsize
    last = np.zeros((), recorder.dtype)
    with (tmp_path / RECORDS).open("wb") as file:  # sparse: nothing but its last record
        file.seek((FILE_BYTES // size - 1) * size)
        file.write(last.tobytes())
    full = (tmp_path / RECORDS).stat().st_size
    recorder.record(5, a_model())
    assert (tmp_path / RECORDS).stat().st_size == full


# --- Reading ---------------------------------------------------------------------------------


def test_where_nothing_was_recorded_there_is_none(tmp_path: Path) -> None:
    assert AttentionHistory.load(tmp_path) is None
    assert AttentionHistory.load(tmp_path / "missing") is None
    AttentionRecorder(tmp_path, CONFIG, sorting())
    assert load(tmp_path).steps.tolist() == []


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recorded")
    recorder = AttentionRecorder(folder, CONFIG, sorting())
    for step in range(3):
        recorder.record(step, a_model(step))
    return folder


def changed(header: dict[str, Any], place: list[Any], value: Any) -> bytes:
    inner: Any = header
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    return json.dumps(header).encode()


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (["version"], 2),
        (["note"], 7),
        (["shape"], {}),
        (["shape", "num_heads"], 10**12),
        (["shape", "num_heads"], 1024),
        (["shape", "num_heads"], 0),
        (["shape", "num_heads"], True),
        (["shape", "num_heads"], "2"),
        (["shape", "extra"], 1),
        (["examples"], None),
        (["examples"], 3),
        (["examples", 0], []),
        (["examples", 0, "text"], 3),
        (["examples", 0, "text"], "\ud800"),
        (["examples", 0, "source"], []),
        (["examples", 0, "source"], ["a"] * 100_000),
        (["examples", 0, "source"], [1]),
        (["examples", 0, "source", 0], {"a": 1}),
        (["examples", 0, "written"], ["a"]),
    ],
)
def test_a_forged_header_is_refused_in_one_sentence(
    recorded: Path, tmp_path: Path, place: list[Any], value: Any
) -> None:
    header = json.loads((recorded / HEADER).read_text("utf-8"))
    (tmp_path / HEADER).write_bytes(changed(header, place, value))
    (tmp_path / RECORDS).write_bytes((recorded / RECORDS).read_bytes())
    tracemalloc.start()
    with pytest.raises(RunError, match="damaged"):
        AttentionHistory.load(tmp_path)
    assert tracemalloc.get_traced_memory()[1] < 20_000_000
    tracemalloc.stop()


@settings(max_examples=60)
@given(st.integers(0, 2_000_000), st.binary(min_size=1, max_size=12), st.booleans())
def test_any_damage_is_refused_or_leaves_rising_steps(
    recorded: Path, tmp_path_factory: pytest.TempPathFactory, at: int, patch: bytes, in_header: bool
) -> None:
    folder = tmp_path_factory.mktemp("damaged")
    for name in (HEADER, RECORDS):
        content = bytearray((recorded / name).read_bytes())
        if in_header == (name == HEADER):
            start = at % len(content)
            content[start : start + len(patch)] = patch
        (folder / name).write_bytes(content)
    try:
        history = load(folder)
    except RunError:
        return
    steps = history.steps.tolist()
    assert len(steps) <= 3
    assert steps == sorted(set(steps))
    for number in range(len(history.examples)):
        for kind in KINDS:
            assert len(history.weights(number, kind)) == len(steps)


def test_files_larger_than_any_of_ours_are_not_read(recorded: Path, tmp_path: Path) -> None:
    (tmp_path / HEADER).write_bytes((recorded / HEADER).read_bytes())
    with (tmp_path / RECORDS).open("wb") as file:
        file.truncate(10**12)
    with pytest.raises(RunError, match="damaged"):
        AttentionHistory.load(tmp_path)
    with (tmp_path / HEADER).open("wb") as file:
        file.truncate(HEADER_BYTES + 1)
    with pytest.raises(RunError, match="damaged"):
        AttentionHistory.load(tmp_path)
    (tmp_path / HEADER).unlink()
    (tmp_path / HEADER).mkdir()
    with pytest.raises(RunError, match="damaged"):
        AttentionHistory.load(tmp_path)


def test_reading_loads_no_torch(recorded: Path) -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys; from pathlib import Path\n"
            "import pages.components.widgets.attention_timeline\n"
            "from transformer.runs.attention import AttentionHistory, moments\n"
            "assert len(AttentionHistory.load(Path(sys.argv[1])).steps) == 3\n"
            "assert 'torch' not in sys.modules",
            str(recorded),
        ],
        cwd=Path(__file__).resolve().parents[2],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
