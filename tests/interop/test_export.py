"""Export as a plain state dict: the generated loader rebuilds the model, and it can be imported."""

import importlib.util
import json
import subprocess
import sys
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.support.checkpoint_files import make
from tests.support.places import bundled_file
from tests.support.random_models import SWITCHED, small_config
from transformer.__main__ import main
from transformer.checkpoint import Checkpoint
from transformer.config import DataConfig
from transformer.errors import CheckpointError, UserError
from transformer.faults import plant
from transformer.interop.foreign_vocabulary import read_vocabularies
from transformer.interop.marian.export import export_marian
from transformer.interop.nn_transformer.convert import converted, survey
from transformer.interop.nn_transformer.export import export_state_dict, loader
from transformer.model import Transformer
from transformer.vocabulary import Vocabulary

KINDS: dict[str, dict[str, Any]] = {
    "small": {},
    "paper": {"norm_first": False, "final_norm": False, "d_ff": 20, "num_decoder_layers": 3},
    "untied": {"tie_embeddings": False, "output_bias": True, "activation": "gelu"},
    "shared": {"share_embeddings": True, "position_layout": "halves", "dropout": 0.3},
    "swish": {"activation": "swish", "scale_embeddings": False, "layer_norm_eps": 1e-3},
    "learned": {"position_layout": "learned", "source_frame": "bos-eos", "final_norm": False},
}
SOURCE = torch.tensor([[4, 5, 6, 7, 8, 2], [9, 4, 2, 0, 0, 0]])
TARGET = torch.tensor([[1, 4, 5, 6], [1, 9, 9, 3]])


def logits(model: torch.nn.Module) -> torch.Tensor:
    """The logits in float64, where rounding hides no difference."""
    with torch.no_grad():
        return deepcopy(model).double()(SOURCE, TARGET)


def load(path: Path) -> torch.nn.Module:
    """The module that a generated loader makes."""
    found = importlib.util.spec_from_file_location("generated", path)
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module.load()


@pytest.mark.parametrize("ending", [".pt", ".safetensors"])
@pytest.mark.parametrize("kind", [*KINDS, "a final norm of the encoder alone"])
def test_the_loader_rebuilds_the_model(kind: str, ending: str, tmp_path: Path) -> None:
    checkpoint = make(**(KINDS | SWITCHED)[kind])
    state, model, _ = export_state_dict(checkpoint, tmp_path / f"my model{ending}")
    assert state.suffix == ending
    assert len(model.read_text().splitlines()) <= 20
    rebuilt = load(model)
    expected = logits(checkpoint.model)
    assert expected.std() > 0.1
    assert (logits(rebuilt) - expected).abs().max() < 1e-10
    # Tied where ours is, so that training it further keeps it so.
    tied = len({id(p) for p in rebuilt.parameters()})
    names = {name for name, _ in rebuilt.named_parameters(remove_duplicate=False)}
    config = checkpoint.config
    assert len(names) - tied == config.tie_embeddings + config.share_embeddings


