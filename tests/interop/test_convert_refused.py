"""State dicts that cannot be imported: each is refused in one sentence."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tests.support.torch_imports import Tensors, difference, good, imported
from tests.support.tutorials import Seq2SeqTransformer, Shape
from transformer.errors import CheckpointError, UserError
from transformer.interop.files.state_dicts import read_state_dict
from transformer.interop.foreign_vocabulary import Special, numbered
from transformer.interop.nn_transformer.convert import convert, survey
from transformer.interop.nn_transformer.name_mapping import (
    LEFT_OUT,
    OUTPUT,
    SOURCE_POSITIONS,
    UNKNOWN,
)


def refusal(tensors: Tensors, special: Special = Seq2SeqTransformer.special, **changes: Any) -> str:
    """The message of a refused import, checked to be short and one line."""

    def attempt() -> None:
        found = survey(tensors)
        choices = dataclasses.replace(found.guesses, **changes)
        sizes = found.sizes(choices.roles)
        sides = (
            numbered(sizes.source_vocab_size, special),
            numbered(sizes.target_vocab_size, special),
        )
        convert(tensors, choices, sides)

    with pytest.raises(UserError) as caught:
        attempt()
    message = str(caught.value)
    assert message.endswith(".")
    assert "\n" not in message
    assert "Traceback" not in message
    assert len(message) < 420
    return message


def gpt() -> Tensors:
    return {
        f"transformer.h.{i}.{name}": torch.zeros(8, 8)
        for i in range(2)
        for name in ("attn.c_attn.weight", "attn.c_proj.weight", "mlp.c_fc.weight")
    } | {"transformer.wte.weight": torch.zeros(20, 8)}


FOREIGN: dict[str, tuple[Callable[[], Tensors], list[str]]] = {
    "gpt": (gpt, ["decoder-only", "cross-attention"]),
    "encoder alone": (
        lambda: nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 8), 2).state_dict(),
        ["encoder alone", "decoder are needed"],
    ),
    "decoder alone": (
        lambda: nn.TransformerDecoder(nn.TransformerDecoderLayer(8, 2, 8), 2).state_dict(),
        ["decoder alone"],
    ),
    "bare": (
        lambda: nn.Transformer(8, 2, 1, 1, 8).state_dict(),
        ["an nn.Transformer alone", "embeddings"],
    ),
    "annotated": (
        lambda: {"encoder.layers.0.self_attn.linears.0.weight": torch.zeros(8, 8)},
        ["Annotated Transformer", "capture.py"],
    ),
    "attentions of other names": (
        lambda: {
            f"{side}.layers.0.{name}.weight": torch.zeros(8, 8)
            for side, names in (("encoder", ("attn",)), ("decoder", ("attn_1", "attn_2")))
            for name in names
        },
        ["No nn.Transformer", "capture.py"],
    ),
    "marian": (
        lambda: {
            "model.encoder.layers.0.self_attn.q_proj.weight": torch.zeros(8, 8),
            "model.decoder.layers.0.self_attn.q_proj.weight": torch.zeros(8, 8),
        },
        ["MarianMT", "folder", "fairseq", "capture.py"],
    ),
    "resnet": (lambda: {"conv1.weight": torch.zeros(4, 3, 7, 7)}, ["No nn.Transformer", "conv1"]),
    "nothing": (dict, ["No nn.Transformer", "nothing"]),
    "two models": (
        lambda: {
            f"{which}.{name}": tensor
            for which in ("student", "teacher")
            for name, tensor in nn.Transformer(8, 2, 1, 1, 8).state_dict().items()
        },
        ["2 encoders", "student", "teacher"],
    ),
}


def test_names_that_begin_alike_are_said_once() -> None:
    message = refusal({f"{'module.' * 40}{i}": torch.zeros(2) for i in range(5)})
    assert message.count("module.module.module") <= message.count("…") * 40
    assert message.count("…") == 1


@pytest.mark.parametrize("case", FOREIGN)
def test_what_is_no_encoder_decoder_is_named(case: str) -> None:
    tensors, named = FOREIGN[case]
    message = refusal(dict(tensors()))
    for words in named:
        assert words in message


@pytest.mark.parametrize(
    "name",
    [
        "transformer.encoder.layers.1.linear1.bias",
        "transformer.decoder.layers.0.multihead_attn.in_proj_weight",
        "transformer.decoder.layers.0.norm3.weight",
        "transformer.encoder.layers.0.self_attn.out_proj.weight",
        "transformer.encoder.norm.bias",
        "transformer.encoder.layers.0.linear1.weight",
    ],
)
def test_a_missing_tensor_is_named(name: str) -> None:
    _, tensors = good()
    del tensors[name]
    message = refusal(tensors)
    assert name in message
    assert "missing" in message


@pytest.mark.parametrize(
    ("name", "shape", "named"),
    [
        ("transformer.encoder.layers.1.linear2.weight", (16, 23), ["[16, 23]", "[16, 24]"]),
        ("transformer.decoder.layers.0.self_attn.in_proj_weight", (47, 16), ["[48, 16]"]),
        ("transformer.decoder.norm.weight", (17,), ["[17]", "[16]"]),
        ("generator.bias", (18,), ["[18]", "[19]", "output bias"]),
        ("generator.weight", (18, 16), ["[18, 16]", "[19, 16]", "output projection"]),
        ("tgt_tok_emb.embedding.weight", (19, 15), ["tgt_tok_emb.embedding.weight"]),
        ("transformer.encoder.layers.0.self_attn.in_proj_weight", (48,), ["matrices"]),
    ],
)
def test_a_shape_that_contradicts_is_named(
    name: str, shape: tuple[int, ...], named: list[str]
) -> None:
    _, tensors = good()
    tensors[name] = torch.randn(shape)
    message = refusal(tensors)
    for words in (name.rsplit(".", 1)[1], *named):
        assert words in message


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_numbers_are_named(value: float) -> None:
    _, tensors = good()
    tensors["generator.weight"] = tensors["generator.weight"].clone()
    tensors["generator.weight"][3, 3] = value
    message = refusal(tensors)
    assert "generator.weight" in message
    assert "NaN" in message


def test_a_file_with_a_buffer_that_is_no_number_says_how_to_leave_it_out(tmp_path: Path) -> None:
    _, tensors = good()
    torch.save({**tensors, "cache": torch.full((4, 4), torch.nan)}, tmp_path / "model.pt")
    with pytest.raises(CheckpointError, match=r"'cache' holds NaN.* save the others"):
        read_state_dict(tmp_path / "model.pt")


def test_unknown_tensors_need_a_role() -> None:
    module, tensors = good()
    tensors["adapter.down.weight"] = torch.randn(16, 4)
    message = refusal(tensors)
    assert "adapter.down.weight" in message
    assert "left out" in message
    roles = {**survey(tensors).guesses.roles, "adapter.down.weight": LEFT_OUT}
    assert roles["generator.weight"] == OUTPUT
    assert difference(module, imported(module, Shape(), tensors, roles=roles)) < 1e-5
    assert "output projection" in refusal(tensors, roles=roles | {"adapter.down.weight": OUTPUT})
    assert "no role" in refusal(tensors, roles=roles | {"generator.weight": "nonsense"})
    assert "source positions" in refusal(
        tensors, roles=roles | {"positional_encoding.pos_embedding": SOURCE_POSITIONS}
    )
    assert "source embedding" in refusal(
        tensors, roles=roles | {"src_tok_emb.embedding.weight": LEFT_OUT}
    )
    assert UNKNOWN in {row.role for row in survey(tensors).rows}


def test_choices_that_contradict_the_shapes() -> None:
    _, tensors = good()
    assert "num_heads = 5" in refusal(tensors, num_heads=5)
    assert "activation" in refusal(tensors, activation="tanh")
    assert "max_length" in refusal(tensors, max_length=5001, positions="table")
    assert "position_layout" in refusal(tensors, positions="backwards")
    assert "source_frame" in refusal(tensors, source_frame="both")
    bare = {name: t for name, t in tensors.items() if "pos_embedding" not in name}
    assert "no tensor is given" in refusal(bare, positions="table")


def test_a_model_beyond_the_budget_is_refused_before_it_is_built(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _, tensors = good()
    monkeypatch.setattr("transformer.config.architecture.MAX_PARAMETERS", 5_000)
    assert "at most 5,000" in refusal(tensors)


@pytest.mark.parametrize(
    ("special", "named"),
    [
        (Special(pad=1, bos=2, eos=None, unk=0), ["no eos token", "ends a sequence"]),
        (Special(pad=1, bos=None, eos=3, unk=0), ["no bos token"]),
        (Special(pad=3, bos=2, eos=3, unk=0), ["same token", "pad and eos"]),
        (Special(pad=1, bos=2, eos=30, unk=0), ["eos is 30", "0 to"]),
    ],
)
def test_special_tokens_that_cannot_be(special: Special, named: list[str]) -> None:
    _, tensors = good()
    message = refusal(tensors, special)
    for words in named:
        assert words in message
