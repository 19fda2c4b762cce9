"""Parameter counts by part, compared with the real tensors and the config's total."""

import math
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transformer.checkpoint.checkpoint import tensor_shapes
from transformer.config import TransformerConfig
from transformer.config.architecture import TITLES, parameters_by_part, part_of
from transformer.figures.architecture import architecture_svg, architecture_words


@st.composite
def configs(draw: st.DrawFn) -> TransformerConfig:
    heads = draw(st.integers(1, 4))
    source = draw(st.integers(5, 40))
    shared = draw(st.booleans())
    return TransformerConfig(
        source_vocab_size=source,
        target_vocab_size=source if shared else draw(st.integers(5, 40)),
        d_model=2 * heads * draw(st.integers(1, 4)),
        num_heads=heads,
        num_encoder_layers=draw(st.integers(1, 3)),
        num_decoder_layers=draw(st.integers(1, 3)),
        d_ff=draw(st.integers(1, 20)),
        final_norm=draw(st.booleans()),
        norm_first=draw(st.booleans()),
        tie_embeddings=draw(st.booleans()),
        share_embeddings=shared,
        output_bias=draw(st.booleans()),
        position_layout=draw(st.sampled_from(["interleaved", "learned", "none"])),
        embedding_norm=draw(st.booleans()),
        decoder_d_ff=draw(st.sampled_from([0, 7])),
        attention_width=draw(st.sampled_from([0, 24])),
    )


@settings(max_examples=60)
@given(configs())
def test_parts_are_those_of_the_real_tensors(config: TransformerConfig) -> None:
    counted = dict.fromkeys(TITLES, 0)
    for name, shape in tensor_shapes(config).items():
        counted[part_of(name, config)] += math.prod(shape)
    parts = parameters_by_part(config)
    assert {part.name: part.count for part in parts if part.count} == {
        name: count for name, count in counted.items() if count
    }
    assert sum(part.count for part in parts) == config.num_parameters


def test_learned_positions_belong_to_the_embeddings() -> None:
    config = TransformerConfig(
        source_vocab_size=10,
        target_vocab_size=10,
        d_model=16,
        num_heads=2,
        num_encoder_layers=1,
        num_decoder_layers=1,
        d_ff=32,
        max_length=16,
        position_layout="learned",
    )
    source, target, *_ = parts = parameters_by_part(config)
    assert source.count == target.count == 10 * 16 + 16 * 16
    assert source.formula == "10 tokens × 16 + 16 positions × 16"
    assert sum(part.count for part in parts) == config.num_parameters


@given(configs())
def test_each_formula_gives_its_count(config: TransformerConfig) -> None:
    for part in parameters_by_part(config):
        if part.name == "output":
            continue
        sum_of_it = part.formula.replace(",", "").replace("×", "*")
        for word in ("tokens", "positions", "norms"):
            sum_of_it = sum_of_it.replace(word, "")
        assert eval(sum_of_it) == part.count, part.formula


def test_a_tensor_of_no_model_is_refused() -> None:
    config = TransformerConfig(source_vocab_size=9, target_vocab_size=9)
    with pytest.raises(ValueError, match="not a tensor"):
        part_of("encoder.layers.0.convolution.weight", config)


def test_nothing_of_the_card_loads_torch() -> None:
    modules = (
        "config.architecture figures.architecture vocabulary.entries checkpoint.comparison "
        "report.evidence figures.curves cli.checkpoints"
    )
    imports = "".join(f"import transformer.{name}; " for name in modules.split())
    code = f"{imports}import sys; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


# --- the picture ----------------------------------------------------------------------------------


def base(**changes: Any) -> TransformerConfig:
    return TransformerConfig(**{"source_vocab_size": 58101, "target_vocab_size": 58101} | changes)


def test_the_picture_carries_the_models_own_numbers() -> None:
    drawn = architecture_svg(base(share_embeddings=True, activation="swish", num_encoder_layers=3))
    for number in ("58,101 tokens × 512", "8 heads × d_k 64", "512 → 2,048 → 512, swish"):
        assert number in drawn
    assert ">3 layers<" in drawn
    assert ">6 layers<" in drawn
    assert ">shared<" in drawn
    assert ">tied<" in drawn


@pytest.mark.parametrize(
    ("changes", "there", "absent"),
    [
        ({"norm_first": False}, ">Add and norm<", ">+<"),
        ({"norm_first": True}, ">+<", ">Add and norm<"),
        ({"tie_embeddings": False}, "weights of its own", ">tied<"),
        ({"tie_embeddings": True}, ">tied<", "weights of its own"),
        ({"output_bias": True}, "+ bias", ">shared<"),
    ],
)
def test_what_differs_is_drawn(changes: dict[str, bool], there: str, absent: str) -> None:
    drawn = architecture_svg(base(**changes))
    assert there in drawn
    assert absent not in drawn


def test_a_norm_after_each_stack_is_one_more_norm_in_each() -> None:
    counts = [
        architecture_svg(base(norm_first=True, final_norm=final)).count(">Norm<")
        for final in (False, True)
    ]
    assert counts == [5, 7]


@settings(max_examples=30)
@given(configs())
def test_the_picture_is_one_sound_element_with_its_words(config: TransformerConfig) -> None:
    from xml.etree import ElementTree

    drawn = ElementTree.fromstring(architecture_svg(config))
    assert drawn.get("role") == "img"
    assert drawn.get("aria-label") == architecture_words(config)
    height = float(str(drawn.get("viewBox")).split()[3])
    for box in drawn.iter("{http://www.w3.org/2000/svg}rect"):
        assert float(str(box.get("x"))) >= 0
        assert float(str(box.get("x"))) + float(str(box.get("width"))) <= 440
        assert float(str(box.get("y"))) + float(str(box.get("height"))) <= height


def test_the_words_say_every_size() -> None:
    words = architecture_words(base(norm_first=True, final_norm=True))
    for said in (
        "8 heads × d_k 64",
        "d_ff 2,048",
        "before each sub-layer",
        "58,101 source",
        "6 la",
    ):
        assert said in words
