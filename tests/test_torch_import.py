"""State dicts of nn.Transformer: imported with equal logits, or refused in one sentence."""

import dataclasses
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.tutorials import TUTORIALS, Seq2SeqTransformer, Shape, lightning_file, randomised
from transformer.checkpoint import Checkpoint, verify
from transformer.errors import UserError, VocabularyError
from transformer.interop.foreign_vocabulary import (
    ForeignVocabulary,
    Special,
    find_special,
    numbered,
    read_vocabularies,
)
from transformer.interop.name_mapping import (
    BOTH,
    LEFT_OUT,
    OUTPUT,
    SOURCE,
    SOURCE_POSITIONS,
    TARGET,
    UNKNOWN,
)
from transformer.interop.rows import ADDED, SILENCE, arrange
from transformer.interop.torch_transformer import Converted, convert, converted, survey

Tensors = dict[str, Tensor]

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
    torch.set_default_dtype(request.param)  # positions, too, are born in it
    yield request.param
    torch.set_default_dtype(torch.float32)


def build(name: str, shape: Shape, seed: int = 0) -> Any:
    torch.manual_seed(seed)
    if name == "shared":
        shape = dataclasses.replace(shape, source_vocabulary=shape.target_vocabulary)
    return randomised(TUTORIALS[name](shape))


def saved(name: str, module: nn.Module, folder: Path) -> Tensors:
    """The state dict as it comes back from the file a tutorial saves."""
    path = folder / "model.pt"
    torch.save(lightning_file(module) if name == "lightning" else module.state_dict(), path)
    loaded = torch.load(path, weights_only=True)
    return loaded["state_dict"] if name == "lightning" else loaded


def imported(module: Any, shape: Shape, tensors: Tensors, **changes: Any) -> Converted:
    """With the survey's own guesses, but for what only the person can know."""
    found = survey(tensors)
    choices = dataclasses.replace(
        found.guesses,
        **{
            "num_heads": shape.num_heads,
            "norm_first": shape.norm_first,
            "activation": shape.activation,
            "layer_norm_eps": shape.layer_norm_eps,
            "scale_embeddings": module.scaled,
        }
        | changes,
    )
    sizes = found.sizes(choices.roles)
    vocabularies = (
        numbered(sizes.source_vocab_size, module.special),
        numbered(sizes.target_vocab_size, module.special),
    )
    return converted(tensors, choices, vocabularies)


def difference(module: Any, made: Converted, seed: int = 1) -> float:
    """The largest of a batch of sentences with padding, in their logits' own order."""
    torch.manual_seed(seed)
    pad = module.special.pad
    sizes = [max(rows.rows) + 1 for rows in (made.source, made.target)]
    source = torch.randint(0, sizes[0], (3, 9))
    source[source == pad] = module.special.eos
    source[1, 5:], source[2, 2:] = pad, pad
    target = torch.randint(0, sizes[1], (3, 7))
    target[target == pad] = module.special.bos  # padding after the end hides nothing from itself
    ours = [
        torch.tensor([[rows.ids[int(number)] for number in row] for row in ids])
        for rows, ids in ((made.source, source), (made.target, target))
    ]
    with torch.no_grad():
        theirs = module.logits(source, target)
        here = made.model()(*ours)
    kept = [
        number for number, row in enumerate(made.target.rows) if number not in made.target.silent
    ]
    assert len(kept) == theirs.size(-1)
    assert theirs.std() > 0.1  # else there would be nothing to compare
    return float((here[..., kept] - theirs[..., [made.target.rows[i] for i in kept]]).abs().max())


# --- Equal logits ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", TUTORIALS)
@pytest.mark.parametrize("number", range(20))
def test_logits_are_equal(name: str, number: int, precision: torch.dtype, tmp_path: Path) -> None:
    shape = SHAPES[number]
    module = build(name, shape, seed=number)
    tensors = saved(name, module, tmp_path)
    assert next(iter(tensors.values())).dtype == precision
    made = imported(module, shape, tensors)
    assert difference(module, made) < (1e-5 if precision == torch.float32 else 1e-10)


# --- What is made of it ---------------------------------------------------------------------


def answers(made: Checkpoint) -> None:
    """The checkpoint is a file like any other: it loads, proves itself, and answers."""
    again = Checkpoint.load(made.to_bytes())
    assert again.header == made.header
    checks = {check.name: check.ok for check in verify(made.to_bytes())}
    assert checks == {"file": True, "logits": True}
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
    assert made.target.silent == (0, 1, 3)
    assert made.config.output_bias
    source, target = torch.tensor([[2, 7, 8, 2]]), torch.tensor([[1, 9, 5]])
    with torch.inference_mode():
        logits = made.model()(source, target)
    assert (logits[..., [0, 3]] == SILENCE).all()
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
    """Else a question would be asked for nothing."""
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
        # ("names", what they are), as notebooks and repositories have them
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


# --- Refusals -------------------------------------------------------------------------------


def good() -> tuple[Any, Tensors]:
    module = build("translation", Shape())
    return module, dict(module.state_dict())


