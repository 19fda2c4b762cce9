"""A file takes no more of the server's memory than a small multiple of its own size."""

import gc
import json
import re
import weakref
from pathlib import Path

import pytest
import safetensors.torch
import torch

from pages.components.shell import loaded
from pages.components.shell.checkpoint_headers import facts_of, header_of
from pages.components.stores import uploads
from tests.support.checkpoint_files import MEGABYTE, WORDS, little_memory, make, wild_model
from tests.support.opened_pages import open_page
from transformer.checkpoint import Checkpoint
from transformer.checkpoint.header import METADATA_KEY
from transformer.config import DataConfig
from transformer.errors import VocabularyError
from transformer.interop.files import header_check, large_vocabularies
from transformer.interop.files.large_vocabularies import read_in_own_process
from transformer.interop.foreign_vocabulary import read_vocabularies

pytestmark = pytest.mark.usefixtures("own_folder")


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of 50 MB, in tensors of 1 to 10 MB."""
    path = tmp_path_factory.mktemp("large") / "large.safetensors"
    model = wild_model(d_model=512, d_ff=4096, num_encoder_layers=1, num_decoder_layers=1)
    Checkpoint.of(model, WORDS, WORDS, DataConfig(task="reverse"), None, []).save(path)
    return path


def test_the_weights_of_a_file_are_in_memory_once(large: Path) -> None:
    size = large.stat().st_size
    with little_memory(size + 15 * MEGABYTE):
        Checkpoint.load(large)


def test_keeping_and_saving_a_model_takes_its_memory_no_second_time(large: Path) -> None:
    size = large.stat().st_size
    with little_memory(size + 15 * MEGABYTE):
        kept, checkpoint = uploads.keep("large.safetensors", large, "me")
    with little_memory(25 * MEGABYTE):
        again, _ = uploads.keep("again.safetensors", checkpoint, "me")
    assert again.path == kept.path
    assert kept.path.read_bytes() == large.read_bytes()


@pytest.mark.parametrize("precision", ["float32", "float16"])
def test_what_is_written_a_tensor_at_a_time_is_what_the_library_writes(precision: str) -> None:
    notes = 'Grüße, "quoted"\n\t\x01 \U0001f600 \\ \x7f'
    data = DataConfig(task="reverse")
    made = Checkpoint.of(
        wild_model(), WORDS, WORDS, data, None, [("abc", "cba")], notes, precision=precision
    )
    content = made.to_bytes()
    kind = torch.float16 if precision == "float16" else torch.float32
    stored = {name: tensor.to(kind) for name, tensor in made.tensors.items()}
    assert content == safetensors.torch.save(stored, {METADATA_KEY: made.header.to_json()})


# --- models that no session shows ---------------------------------------------------------------


def test_a_large_model_is_freed_when_no_session_shows_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small, other = tmp_path / "small", tmp_path / "other"
    make(1).save(small)
    make(2).save(other)
    monkeypatch.setattr(loaded, "KEPT_BYTES", small.stat().st_size - 1)
    monkeypatch.setattr(loaded, "LARGE_BYTES", small.stat().st_size)
    given = list[int]()
    monkeypatch.setattr(loaded, "give_back", lambda: given.append(1))
    models = loaded.Loaded()
    shown = models.load(small)
    assert models.load(small) is shown
    gone = weakref.ref(shown)
    own = shown.view()
    del shown
    gc.collect()
    assert gone() is None
    assert own.model is not None
    # The next look-up of any model gives the freed memory back to the system.
    assert not given
    assert models.find(("no such file", 0, 0)) is None
    assert given == [1]
    models.find(("no such file", 0, 0))
    assert given == [1]

    # A model within the limit is kept until another is loaded.
    monkeypatch.setattr(loaded, "KEPT_BYTES", small.stat().st_size + 1)
    kept = weakref.ref(models.load(small))
    gc.collect()
    assert kept() is not None
    models.load(other)
    gc.collect()
    assert kept() is None


def test_many_small_models_are_not_all_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loaded, "KEPT_MODELS", 2)
    models, read = loaded.Loaded(), list[weakref.ref[Checkpoint]]()
    for number in range(3):
        path = tmp_path / f"{number}.safetensors"
        make(number).save(path)
        read.append(weakref.ref(models.load(path)))
    gc.collect()
    assert [one() is not None for one in read] == [False, True, True]


def test_lists_keep_no_vocabularies(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    make().save(path)
    facts = facts_of(path)
    assert facts is not None
    assert not any("Vocabulary" in type(value).__name__ for value in vars(facts).values())
    header = header_of(path)
    assert header is not None
    assert header.source_vocabulary is header.target_vocabulary  # equal ones are shared


# --- vocabularies of state dicts ----------------------------------------------------------------


def many_tokens(count: int) -> bytes:
    return json.dumps([f"{n:x}" for n in range(count)]).encode()


def test_a_huge_vocabulary_is_refused_with_no_memory_of_the_server() -> None:
    content = many_tokens(1_000_000)  # 10 MB, and 150 MB once read
    with (
        little_memory(30 * MEGABYTE),
        pytest.raises(VocabularyError, match="1,000,000 tokens, but the embedding has 20 rows"),
    ):
        read_in_own_process(content, "huge.json", 20)


def test_a_large_vocabulary_is_read_apart_as_it_is_here(monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["<pad>", "<s>", "</s>", "<unk>", "größer", "😀", *map(str, range(40_000))]
    for plain in (words, {"source": words, "target": words[:-1]}):
        content = json.dumps(plain).encode()
        assert len(content) > large_vocabularies.SMALL_BYTES
        found = read_in_own_process(content, "a.json", 50_000)
        assert found == read_vocabularies(content, "a.json")
    monkeypatch.setattr(header_check, "SECONDS", 0)
    monkeypatch.setattr(header_check, "EXTRA_WALL_SECONDS", 0.01)
    with pytest.raises(VocabularyError, match="takes too long or too much memory"):
        read_in_own_process(content, "a.json", 50_000)


# --- models whose output does not end -----------------------------------------------------------


def test_a_model_that_was_brought_writes_a_little_and_no_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("pages.components.checkpoints.upload.MOST_TOKENS", 1)
    app = open_page("checkpoints")
    content = make().to_bytes()
    app.file_uploader(key="upload 0").upload("endless.safetensors", content, "").run()
    said = app.success[0].value
    assert "is here and chosen" in said
    assert re.search("writes `.…`", said), said
