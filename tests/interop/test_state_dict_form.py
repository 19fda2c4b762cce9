"""Settings that a state dict does not hold: the form that asks for them, and the commands."""

import json
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from streamlit.testing.v1 import AppTest

from tests.support.tutorials import Seq2SeqTransformer, Shape, SharedEmbedding, randomised
from transformer.__main__ import main
from transformer.checkpoint import Checkpoint

FORM = """
from pathlib import Path
import streamlit as st
from pages.components.shell.frame import errors_shown
from pages.components.checkpoints.state_dict_form import state_dict_form

with errors_shown():
    checkpoint = state_dict_form(Path("model.safetensors"), "my model")
    if checkpoint is not None:
        checkpoint.save("imported.safetensors")
        st.success("Imported.")
"""


pytestmark = pytest.mark.usefixtures("own_folder")


def save(kind: type, shape: Shape | None = None, **more: torch.Tensor) -> Any:
    torch.manual_seed(0)
    module = randomised(kind(shape or Shape()))
    state = {**module.state_dict(), **more}
    torch.save(state, "model.pt")
    # A .safetensors file is opened without starting a process.
    safetensors.torch.save_file(state, "model.safetensors")
    return module


def open_form() -> AppTest:
    app = AppTest.from_string(FORM, default_timeout=60).run()
    assert not app.exception
    return app


def equal_logits(module: Any) -> None:
    checkpoint = Checkpoint.load(Path("imported.safetensors"))
    special = module.special
    theirs = [
        special.pad,
        special.bos,
        special.eos,
        special.unk,
        *(int(token) for token in checkpoint.target_vocabulary.tokens[4:]),
    ]
    source, target = torch.tensor([[1, 5, 9, 2]]), torch.tensor([[1, 7, 8]])
    with torch.no_grad():
        ours = checkpoint.model(source, target)
        expected = module.logits(
            torch.tensor([[theirs[i] for i in source[0]]]),
            torch.tensor([[theirs[i] for i in target[0]]]),
        )
    assert (ours - expected[..., theirs]).abs().max() < 1e-5


def box(app: AppTest, label: str) -> Any:
    return next(widget for widget in app.selectbox if widget.label == label)


def import_button(app: AppTest) -> Any:
    return next(button for button in app.button if button.label == "Import")


def test_the_form_imports_with_what_was_answered() -> None:
    module = save(Seq2SeqTransformer, Shape(num_heads=4, norm_first=True, activation="gelu"))
    app = open_form()
    assert "2 encoder and 1 decoder layers" in app.markdown[0].value
    assert any("default" in caption.value for caption in app.caption)
    assert not app.error
    box(app, "Heads in each layer").select(4)
    box(app, "Norms").select(True)
    box(app, "Activation").select("gelu").run()
    import_button(app).click().run()
    assert not app.exception
    assert [element.value for element in app.error] == []
    assert app.success[0].value == "Imported."
    equal_logits(module)
    origin = Checkpoint.load(Path("imported.safetensors")).header.origin
    assert origin == "Imported from my model, the state dict of a torch.nn.Transformer."


def test_a_wrong_answer_is_told_and_loses_nothing() -> None:
    module = save(SharedEmbedding, Shape(source_vocabulary=19), extra=torch.ones(5, 5))
    app = open_form()
    assert len(app.error) == 1  # for the unknown tensor
    assert "extra" in app.error[0].value
    box(app, "What extra is for").select("left out").run()
    assert not app.error
    box(app, "Heads in each layer").select(2)
    eos = next(field for field in app.number_input if field.label == "eos")
    assert eos.value == 2  # row 0 is zeros, so it is pad; bos and eos follow
    eos.set_value(0).run()
    import_button(app).click().run()
    assert "pad and eos are the same token" in app.error[0].value
    assert box(app, "Heads in each layer").value == 2
    assert box(app, "What extra is for").value == "left out"
    next(field for field in app.number_input if field.label == "eos").set_value(2).run()
    import_button(app).click().run()
    assert not app.error
    equal_logits(module)


def test_a_file_without_a_transformer_is_one_sentence() -> None:
    layer = torch.nn.TransformerEncoderLayer(8, 2, 8)
    state = torch.nn.TransformerEncoder(layer, 2).state_dict()
    safetensors.torch.save_file(state, "model.safetensors")
    app = open_form()
    assert "an encoder alone" in app.error[0].value
    assert not app.button


# --- The command ----------------------------------------------------------------------------


def test_the_command_says_what_it_guessed(capsys: pytest.CaptureFixture[str]) -> None:
    save(Seq2SeqTransformer)
    assert main(["import", "model.pt"]) == 0
    said = capsys.readouterr()
    assert said.out == ""
    for words in ("generator.weight [19, 16]: output projection (sure", "num_heads = 2 (guessed"):
        assert words in said.err


def test_the_command_imports(capsys: pytest.CaptureFixture[str]) -> None:
    module = save(Seq2SeqTransformer, Shape(num_heads=4, norm_first=True, activation="gelu"))
    words = (
        "import model.safetensors imported.safetensors --num-heads 4 --norm-first --activation gelu"
    )
    assert main([*words.split(), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["config"]["num_heads"] == 4
    equal_logits(module)


def test_the_command_takes_vocabularies_and_roles(capsys: pytest.CaptureFixture[str]) -> None:
    save(Seq2SeqTransformer, extra=torch.ones(5, 5))
    names = ["<unk>", "<pad>", "<bos>", "<eos>"]
    Path("de.json").write_text(json.dumps(names + [f"w{i}" for i in range(19)]))
    Path("en.txt").write_text("\n".join(names + [f"v{i}" for i in range(15)]))
    words = "import model.safetensors imported.safetensors"
    words += " --vocabulary de.json --target-vocabulary en.txt"
    assert main(words.split()) == 1
    assert "extra" in capsys.readouterr().err
    assert main([*words.split(), "--role", "extra=left-out"]) == 0
    checkpoint = Checkpoint.load(Path("imported.safetensors"))
    assert checkpoint.source_vocabulary.tokens[4:6] == ("w0", "w1")
    assert checkpoint.target_vocabulary.tokens[4:6] == ("v0", "v1")
    assert len(checkpoint.encode("w3 w4")[0]) == 4  # <bos> and <eos> around it
    assert main([*words.split(), "--role", "nowhere=left-out"]) == 1
    assert "nowhere" in capsys.readouterr().err
    assert (
        main(["import", "model.safetensors", "imported.safetensors", "--role", "extra=left-out"])
        == 0
    )
    assert main(["import", "model.safetensors", "out.pt", "--role", "extra=left-out"]) == 1
    assert "must end in .safetensors" in capsys.readouterr().err
    assert main([*words.split(), "--vocabulary", "missing.json", "--role", "extra=left-out"]) == 1
    assert "missing.json" in capsys.readouterr().err


def test_special_tokens_are_given_by_their_ids(capsys: pytest.CaptureFixture[str]) -> None:
    save(Seq2SeqTransformer)
    words = "import model.safetensors imported.safetensors --special pad=5,bos=6,eos=7,unk=none"
    assert main(words.split()) == 0
    checkpoint = Checkpoint.load(Path("imported.safetensors"))
    assert checkpoint.source_vocabulary.tokens[4:6] == ("0", "1")
    assert "no unk token" in checkpoint.header.notes
    with pytest.raises(SystemExit):
        main([*words.split()[:3], "--special", "pad=x"])
