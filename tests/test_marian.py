"""MarianMT models in and out: the oracle is Hugging Face's own `transformers`."""

import json
import os
import random
import shutil
import subprocess
import sys
import warnings
from functools import partial
from pathlib import Path

import pytest
import sentencepiece
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.marian_models import load_marian, make_marian, sentences, train_pieces
from transformer import Checkpoint, Transformer, TransformerConfig, beam_search, decode, greedy
from transformer.__main__ import main
from transformer.config import DataConfig
from transformer.decoding import Strategy, pad
from transformer.errors import CheckpointError
from transformer.interop.marian import import_marian
from transformer.interop.marian_export import export_marian
from transformer.interop.sentencepiece_model import read_piece_model, write_piece_model
from transformer.vocabulary import Vocabulary

warnings.filterwarnings("ignore", message="Recommended: pip install sacremoses")

SIZES: dict[str, dict[str, object]] = {
    "small": {
        "d_model": 32,
        "encoder_layers": 1,
        "decoder_layers": 1,
        "encoder_attention_heads": 2,
        "decoder_attention_heads": 2,
        "encoder_ffn_dim": 48,
        "decoder_ffn_dim": 48,
        "max_position_embeddings": 64,
        "init_std": 0.4,
        "activation_function": "relu",
        "ends": 2.0,
    },
    "medium": {
        "d_model": 64,
        "encoder_layers": 2,
        "decoder_layers": 3,
        "encoder_attention_heads": 4,
        "decoder_attention_heads": 4,
        "encoder_ffn_dim": 128,
        "decoder_ffn_dim": 128,
        "max_position_embeddings": 128,
        "scale_embedding": True,
        "init_std": 0.2,
        "pieces": 500,
        "ends": 3.5,
        "generation": {"bad_words_ids": [], "num_beams": 6, "max_length": 100},
    },
    "large": {
        "d_model": 128,
        "encoder_layers": 3,
        "decoder_layers": 2,
        "encoder_attention_heads": 8,
        "decoder_attention_heads": 8,
        "encoder_ffn_dim": 256,
        "decoder_ffn_dim": 256,
        "max_position_embeddings": 128,
        "scale_embedding": True,
        "init_std": 0.15,
        "activation_function": "gelu",
        "pieces": 700,
        "algorithm": "bpe",
        "ends": 6.0,
        "generation": {
            "bad_words_ids": [],
            "renormalize_logits": True,
            "early_stopping": True,
            "num_beams": 4,
        },
    },
}
TEXTS = sentences(100, seed=9)
LONGEST = 30


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("marian")
    for number, (size, wanted) in enumerate(SIZES.items()):
        make_marian(root / size, seed=number, **wanted)  # type: ignore[arg-type]
    return {size: root / size for size in SIZES}


@pytest.fixture(params=SIZES)
def folder(request: pytest.FixtureRequest, folders: dict[str, Path]) -> Path:
    return folders[request.param]


def batch(checkpoint: Checkpoint, texts: list[str]) -> torch.Tensor:
    return pad([checkpoint.encode(text)[0].tolist() for text in texts], checkpoint.config.pad_id)


def largest_difference(folder: Path, checkpoint: Checkpoint) -> float:
    """Of a logit, over all texts in batches, on targets of random tokens."""
    model, _ = load_marian(folder)
    config, worst = checkpoint.config, 0.0
    generator = torch.Generator().manual_seed(0)
    for start in range(0, len(TEXTS), 25):
        source = batch(checkpoint, TEXTS[start : start + 25])
        read = torch.randint(config.target_vocab_size, (len(source), 12), generator=generator)
        read[:, 0] = config.decoder_start_id
        with torch.inference_mode():
            theirs = model(
                input_ids=source,
                attention_mask=(source != config.pad_id).long(),
                decoder_input_ids=read,
            ).logits
            worst = max(worst, (theirs - checkpoint.model(source, read)).abs().max().item())
    return worst


