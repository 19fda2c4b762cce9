"""State dicts of nn.Transformer, imported with equal logits."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

from tests.support.torch_imports import Tensors, build, difference, imported
from tests.support.tutorials import TUTORIALS, Shape, lightning_file
from transformer.checkpoint import Checkpoint
from transformer.checkpoint.verification import verify
from transformer.interop.foreign_vocabulary import Special, numbered
from transformer.interop.nn_transformer.convert import convert, converted, survey
from transformer.interop.nn_transformer.name_mapping import BOTH, LEFT_OUT, OUTPUT, SOURCE, TARGET
from transformer.interop.nn_transformer.rows import ADDED, NEVER_WRITTEN_BIAS

SHAPES = [
    Shape(
        source_vocabulary=9 + 3 * i,
        target_vocabulary=9 + 2 * i,
        num_heads=(1, 2, 3, 4)[i % 4],
        d_model=(1, 2, 3, 4)[i % 4] * (8, 6, 2, 16, 10)[i % 5],
        encoder_layers=1 + i % 3,
        decoder_layers=1 + (i + i // 3) % 4,
        d_ff=(7, 16, 50, 33)[i % 4],
        norm_first=i % 2 == 0,
        activation=("relu", "gelu")[i // 2 % 2],
        batch_first=i // 4 % 2 == 0,
        bias=i % 7 != 3,
        layer_norm_eps=(1e-5, 1e-6, 1e-3)[i % 3],
    )
    for i in range(20)
]


@pytest.fixture(params=[torch.float32, torch.float64], ids=["float32", "float64"])
def precision(request: pytest.FixtureRequest) -> Iterator[torch.dtype]:
    torch.set_default_dtype(request.param)  # the positions' table gets this type too
    yield request.param
    torch.set_default_dtype(torch.float32)


def saved(name: str, module: nn.Module, folder: Path) -> Tensors:
    """The state dict after saving it as the tutorial does, and loading it."""
    path = folder / "model.pt"
    torch.save(lightning_file(module) if name == "lightning" else module.state_dict(), path)
    loaded = torch.load(path, weights_only=True)
    return loaded["state_dict"] if name == "lightning" else loaded


# --- Equal logits ---------------------------------------------------------------------------


@pytest.mark.parametrize("side", ["encoder", "decoder"])
def test_stacks_may_differ_in_their_last_norm_and_their_inner_width(side: str) -> None:
    module = build("translation", Shape())
    getattr(module.transformer, side).norm = None
    layer = module.transformer.decoder.layers[0]
    layer.linear1, layer.linear2 = nn.Linear(16, 40), nn.Linear(40, 16)
    made = imported(module.eval(), Shape(), dict(module.state_dict()))
    assert made.config.final_norm_side == ("decoder" if side == "encoder" else "encoder")
    assert (made.config.d_ff, made.config.decoder_d_ff) == (24, 40)
    assert difference(module, made) < 1e-5


IN_SHORT = range(0, 20, 3)
"""Indices of SHAPES with each norm, activation, order of axes and epsilon, and one without bias."""


@pytest.mark.parametrize("name", TUTORIALS)
@pytest.mark.parametrize(
    "number",
    [pytest.param(n, marks=[pytest.mark.long] * (n not in IN_SHORT)) for n in range(20)],
)
def test_logits_are_equal(name: str, number: int, precision: torch.dtype, tmp_path: Path) -> None:
    shape = SHAPES[number]
    module = build(name, shape, seed=number)
    tensors = saved(name, module, tmp_path)
    assert next(iter(tensors.values())).dtype == precision
    made = imported(module, shape, tensors)
    assert difference(module, made) < (1e-5 if precision == torch.float32 else 1e-10)


# --- The checkpoint -------------------------------------------------------------------------


def answers(made: Checkpoint) -> None:
    """Check that the checkpoint loads again, passes its verification and encodes a text."""
    again = Checkpoint.load(made.to_bytes())
    assert again.header == made.header
    checks = {check.name: check.ok for check in verify(made.to_bytes())}
    # "original" says that it was never compared with its original model.
    assert checks == {"file": True, "logits": True, "original": True}
    token = made.source_vocabulary.tokens[-1]
    assert len(made.encode(token)[0]) == len(made.config.framed([5]))


@pytest.mark.parametrize("name", TUTORIALS)
def test_a_checkpoint_is_made_of_it(name: str, tmp_path: Path) -> None:
    shape = Shape()
    module = build(name, shape)
    tensors = saved(name, module, tmp_path)
    found = survey(tensors)
    sizes = found.sizes(found.guesses.roles)
    sides = (
        numbered(sizes.source_vocab_size, module.special),
        numbered(sizes.target_vocab_size, module.special),
    )
    choices = dataclasses.replace(found.guesses, num_heads=2)
    checkpoint = convert(tensors, choices, sides, origin="Imported from a test.")
    assert checkpoint.summary is None
    assert checkpoint.header.origin == "Imported from a test."
    assert checkpoint.config.share_embeddings is (name == "shared")
    assert checkpoint.config.tie_embeddings is (name == "lightning")
    assert checkpoint.config.scale_embeddings is module.scaled, found.reasons["scale_embeddings"]
    layout = {"shared": "learned", "lightning": "halves"}.get(name, "interleaved")
    assert checkpoint.config.position_layout == layout
    answers(checkpoint)
    # Without a vocabulary the tokens are the file's own ids.
    rows = converted(tensors, choices, sides).source.rows
    assert checkpoint.source_vocabulary.tokens[4:] == tuple(str(row) for row in rows[4:])


def test_an_added_token_is_never_written_and_shared_ones_are_written_once() -> None:
    shape = Shape(target_vocabulary=19)
    module = build("translation", shape)
    tensors = dict(module.state_dict())
    # One token starts and ends a sequence, and there is neither <pad> nor <unk>.
    module.special = Special(pad=None, bos=4, eos=4, unk=None)
    made = imported(module, shape, tensors)
    assert made.target.rows[:4] == (ADDED, 4, 4, ADDED)
    assert made.target.never_written == (0, 1, 3)
    assert made.config.output_bias
    source, target = torch.tensor([[2, 7, 8, 2]]), torch.tensor([[1, 9, 5]])
    with torch.inference_mode():
        logits = made.model()(source, target)
    assert (logits[..., [0, 3]] == NEVER_WRITTEN_BIAS).all()
    assert (logits.softmax(-1)[..., [0, 1, 3]] == 0).all()
    theirs = torch.tensor([[4, made.source.rows[7], made.source.rows[8], 4]])
    read = torch.tensor([[4, made.target.rows[9], made.target.rows[5]]])
    module.pad = 99
    with torch.inference_mode():
        expected = module.logits(theirs, read)
    assert (logits[..., 2] - expected[..., 4]).abs().max() < 1e-5
    assert len(made.notes) == 4


def test_a_tied_model_without_its_output_projection_is_tied_again() -> None:
    shape = Shape()
    module = build("lightning", shape)
    tensors = dict(module.state_dict())
    del tensors["out.weight"]
    made = imported(module, shape, tensors)
    assert made.config.tie_embeddings
    assert any("target embedding serves" in note for note in made.notes)
    assert difference(module, made) < 1e-5


def test_the_files_own_table_can_be_kept() -> None:
    shape = Shape()
    module = build("translation", shape)
    tensors = dict(module.state_dict())
    made = imported(module, shape, tensors, positions="table", max_length=50)
    table = module.positional_encoding.pos_embedding[:50, 0]
    assert torch.equal(made.tensors["source_embedding.positions"], table)
    assert difference(module, made) < 1e-5


def test_a_model_without_positions() -> None:
    shape = Shape()
    module = build("translation", shape)
    module.positional_encoding.pos_embedding.zero_()
    tensors = {k: v for k, v in module.state_dict().items() if "pos_embedding" not in k}
    found = survey(tensors)
    assert found.guesses.positions == "interleaved"
    assert "no table" in found.reasons["positions"]
    assert difference(module, imported(module, shape, tensors, positions="none")) < 1e-5


def test_a_wrong_answer_to_each_question_changes_the_logits() -> None:
    """A question whose answer changes nothing would be needless."""
    shape = Shape(num_heads=2, layer_norm_eps=1e-3)
    module = build("translation", shape)
    tensors = dict(module.state_dict())
    for wrong in (
        {"num_heads": 4},
        {"norm_first": True},
        {"activation": "gelu"},
        {"scale_embeddings": False},
        {"positions": "halves"},
        {"layer_norm_eps": 1e-5},
    ):
        assert difference(module, imported(module, shape, tensors, **wrong)) > 1e-4, wrong


# --- Names ----------------------------------------------------------------------------------


def test_names_that_say_nothing_are_told_apart_and_can_be_corrected() -> None:
    shape = Shape()
    module = build("translation", shape)
    renames = {
        "src_tok_emb.embedding.weight": "a.weight",
        "tgt_tok_emb.embedding.weight": "b.weight",
        "generator.weight": "c.weight",
        "generator.bias": "c.bias",
        "positional_encoding.pos_embedding": "d",
    }
    tensors = {
        renames.get(name, name.replace("transformer.", "core.net.")): tensor
        for name, tensor in sorted(module.state_dict().items(), reverse=True)
    }
    found = survey(tensors)
    roles = {row.name: (row.role, row.sure) for row in found.rows}
    assert roles["c.weight"] == (OUTPUT, "likely")  # it has a bias beside it
    assert roles["d"][1] == "sure"  # by its values
    assert {roles["a.weight"][1], roles["b.weight"][1]} == {"a guess"}
    corrected = {**found.guesses.roles, "a.weight": SOURCE, "b.weight": TARGET}
    made = imported(module, shape, tensors, roles=corrected)
    assert difference(module, made) < 1e-5


@pytest.mark.parametrize(
    ("names", "roles"),
    [
        # names found in notebooks and repositories, and their roles
        (
            [
                "encoder.tok_embedding.weight",
                "decoder.tok_embedding.weight",
                "decoder.fc_out.weight",
            ],
            [SOURCE, TARGET, OUTPUT],
        ),
        (
            ["src_word_embedding.weight", "trg_word_embedding.weight", "fc_out.weight"],
            [SOURCE, TARGET, OUTPUT],
        ),
        (["encoder.weight", "decoder.weight", "generator.weight"], [SOURCE, TARGET, OUTPUT]),
        (["embed.weight", "lm_head.weight"], [BOTH, OUTPUT]),
        (
            ["inputEmbedding.weight", "outputEmbedding.weight", "linear.weight"],
            [SOURCE, TARGET, OUTPUT],
        ),
        (["source.weight", "target.weight", "projection.weight"], [SOURCE, TARGET, OUTPUT]),
    ],
)
def test_common_names_are_known(names: list[str], roles: list[str]) -> None:
    tensors = {f"net.{name}": t for name, t in nn.Transformer(8, 2, 1, 1, 8).state_dict().items()}
    tensors |= {name: torch.randn(11, 8) for name in names}
    found = survey(tensors)
    assert [row.role for row in found.rows] == roles
    found.sizes(found.guesses.roles)


def test_masks_counts_and_copies_are_left_out() -> None:
    module = build("lightning", Shape())
    tensors = dict(module.state_dict())
    future = torch.full((12, 12), -torch.inf).triu(1)
    tensors |= {
        "tgt_mask": future,
        "causal": torch.ones(1, 1, 9, 9, dtype=torch.bool).tril(),
        "position_ids": torch.arange(12),
        "steps": torch.tensor(7),
        "head.weight": tensors["out.weight"].clone(),
    }
    rows = {row.name: row.role for row in survey(tensors).rows}
    for name in ("tgt_mask", "causal", "position_ids", "steps", "head.weight"):
        assert rows[name] == LEFT_OUT, name
    assert difference(module, imported(module, Shape(), tensors)) < 1e-5