def refusal(tensors: Tensors, special: Special = Seq2SeqTransformer.special, **changes: Any) -> str:
    """The sentence with which an import ends."""

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
        ["Annotated Transformer"],
    ),
    "marian": (
        lambda: {
            "model.encoder.layers.0.self_attn.q_proj.weight": torch.zeros(8, 8),
            "model.decoder.layers.0.self_attn.q_proj.weight": torch.zeros(8, 8),
        },
        ["MarianMT", "folder"],
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


def test_one_norm_at_the_end_is_refused() -> None:
    _, tensors = good()
    del tensors["transformer.encoder.norm.weight"], tensors["transformer.encoder.norm.bias"]
    assert "decoder ends in a LayerNorm" in refusal(tensors)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_numbers_are_named(value: float) -> None:
    _, tensors = good()
    tensors["generator.weight"] = tensors["generator.weight"].clone()
    tensors["generator.weight"][3, 3] = value
    message = refusal(tensors)
    assert "generator.weight" in message
    assert "NaN" in message


def test_tensors_nobody_knows_must_be_spoken_for() -> None:
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
    monkeypatch.setattr("transformer.config.MAX_PARAMETERS", 5_000)
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


# --- Vocabulary files -----------------------------------------------------------------------

TOKENS = ["<unk>", "<pad>", "<s>", "</s>", "ein", "Haus", "zwei"]


@pytest.mark.parametrize(
    "content",
    [
        json.dumps(TOKENS),
        json.dumps({token: number for number, token in reversed(list(enumerate(TOKENS)))}),
        json.dumps({"itos": TOKENS, "freqs": {"ein": 3}}),
        json.dumps({"stoi": {token: number for number, token in enumerate(TOKENS)}}),
        "\n".join(TOKENS),
        "\ufeff" + "\r\n".join(TOKENS) + "\r\n",
        "".join(f"{token}\t{number}\n" for number, token in reversed(list(enumerate(TOKENS)))),
        "".join(f"{token}\t{900 - number}\n" for number, token in enumerate(TOKENS)),
    ],
    ids=["list", "ids", "itos", "stoi", "lines", "bom", "numbered", "counted"],
)
def test_vocabularies_are_read(content: str) -> None:
    source, target = read_vocabularies(content.encode(), "vocab")
    assert source == target
    assert source.tokens == tuple(TOKENS)
    assert source.special == Special(pad=1, bos=2, eos=3, unk=0)
    assert source.kind == "words"
    made = arrange(source, 7, "source", ("eos",))
    assert made.rows == (1, 2, 3, 0, 4, 5, 6)
    assert made.vocabulary.encode("ein Haus") == [4, 5]


def test_both_sides_may_be_in_one_file() -> None:
    content = json.dumps({"source": TOKENS, "target": {"tokens": [*"ab[", "[PAD]", "[SEP]"]}})
    source, target = read_vocabularies(content.encode(), "vocab.json")
    assert source.tokens == tuple(TOKENS)
    assert target.special == Special(pad=3, bos=None, eos=4, unk=None)
    assert target.kind == "characters"


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (b"", ["empty"]),
        (b"\xff\xfea\x00", ["UTF-8"]),
        (b'{"a": 0, "b": 0}', ["same id 0", "a", "b"]),
        (b'{"a": 0, "b": 2}', ["id 1"]),
        (b'{"a": 0, "b": "1"}', ["b", "whole number"]),
        (b'{"a": 0, "a": 1}', ["a", "twice"]),
        (b'["a", "b", "a"]', ["a", "twice", "0", "2"]),
        (b'["a", 3]', ["id 1"]),
        (b'{"a": 0', ["JSON"]),
        (b"a\n\nb\n", ["Line 2"]),
        (b"a\nb\na\n", ["a", "twice"]),
        (b"[" * 100_000, ["JSON"]),
        (b'{"source": 3, "target": []}', ["target", "whole number"]),
    ],
)
def test_broken_vocabularies_are_refused_in_a_sentence(content: bytes, named: list[str]) -> None:
    with pytest.raises(VocabularyError) as caught:
        read_vocabularies(content, "vocab.json")
    for words in named:
        assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert str(caught.value).endswith(".")


def test_a_vocabulary_must_fit_its_embedding() -> None:
    _, tensors = good()
    found = survey(tensors)
    whole = [*TOKENS, *(f"w{number}" for number in range(16))]

    def attempt(source: list[str], target: list[str]) -> Checkpoint:
        sides = [ForeignVocabulary(tuple(side), find_special(side)) for side in (source, target)]
        return convert(tensors, found.guesses, (sides[0], sides[1]))

    made = attempt(whole, whole[:19])
    assert made.source_vocabulary.tokens[:5] == ("<pad>", "<bos>", "<eos>", "<unk>", "ein")
    for wrong, said in (
        ((whole[:22], whole[:19]), "source vocabulary has 22 tokens"),
        ((whole, whole[:20]), "target embedding has 19 rows"),
        ((whole, [*whole[:3], "fin", *whole[4:19]]), "target vocabulary has no eos token"),
        ((whole, [*whole[:18], "half \ud800"]), "surrogate"),
    ):
        with pytest.raises(VocabularyError, match=said):
            attempt(*wrong)
    # <s> was said to be bos, so that <bos> is a word: which none of ours may be.
    odd = ForeignVocabulary((*whole[:18], "<bos>"), Special(pad=1, bos=2, eos=3, unk=0))
    even = ForeignVocabulary(tuple(whole), find_special(whole))
    with pytest.raises(VocabularyError, match="token <bos> that is not its bos"):
        convert(tensors, found.guesses, (even, odd))
