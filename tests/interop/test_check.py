"""A state dict compared with its model's logits: settings it lacks are found, not guessed."""

import dataclasses
import io
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from tests.support.torch_imports import build
from tests.support.tutorials import Shape
from transformer.__main__ import main
from transformer.checkpoint import Checkpoint
from transformer.checkpoint.verification import verify
from transformer.errors import CheckpointError
from transformer.interop.foreign_vocabulary import Sides, numbered
from transformer.interop.nn_transformer.check import SNIPPET, import_checked, proven, read_pairs
from transformer.interop.nn_transformer.convert import convert, survey

SMALL = Shape(d_model=8, encoder_layers=1, d_ff=8)
ASKED = dataclasses.replace(SMALL, num_heads=4, norm_first=True, activation="gelu")


def good() -> Any:
    """A small module that can be imported, and its state dict."""
    module = build("translation", SMALL)
    return module, dict(module.state_dict())


def pairs_of(module: Any) -> dict[str, torch.Tensor]:
    source, target = torch.randint(4, 19, (3, 9)), torch.randint(4, 19, (3, 6))
    source[1, 6:], target[1, 4:] = module.special.pad, module.special.pad
    with torch.no_grad():
        logits = module.logits(source, target)
    return {"source": source.double(), "target": target.double(), "logits": logits.double()}


def saved(plain: dict[str, torch.Tensor], folder: Path) -> Path:
    """The path of the pairs as .safetensors: reading a pickle starts a process (two tests do)."""
    save_file({name: one.contiguous() for name, one in plain.items()}, folder / "pairs.safetensors")
    return folder / "pairs.safetensors"


def sides_of(module: Any) -> Sides:
    return numbered(23, module.special), numbered(19, module.special)


def test_what_shapes_do_not_tell_is_found(tmp_path: Path) -> None:
    """Four heads, pre-norm and gelu, from tensors of shape [position, sentence, ...]."""
    module = build("translation", ASKED)
    plain = {name: part.transpose(0, 1).contiguous() for name, part in pairs_of(module).items()}
    tensors = dict(module.state_dict())
    pairs = read_pairs(saved(plain, tmp_path))
    found = proven(tensors, survey(tensors).guesses, sides_of(module), pairs)
    choices = found.choices
    assert (choices.num_heads, choices.norm_first, choices.activation) == (4, True, "gelu")
    assert (choices.positions, choices.scale_embeddings) == ("interleaved", True)
    assert found.largest_difference < 1e-5


def test_an_unscaled_embedding_is_found(tmp_path: Path) -> None:
    """Without pairs, an import silently guesses this setting wrong."""
    module = build("translation", SMALL)
    for embedding in (module.src_tok_emb, module.tgt_tok_emb):
        embedding.emb_size = 1
    tensors = dict(module.state_dict())
    guesses = survey(tensors).guesses
    pairs = read_pairs(saved(pairs_of(module), tmp_path))
    found = proven(tensors, dataclasses.replace(guesses, num_heads=2), sides_of(module), pairs)
    assert not found.choices.scale_embeddings


def test_a_model_that_does_something_else_is_refused(tmp_path: Path) -> None:
    module, tensors = good()
    plain = pairs_of(module)
    plain["logits"] = plain["logits"] * 1.5
    pairs = read_pairs(saved(plain, tmp_path))
    with pytest.raises(CheckpointError, match=r"the nearest is .* Watch it at work"):
        proven(tensors, survey(tensors).guesses, sides_of(module), pairs)


def test_only_one_that_was_compared_is_without_a_mark(tmp_path: Path) -> None:
    module, tensors = good()
    guesses, sides = survey(tensors).guesses, sides_of(module)
    without = convert(tensors, guesses, sides).to_bytes()
    assert not Checkpoint.load(without).header.compared
    assert any("not compared with its original" in check.detail for check in verify(without))
    pairs = read_pairs(saved(pairs_of(module), tmp_path))
    compared = import_checked(tensors, guesses, sides, pairs, "From elsewhere.").to_bytes()
    header = Checkpoint.load(compared).header
    assert header.compared
    assert "Compared with its own logits on 3 sentences" in header.notes
    assert not any(check.name == "original" for check in verify(compared))


def test_the_command_compares_and_the_three_lines_run(tmp_path: Path, capsys: Any) -> None:
    module = build("translation", ASKED)
    plain = pairs_of(module)
    loader = [(plain["source"].long(), plain["target"].long())]

    class Called(torch.nn.Module):
        def forward(self, *ids: torch.Tensor) -> Any:
            return module.logits(*ids)

    code = SNIPPET.replace('"pairs.pt"', "file")
    exec(code, {"loader": loader, "model": Called(), "torch": torch, "file": tmp_path / "pairs.pt"})
    save_file(dict(module.state_dict()), tmp_path / "model.safetensors")
    command = ["import", str(tmp_path / "model.safetensors"), str(tmp_path / "out.safetensors")]
    command += ["--special", "pad=1,bos=2,eos=3,unk=0", "--check", str(tmp_path / "pairs.pt")]
    assert main(command) == 0
    assert Checkpoint.load(tmp_path / "out.safetensors").config.num_heads == 4
    assert "Compared with its own logits" in capsys.readouterr().err


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "no logits": ({"logits": None}, "must be a file with source, target and logits"),
    "halves of ids": ({"source": torch.full((3, 9), 0.5)}, "ids from 0 on"),
    "ids below 0": ({"target": -torch.ones(3, 6)}, "ids from 0 on"),
    "another batch": ({"source": torch.ones(2, 9)}, "not of the same sentences"),
    "logits of others": ({"logits": torch.ones(3, 7, 19)}, "expected \\[batch, target"),
    "NaN": ({"logits": torch.full((3, 6, 19), torch.nan)}, "NaN or infinity"),
    "one axis": ({"source": torch.ones(27)}, "of shape \\[batch, length\\]"),
}


@pytest.mark.parametrize("name", WRONG)
def test_malformed_pairs_are_refused(name: str, tmp_path: Path) -> None:
    module, _ = good()
    changes, said = WRONG[name]
    plain = {k: v for k, v in (pairs_of(module) | changes).items() if v is not None}
    with pytest.raises(CheckpointError, match=said):
        read_pairs(saved(plain, tmp_path))


def test_pairs_with_ids_of_no_token_are_refused(tmp_path: Path) -> None:
    module, tensors = good()
    plain = pairs_of(module)
    plain["source"][0, 0] = 1e6
    pairs = read_pairs(saved(plain, tmp_path))
    with pytest.raises(CheckpointError, match="vocabularies do not have"):
        proven(tensors, survey(tensors).guesses, sides_of(module), pairs)


def test_a_pickle_runs_nothing(tmp_path: Path) -> None:
    class Runs:
        def __reduce__(self) -> Any:
            return (exec, (f"open({str(tmp_path / 'canary')!r}, 'w')",))

    buffer = io.BytesIO()
    torch.save({"source": Runs()}, buffer)
    (tmp_path / "pairs.pt").write_bytes(buffer.getvalue())
    with pytest.raises(CheckpointError):
        read_pairs(tmp_path / "pairs.pt")
    assert not (tmp_path / "canary").exists()
