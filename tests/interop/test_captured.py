"""A capture imported as a checkpoint: logits equal to the original's, or refused with the place."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.support.own_models import SOURCE, TARGET, own
from transformer.__main__ import main
from transformer.checkpoint import Checkpoint
from transformer.checkpoint.verification import verify
from transformer.doctor.capture import capture
from transformer.errors import CheckpointError, VocabularyError
from transformer.interop import formats
from transformer.interop.captured.convert import import_capture

EQUAL: dict[str, dict[str, Any]] = {
    "fused, flattened": {"qkv": "fused", "attend": "sdpa", "call": "flat"},
    "raw parameters": {"qkv": "einsum", "embed": "raw", "norm": "by hand"},
    "pre-norm, log-probabilities": {"order": "pre", "final": True, "call": "log"},
    "learned positions": {"positions": "learned", "act": "gelu"},
    "unbiased norms, ε outside": {"norm": "annotated"},
    "not divided by √d_k": {"bug": "no scale"},
    "no W^O": {"bug": "no W^O"},
    "another base of the sines": {"bug": "base"},
    "embeddings as they are": {"bug": "no root"},
}


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[pytest.mark.long] * (n % 3)) for n, name in enumerate(EQUAL)],
)
def test_an_imported_model_gives_the_original_s_logits(name: str) -> None:
    model = own(**EQUAL[name])
    checkpoint = import_capture(capture(model))
    source = torch.tensor([[9, 5, 30, 7, 12, 6], [4, 8, 11, 0, 0, 0]])
    target = torch.tensor([[1, 9, 36, 5], [1, 7, 7, 10]])
    with torch.no_grad():
        out = model.eval()(source, target)
        theirs = (out[0] if isinstance(out, tuple) else out).reshape(2, 4, TARGET).double()
        # Numbered vocabularies get an <unk> as id 3, so ours are one higher from there on.
        ours = checkpoint.model.double()(source + (source > 2), target + (target > 2))
    ours = ours[..., [n for n in range(TARGET + 1) if n != 3]]
    away = theirs.log_softmax(-1) - ours.log_softmax(-1)
    assert float(away.abs().max()) < 1e-5
    assert all(check.ok for check in verify(checkpoint.to_bytes()))


@pytest.mark.parametrize(
    ("bug", "said"),
    [("axis", "The softmax runs over the queries: at encoder self-attention, softmax (own_models"),
     ("no residual", "The residual connection is missing"), ("no mask", "no causal mask"),
     ("norm inside", "Something is computed differently")],
)  # fmt: skip
def test_what_computes_something_else_is_refused_with_its_place(bug: str, said: str) -> None:
    with pytest.raises(CheckpointError) as refused:
        import_capture(capture(own(bug=bug)))
    assert said in str(refused.value)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("captured") / "mine.safetensors"
    capture(own(), path)
    return path


def test_a_capture_is_told_from_a_checkpoint_and_from_a_state_dict(file: Path) -> None:
    assert formats.recognise(file).name == "capture"


def test_the_command_takes_a_capture_with_a_vocabulary(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    special = ["<pad>", "<bos>", "<eos>"]
    sides = {
        "source": [*special, *(f"s{n}" for n in range(SOURCE - 3))],
        "target": [*special, *(f"t{n}" for n in range(TARGET - 3))],
    }
    words, out = tmp_path / "words.json", tmp_path / "out.safetensors"
    words.write_text(json.dumps(sides))
    given = ["--vocabulary", str(words), "--source-frame", "none", "--json"]
    assert main(["import", str(file), str(out), *given]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["config"]["source_frame"] == "none"
    checkpoint = Checkpoint.load(out)
    assert checkpoint.source_vocabulary.tokens[4:7] == ("s0", "s1", "s2")
    assert checkpoint.answers(["s3 s1"])[0].output.startswith("t")
    assert "7 probes" in checkpoint.header.origin
    words.write_text(json.dumps(special))
    assert main(["import", str(file), str(out), "--vocabulary", str(words)]) == 1
    assert "source vocabulary has 3 tokens" in capsys.readouterr().err


def test_ids_stand_for_tokens_and_a_person_says_which_are_special(file: Path) -> None:
    from transformer.interop.captured.convert import Details

    checkpoint = import_capture(file)
    assert checkpoint.source_vocabulary.tokens[4:6] == ("3", "4")
    assert "pad 0, bos 1, eos 2" in checkpoint.header.notes
    other = import_capture(file, Details(special=({}, {"eos": 5})))
    assert "5" not in other.target_vocabulary.tokens
    with pytest.raises(VocabularyError, match="eos is 99"):
        import_capture(file, Details(special=({}, {"eos": 99})))
