"""MarianMT models read: the oracle is Hugging Face's own `transformers`."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.anatomy.test_anatomy import assert_all_box_values
from tests.support.marian_models import (
    ODD,
    SIZES,
    TEXTS,
    batch,
    largest_difference,
    load_marian,
    make_marian,
    sentences,
)
from transformer import Beam, Checkpoint, Greedy, decode
from transformer.decoding.steps import Strategy
from transformer.errors import CheckpointError
from transformer.interop.marian.convert import import_marian
from transformer.interop.marian.export import export_marian

LONGEST = 30


def check_written(folder: Path, checkpoint: Checkpoint, beam: int) -> set[int]:
    """All texts come out token by token as ``generate`` writes them; the lengths there were."""
    model, _ = load_marian(folder)
    config = checkpoint.config
    source = batch(checkpoint, TEXTS[:40])
    strategy: Strategy = Greedy(max_length=LONGEST, force_end=config.forces_end)
    if beam > 1:
        strategy = Beam(
            beam, alpha=1.0, penalty="length", max_length=LONGEST, force_end=config.forces_end
        )
    theirs = model.generate(
        input_ids=source,
        attention_mask=(source != config.pad_id).long(),
        num_beams=beam,
        do_sample=False,
        max_length=LONGEST + 1,  # it counts the start token
    )
    lengths = set()
    for row, ours in zip(
        theirs[:, 1:].tolist(), decode(checkpoint.model, source, strategy), strict=True
    ):
        if config.eos_id in row:
            row = row[: row.index(config.eos_id) + 1]
        assert list(ours.tokens) == row
        lengths.add(len(row))
    return lengths


def test_logits_are_equal(folder: Path) -> None:
    assert largest_difference(folder, import_marian(folder)) < 1e-4


@pytest.mark.parametrize("beam", [1, 4])
def test_outputs_are_equal_token_by_token(folder: Path, beam: int) -> None:
    lengths = check_written(folder, import_marian(folder), beam)
    assert len(lengths) > 3, "outputs of one length prove little of how searches end"


def test_texts_are_cut_as_its_tokenizer_cuts_them(folder: Path) -> None:
    vocabulary = import_marian(folder).source_vocabulary
    _, tokenizer = load_marian(folder)
    for text in [*TEXTS, *ODD]:
        assert [*vocabulary.encode(text), 0] == tokenizer(text).input_ids, text
        back = tokenizer.decode(vocabulary.encode(text), skip_special_tokens=True)
        if not vocabulary.unknown(text) and ">>" not in text:
            assert vocabulary.decode(vocabulary.encode(text)) == back.strip()
    assert vocabulary.encode_all(ODD) == [vocabulary.encode(text) for text in ODD]


def test_what_is_unknown_is_named_and_not_refused(folders: dict[str, Path]) -> None:
    vocabulary = import_marian(folders["small"]).source_vocabulary
    assert vocabulary.unknown("tea日本 to 🙂") == ["日本", "🙂"]
    assert vocabulary.special.unk in vocabulary.encode("tea日本")
    assert vocabulary.unknown(TEXTS[0]) == []


def test_special_tokens_typed_by_a_person_are_text(folders: dict[str, Path]) -> None:
    vocabulary = import_marian(folders["small"]).source_vocabulary
    for name in ("</s>", "<pad>"):
        ids = vocabulary.encode(f"tea {name} tea")
        assert not {vocabulary.special.eos, vocabulary.special.pad} & set(ids)


def test_the_file_of_ours_says_the_same(folder: Path, tmp_path: Path) -> None:
    checkpoint = import_marian(folder)
    checkpoint.save(tmp_path / "own.safetensors")
    again = Checkpoint.load(tmp_path / "own.safetensors")
    assert again.source_vocabulary == checkpoint.source_vocabulary
    assert again.config == checkpoint.config
    assert largest_difference(folder, again) < 1e-4
    for text in [*TEXTS[:10], *ODD[1:]]:
        assert torch.equal(again.encode(text), checkpoint.encode(text))


def test_old_weights_and_a_zip_are_read_too(folders: dict[str, Path], tmp_path: Path) -> None:
    """Most models on the hub have a pickle, in which the sinusoids and copies of tables lie too."""
    shutil.copytree(folders["medium"], tmp_path / "old")
    (tmp_path / "old" / "model.safetensors").unlink()
    model, _ = load_marian(folders["medium"])
    torch.save(model.state_dict(), tmp_path / "old" / "pytorch_model.bin")
    path = shutil.make_archive(str(tmp_path / "old"), "zip", tmp_path, "old")
    assert largest_difference(folders["medium"], import_marian(Path(path))) < 1e-4


TABLES = [
    {"tie_word_embeddings": False},
    {"separate": True},
    {"separate": True, "tie_word_embeddings": False},
]


@pytest.mark.parametrize("tables", TABLES)
def test_separate_tables(tables: dict[str, bool], tmp_path: Path) -> None:
    make_marian(tmp_path / "model", **{**SIZES["small"], **tables})  # type: ignore[arg-type]
    checkpoint = import_marian(tmp_path / "model")
    assert largest_difference(tmp_path / "model", checkpoint) < 1e-4
    export_marian(checkpoint, tmp_path / "again")
    assert largest_difference(tmp_path / "again", checkpoint) < 1e-4


def edited(folder: Path, target: Path, file: str, **changes: object) -> Path:
    shutil.copytree(folder, target)
    plain = json.loads((target / file).read_text("utf-8"))
    (target / file).write_text(json.dumps(plain | changes), "utf-8")
    return target


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"decoder_attention_heads": 1}, "decoder_attention_heads"),
        ({"decoder_ffn_dim": 64}, "decoder_ffn_dim"),
        ({"activation_function": "tanh"}, "tanh"),
        ({"model_type": "bart"}, "bart"),
        ({"vocab_size": 7}, "vocab_size"),
        ({"pad_token_id": 5}, "pad_token"),
        ({"eos_token_id": [0, 1]}, "eos_token_id"),
        ({"encoder_layers": 3}, "lack"),
        ({"encoder_layers": 10**9}, "encoder_layers|num_encoder_layers"),
        ({"d_model": "wide"}, "d_model"),
        ({"d_model": 64}, "shape"),
        ({"max_position_embeddings": 10**7}, "max_length"),
        ({"scale_embedding": "yes"}, "scale_embedding"),
    ],
)
def test_settings_that_cannot_be_are_refused(
    folders: dict[str, Path], tmp_path: Path, changes: dict[str, object], named: str
) -> None:
    with pytest.raises(CheckpointError, match=named):
        import_marian(edited(folders["small"], tmp_path / "x", "config.json", **changes))


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"no_repeat_ngram_size": 3}, "no_repeat_ngram_size"),
        ({"bad_words_ids": [[3]]}, "bad_words_ids"),
        ({"forced_eos_token_id": 3}, "forced_eos_token_id"),
        ({"num_beams": 10**6}, "beams"),
        ({"max_length": "long"}, "max_length"),
        ({"early_stopping": 7}, "early_stopping"),
    ],
)
def test_searches_that_are_not_here_are_refused(
    folders: dict[str, Path], tmp_path: Path, changes: dict[str, object], named: str
) -> None:
    with pytest.raises(CheckpointError, match=named):
        import_marian(edited(folders["small"], tmp_path / "x", "generation_config.json", **changes))


@pytest.mark.parametrize(
    "setting",
    ["static_position_embeddings", "normalize_before", "add_final_layer_norm", "add_bias_logits"],
)
def test_settings_that_change_no_logit_are_ignored(
    folders: dict[str, Path], tmp_path: Path, setting: str
) -> None:
    """`transformers` has the same model for either value, which this measures."""
    for value in (True, False):
        folder = edited(folders["small"], tmp_path / str(value), "config.json", **{setting: value})
        assert largest_difference(folder, import_marian(folder)) < 1e-4


@pytest.mark.parametrize("name", ["config.json", "vocab.json", "source.spm", "model.safetensors"])
def test_what_is_missing_is_named(folders: dict[str, Path], tmp_path: Path, name: str) -> None:
    shutil.copytree(folders["small"], tmp_path / "x")
    (tmp_path / "x" / name).unlink()
    with pytest.raises(CheckpointError, match=name):
        import_marian(tmp_path / "x")


@pytest.mark.parametrize(
    "content",
    ['{"a": 0, "a": 1}', '{"a": 0}', '{"a": "b"}', "[1]", "{", '{"</s>": 0, "<unk>": 2}', ""],
)
def test_a_vocabulary_that_is_wrong_is_refused(
    folders: dict[str, Path], tmp_path: Path, content: str
) -> None:
    shutil.copytree(folders["small"], tmp_path / "x")
    (tmp_path / "x" / "vocab.json").write_text(content)
    with pytest.raises(CheckpointError):
        import_marian(tmp_path / "x")


def test_a_name_on_the_hub_without_a_network_is_one_sentence(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "transformer"]
    done = subprocess.run(
        [*words, "import", "Helsinki-NLP/opus-mt-en-de", "out.safetensors"],
        env={**os.environ, "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(Path.cwd())},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("error: Helsinki-NLP/opus-mt-en-de could not be fetched")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("config", "said"), [({"model_type": "bart"}, "type 'bart'"), ({"hidden": 3}, "no model_type")]
)
def test_the_folder_of_another_model_is_not_said_to_lack_files(
    tmp_path: Path, config: dict[str, object], said: str
) -> None:
    (tmp_path / "config.json").write_text(json.dumps(config), "utf-8")
    with pytest.raises(CheckpointError, match=said) as caught:
        import_marian(tmp_path)
    assert "capture.py" in str(caught.value)


def test_the_anatomy_shows_what_passed_an_imported_models_hook_points(
    folders: dict[str, Path],
) -> None:
    assert_all_box_values(import_marian(folders["small"]), sentences(1, 1)[0], step=2)
