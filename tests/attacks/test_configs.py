"""Hostile configurations in a file whose checksum is right: refused before anything is built."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.checkpoint_files import (
    Change,
    assert_same,
    assert_sentence,
    changed,
    little_memory,
    make,
    raw_value,
    taken_apart,
    value,
    without,
)
from transformer.checkpoint import Checkpoint
from transformer.checkpoint.checkpoint import tensor_shapes
from transformer.config import TransformerConfig
from transformer.config.architecture import MAX_PARAMETERS
from transformer.errors import CheckpointError, ConfigError


def field(name: str, to: Any) -> Change:
    return value("config", name, to=to)


def several(**fields: Any) -> Change:
    def change(content: bytes) -> bytes:
        for name, to in fields.items():
            content = changed(content, "config", name, to=to)
        return content

    return change


HOSTILE: dict[str, Change] = {
    "d_model of a billion": field("d_model", 10**9),
    "d_model of 10^400": field("d_model", 10**400),
    "d_model of 5,000 digits": raw_value("config", "d_model", text="9" * 5000),
    "d_model odd": several(d_model=9, num_heads=3),
    "d_model nought": field("d_model", 0),
    "d_model below nought": field("d_model", -8),
    "d_model true": field("d_model", True),
    "d_model a fraction": field("d_model", 8.0),
    "d_model a text": field("d_model", "8"),
    "d_model nothing": field("d_model", None),
    "d_model a list": field("d_model", [8]),
    "d_model an object": field("d_model", {"a": 8}),
    "d_model NaN": raw_value("config", "d_model", text="NaN"),
    "d_model 1e999": raw_value("config", "d_model", text="1e999"),
    "heads that do not divide": field("num_heads", 3),
    "heads nought": field("num_heads", 0),
    "more heads than numbers": field("num_heads", 64),
    "a thousand layers": field("num_encoder_layers", 1000),
    "no layers": field("num_decoder_layers", 0),
    "more layers than tensors": field("num_decoder_layers", 48),
    "a length of 2^40": field("max_length", 2**40),
    "d_ff of 10^12": field("d_ff", 10**12),
    "dropout NaN": raw_value("config", "dropout", text="NaN"),
    "dropout of one": field("dropout", 1.0),
    "eps nought": field("layer_norm_eps", 0.0),
    "eps below nought": field("layer_norm_eps", -1e-5),
    "an activation that is code": field("activation", "__import__('os').system('true')"),
    "an activation of two lines": field("activation", "relu\nrelu"),
    "a flag that is one": field("norm_first", 1),
    "a flag that is a text": field("tie_embeddings", "yes"),
    "a field that is not": field("__class__", "x"),
    "a field with marks": field("a\u202eb\n", 1),
    "the vocabulary's size of 2^31": field("source_vocab_size", 2**31),
    "shared embeddings that differ": several(share_embeddings=True, source_vocab_size=11),
    "ids beyond the vocabulary": field("eos_id", 10**6),
    "ids that are the same": field("pad_id", 2),
    "half a billion and more": several(
        d_model=8192, num_heads=8, d_ff=32768, num_encoder_layers=48
    ),
    "no config": without("config"),
    "no size": without("config", "target_vocab_size"),
}


@pytest.mark.parametrize("change", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_config_is_refused(change: Callable[[bytes], bytes], content: bytes) -> None:
    forged = change(content)
    with little_memory(), pytest.raises(CheckpointError) as caught:
        Checkpoint.load(forged)
    assert_sentence(caught.value)
    assert "checksum" not in str(caught.value)


ANYTHING = st.one_of(
    st.integers(-(2**70), 2**70),
    st.integers(0, 64),
    st.floats(allow_nan=False, allow_infinity=False),
    st.booleans(),
    st.none(),
    st.text(max_size=8).filter(lambda text: text.isprintable()),
    st.lists(st.integers(0, 9), max_size=2),
    st.sampled_from(["relu", "gelu", "swish", "halves", "interleaved"]),
)
NAMES = sorted(TransformerConfig.__dataclass_fields__)


def assert_refused_or_sound(content: bytes, fields: dict[str, Any]) -> None:
    """Loading ends in a one-sentence error, or in a model of exactly the config's sizes."""
    plain = taken_apart(content).description["config"] | fields
    with suppress(ConfigError):
        config = TransformerConfig.from_dict(plain)
        assert config.num_parameters <= MAX_PARAMETERS
        if config.num_encoder_layers + config.num_decoder_layers < 12:
            shapes = tensor_shapes(config).values()
            assert sum(map(_product, shapes)) == config.num_parameters
    forged = content
    for name, to in fields.items():
        forged = changed(forged, "config", name, to=to)
    try:
        loaded = Checkpoint.load(forged)
    except CheckpointError as error:
        assert_sentence(error)
    else:  # fields that change no shape, such as dropout
        assert_same(Checkpoint.load(loaded.to_bytes()), loaded)
        assert loaded.config.to_dict() == plain


def _product(shape: tuple[int, ...]) -> int:
    total = 1
    for size in shape:
        total *= size
    return total


GENERATED = st.dictionaries(st.sampled_from(NAMES), ANYTHING, min_size=1, max_size=3)


@settings(max_examples=60)
@given(fields=GENERATED)
def test_a_generated_config_is_refused_or_sound(content: bytes, fields: dict[str, Any]) -> None:
    assert_refused_or_sound(content, fields)


@pytest.mark.long
def test_two_thousand_generated_configs(content: bytes) -> None:
    @settings(max_examples=2000, database=None)
    @given(fields=GENERATED)
    def each(fields: dict[str, Any]) -> None:
        # Limited per example: at its first run, Hypothesis itself takes 200 MB to read our source.
        with little_memory():
            assert_refused_or_sound(content, fields)

    each()


def test_the_limits_themselves_are_met() -> None:
    """A model just under the limit is described, and nothing is allocated for it."""
    with little_memory():
        config = TransformerConfig(source_vocab_size=60_000, target_vocab_size=60_000, d_model=1024)
        assert config.num_parameters < MAX_PARAMETERS
        with pytest.raises(ConfigError, match="parameters"):
            TransformerConfig(source_vocab_size=2**20, target_vocab_size=2**20, d_model=512)
    assert make().config.num_parameters < MAX_PARAMETERS