def test_in_a_fresh_process_far_from_here(tmp_path: Path) -> None:
    """The export needs neither our code nor this folder."""
    checkpoint = make(norm_first=False)
    export_state_dict(checkpoint, tmp_path / "small.pt")
    torch.save({"source": SOURCE, "target": TARGET}, tmp_path / "ids.pt")
    code = (
        "import sys, torch, small_model\n"
        "ids = torch.load('ids.pt')\n"
        "model = small_model.load().double()\n"
        "torch.save(model(ids['source'], ids['target']), 'logits.pt')\n"
        "assert 'transformer' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, timeout=120)
    found = torch.load(tmp_path / "logits.pt", weights_only=True)
    assert (found - logits(checkpoint.model)).abs().max() < 1e-10


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_exported_is_imported_again(kind: str, tmp_path: Path) -> None:
    checkpoint = make(**KINDS[kind])
    state, _, vocabulary = export_state_dict(checkpoint, tmp_path / "small.pt")
    tensors = torch.load(state, weights_only=True)
    found = survey(tensors)
    assert {row.sure for row in found.rows} <= {"sure", "likely"}
    sides = read_vocabularies(vocabulary.read_bytes(), vocabulary.name)
    config = checkpoint.config
    choices = found.guesses.__class__(
        num_heads=config.num_heads,
        norm_first=config.norm_first,
        activation=config.activation,
        scale_embeddings=config.scale_embeddings,
        positions=found.guesses.positions,
        source_frame=config.source_frame,
        max_length=found.guesses.max_length,
        layer_norm_eps=config.layer_norm_eps,
        roles=found.guesses.roles,
    )
    made = converted(tensors, choices, sides)
    assert made.config == config.replace(dropout=0.0)
    assert made.source.vocabulary == checkpoint.source_vocabulary
    assert made.target.vocabulary == checkpoint.target_vocabulary
    assert made.tensors.keys() == checkpoint.tensors.keys()
    for name, tensor in checkpoint.tensors.items():
        assert torch.equal(made.tensors[name], tensor), name


def test_byte_pairs_survive(tmp_path: Path) -> None:
    texts = ["the cat sat on the mat", "a cat and a mat"] * 4
    words = Vocabulary.build("bpe", texts, 60)
    config = small_config(words, d_model=8, d_ff=8, max_length=32)
    data = DataConfig(task="pairs")
    checkpoint = Checkpoint.of(Transformer(config), words, words, data, None, [])
    _, _, vocabulary = export_state_dict(checkpoint, tmp_path / "small.pt")
    source, target = read_vocabularies(vocabulary.read_bytes(), vocabulary.name)
    assert (source.kind, source.merges, source.tokens) == ("bpe", words.merges, words.tokens)
    assert source == target


def test_no_name_can_break_out_of_the_loader() -> None:
    config = make().config
    for name in ('a"""\nimport os', "a'); import os; ('", "a\\", "\x00\n", "ü.pt"):
        text = loader(config, name, name)
        compile(text, "loader", "exec")
        assert "\nimport os" not in text
        assert len(text.splitlines()) <= 20


def test_other_endings_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"must end in \.pt"):
        export_state_dict(make(), tmp_path / "small.onnx")
    assert not list(tmp_path.iterdir())


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    checkpoint, out = str(bundled_file("reverse")), str(tmp_path / "r.pt")
    assert main(["export", checkpoint, out, "--format", "state-dict", "--json"]) == 0
    files = json.loads(capsys.readouterr().out)["files"]
    assert [Path(name).name for name in files] == ["r.pt", "r_model.py", "r_vocabulary.json"]
    assert main(["export", checkpoint, str(tmp_path / "r.onnx"), "--format", "state-dict"]) == 1
    assert "must end in" in capsys.readouterr().err
    assert (
        main(["export", checkpoint, str(tmp_path / "no" / "r.pt"), "--format", "state-dict"]) == 1
    )
    assert "cannot be written" in capsys.readouterr().err


@pytest.mark.parametrize(
    "name",
    ["a norm after the embeddings", "a decoder with another d_ff", "heads wider than the model"],
)
def test_what_pytorch_s_module_cannot_have_is_refused(name: str, tmp_path: Path) -> None:
    checkpoint = make(1, **SWITCHED[name])
    with pytest.raises(CheckpointError, match=next(iter(SWITCHED[name]))):
        export_state_dict(checkpoint, tmp_path / "out.pt")


@pytest.mark.parametrize("fault", ["no-residual", "wrong-start-token"])
def test_a_planted_fault_is_not_exported(fault: str, tmp_path: Path) -> None:
    """PyTorch's module would lack the fault, without any sign of it."""
    checkpoint = make(1)
    plant(checkpoint.model, fault)
    for export in (export_state_dict, export_marian):
        with pytest.raises(CheckpointError, match="planted on purpose"):
            export(checkpoint, tmp_path / "out.pt")
    assert not list(tmp_path.iterdir())