def check_written(folder: Path, checkpoint: Checkpoint, beam: int) -> set[int]:
    """All texts come out token by token as ``generate`` writes them; the lengths there were."""
    model, _ = load_marian(folder)
    config = checkpoint.config
    source = batch(checkpoint, TEXTS)
    strategy: Strategy = partial(greedy, max_length=LONGEST, force_end=config.forces_end)
    if beam > 1:
        strategy = partial(
            beam_search,
            beam_size=beam,
            alpha=1.0,
            penalty="length",
            max_length=LONGEST,
            force_end=config.forces_end,
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


# --- in ----------------------------------------------------------------------------------------


def test_logits_are_equal(folder: Path) -> None:
    assert largest_difference(folder, import_marian(folder)) < 1e-4


@pytest.mark.parametrize("beam", [1, 4])
def test_outputs_are_equal_token_by_token(folder: Path, beam: int) -> None:
    lengths = check_written(folder, import_marian(folder), beam)
    assert len(lengths) > 3, "outputs of one length prove little of how searches end"


ODD = [
    "", "  two  spaces ", "日本", "na日本 ta", "“tea” – ﬁ ① ㌔", "e\u0301 か\u3099", ">>fra<< tea",
    ">>a b<< tea", "tea >>fra<<", "\u00a0tea\u2003", "tea\ttea\n", "🙂", "▁tea", "TEA", "tea\u0000",
]  # fmt: skip


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


# --- SentencePiece ------------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", ["unigram", "bpe"])
def test_pieces_are_those_of_sentencepiece(tmp_path: Path, algorithm: str) -> None:
    train_pieces(tmp_path / "a.spm", sentences(3000, 1), 300, algorithm)
    content = (tmp_path / "a.spm").read_bytes()
    written = write_piece_model(read_piece_model(content, "a.spm"))
    marks = "etaoinsh EA.,!?’“…ﬁ①Ⅳ½㌔ \u00a0\u3000\t\n\u200b日本カ\u3099각\u1100\u1161"
    marks += "e\u0301🙂<>▁\u00ad"
    chance = random.Random(0)
    texts = ["".join(chance.choices(marks, k=chance.randint(0, 20))) for _ in range(3000)]
    for proto in (content, written):
        oracle = sentencepiece.SentencePieceProcessor(model_proto=proto)
        cut = read_piece_model(proto, "a.spm").cut(texts)
        for text, pieces in zip(texts, cut, strict=True):
            assert [piece for piece, _ in pieces] == oracle.encode(text, out_type=str), text


def test_damaged_models_of_pieces_are_refused_or_usable(folders: dict[str, Path]) -> None:
    content = (folders["small"] / "source.spm").read_bytes()
    chance = random.Random(0)
    refused = 0
    for _ in range(60):
        damaged = bytearray(content)
        for _ in range(chance.randint(1, 3)):
            # Half of them where the table of characters is not, which is most of the file.
            place = chance.randrange(len(damaged) if chance.random() < 0.5 else 4000)
            damaged[place] = chance.randrange(256)
        if chance.random() < 0.2:
            del damaged[chance.randrange(len(damaged)) :]
        try:
            model = read_piece_model(bytes(damaged), "damaged.spm")
        except CheckpointError:
            refused += 1
            continue
        model.cut(["tea to tea", "日本 ﬁ e\u0301"])
    assert refused > 10


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
def test_bytes_that_are_no_model_of_pieces(content: bytes) -> None:
    with pytest.raises(CheckpointError, match=r"x\.spm"):
        read_piece_model(content, "x.spm")


# --- out ----------------------------------------------------------------------------------------


def test_an_export_is_what_was_imported(folder: Path, tmp_path: Path) -> None:
    checkpoint = import_marian(folder)
    export_marian(checkpoint, tmp_path / "again")
    assert largest_difference(tmp_path / "again", checkpoint) < 1e-4
    _, tokenizer = load_marian(tmp_path / "again")
    for text in [*TEXTS, *ODD]:
        assert tokenizer(text).input_ids == [*checkpoint.source_vocabulary.encode(text), 0]
    again = import_marian(tmp_path / "again")
    assert again.config == checkpoint.config
    assert again.source_vocabulary == checkpoint.source_vocabulary
    assert again.target_vocabulary == checkpoint.target_vocabulary


def trained_here(kind: str, **settings: object) -> Checkpoint:
    texts = [text.lower() for text in sentences(200, 3)]
    source, target = (Vocabulary.build(kind, texts[side::2], 300) for side in range(2))
    torch.manual_seed(1)
    config = TransformerConfig(
        source_vocab_size=len(source),
        target_vocab_size=len(target),
        **{
            "d_model": 32,
            "num_heads": 4,
            "num_encoder_layers": 2,
            "num_decoder_layers": 2,
            "d_ff": 64,
            "max_length": 200,
            **settings,
        },  # type: ignore[arg-type]
    )
    model = Transformer(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    pairs = [(texts[0], texts[1]), (texts[2], texts[3])]
    return Checkpoint.of(model, source, target, DataConfig(task="imported"), None, pairs)


@pytest.mark.parametrize(
    ("kind", "layout", "tied"),
    [
        ("characters", "interleaved", True),
        ("words", "interleaved", False),
        ("words", "halves", True),
        ("bpe", "interleaved", True),
    ],
)
def test_what_is_trained_here_becomes_a_marian_model(
    kind: str, layout: str, tied: bool, tmp_path: Path
) -> None:
    checkpoint = trained_here(
        kind, position_layout=layout, tie_embeddings=tied, output_bias=not tied
    )
    export_marian(checkpoint, tmp_path / "out")
    model, tokenizer = load_marian(tmp_path / "out")
    config = checkpoint.config
    for text in [text.lower() for text in sentences(200, 3)][:12:2]:
        source = checkpoint.encode(text)
        assert tokenizer(text).input_ids == source[0].tolist()
        [ours] = decode(checkpoint.model, source, partial(greedy, max_length=20))
        read = torch.tensor([[config.decoder_start_id, *ours.tokens[:-1]]])
        with torch.inference_mode():
            theirs = model(input_ids=source, decoder_input_ids=read).logits
            assert (theirs - checkpoint.model(source, read)).abs().max() < 1e-4
        written = model.generate(input_ids=source, do_sample=False, num_beams=1, max_length=21)
        assert written[0, 1 : 1 + len(ours.tokens)].tolist() == list(ours.tokens)
    again = import_marian(tmp_path / "out")
    assert again.source_vocabulary.special == checkpoint.source_vocabulary.special
    assert largest_difference(tmp_path / "out", again) < 1e-4


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"norm_first": True, "final_norm": True}, "norm_first"),
        ({"final_norm": True}, "final_norm"),
        ({"layer_norm_eps": 1e-6}, "layer_norm_eps"),
    ],
)
def test_what_marian_cannot_hold_is_named(
    settings: dict[str, object], named: str, tmp_path: Path
) -> None:
    with pytest.raises(CheckpointError, match=named):
        export_marian(trained_here("characters", **settings), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_folder_that_holds_something_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(CheckpointError, match="not empty"):
        export_marian(trained_here("characters"), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


# --- command line -------------------------------------------------------------------------------


def test_import_and_export_by_the_command_line(
    folders: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own, again = tmp_path / "own.safetensors", tmp_path / "again"
    assert main(["import", str(folders["small"]), str(own)]) == 0
    assert main(["verify", str(own)]) == 0
    assert main(["export", str(own), str(again), "--format", "marian"]) == 0
    assert largest_difference(again, Checkpoint.load(own)) < 1e-4
    assert main(["import", str(tmp_path / "nowhere"), str(own)]) == 1
    assert "nowhere" in capsys.readouterr().err


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
