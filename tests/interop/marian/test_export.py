"""MarianMT models written: Hugging Face's own `transformers` reads them back."""

from functools import partial
from pathlib import Path

import pytest
import torch

from tests.support.marian_models import ODD, TEXTS, largest_difference, load_marian, sentences
from transformer import Checkpoint, Transformer, TransformerConfig, decode, greedy
from transformer.__main__ import main
from transformer.config import DataConfig
from transformer.errors import CheckpointError
from transformer.interop.marian.convert import import_marian
from transformer.interop.marian.export import export_marian
from transformer.vocabulary import Vocabulary


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
