"""Configs: bounds, junk, round trips, presets."""

import json
import math
from collections.abc import Callable
from dataclasses import MISSING, Field, fields
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from transformer.config import DataConfig, RunConfig, TrainingConfig, TransformerConfig
from transformer.config.architecture import LATER_FIELDS, MAX_PARAMETERS
from transformer.errors import ConfigError
from transformer.tasks.presets import PRESETS, preset

Config = TransformerConfig | TrainingConfig | DataConfig
CLASSES: tuple[type[Config], ...] = (TransformerConfig, TrainingConfig, DataConfig)
VOCABULARIES: dict[str, Any] = {"source_vocab_size": 40, "target_vocab_size": 50}
# Python refuses to write a number of this many digits as text, so no message may try to.
HUGE = 10**5000
NAN, INFINITY = float("nan"), float("inf")


def smallest(kind: type[Config]) -> dict[str, Any]:
    return dict(VOCABULARIES) if kind is TransformerConfig else {}


def all_fields() -> list[Any]:
    return [
        pytest.param(kind, item, id=f"{kind.__name__}.{item.name}")
        for kind in CLASSES
        for item in fields(kind)
    ]


def wrong_values(item: Field[Any]) -> dict[str, object]:
    """Invalid values by description: just outside the field's bounds, or of a wrong type."""
    wrong: dict[str, object] = {"null": None, "a list": [1], "an object": {"a": {"b": 1}}}
    minimum, maximum = item.metadata["minimum"], item.metadata["maximum"]
    if item.type in (int, float):
        wrong |= {"true": True, "text": "1", "huge": HUGE, "huge and negative": -HUGE}
        wrong |= {"nan": NAN, "infinity": INFINITY, "minus infinity": -INFINITY}
        if item.type is int:
            wrong |= {"below": minimum - 1, "above": maximum + 1, "a fraction": minimum + 0.5}
            wrong["a whole number written as a fraction"] = float(minimum)
        else:
            above = item.metadata["above_minimum"]
            wrong["below"] = minimum if above else math.nextafter(minimum, -INFINITY)
            wrong["above"] = math.nextafter(maximum, INFINITY)
    elif item.type is bool:
        wrong |= {"1": 1, "0.0": 0.0, "text": "true", "huge": HUGE, "nan": NAN}
    else:
        wrong |= {"true": True, "a number": 1, "huge": HUGE, "nan": NAN}
        if item.metadata["choices"]:
            wrong |= {"no choice": "no such choice", "empty": "", "upper case": "RELU"}
    return wrong


@pytest.mark.parametrize(("kind", "item"), all_fields())
def test_a_value_out_of_bounds_is_named_with_its_field(
    kind: type[Config], item: Field[Any]
) -> None:
    for description, value in wrong_values(item).items():
        with pytest.raises(ConfigError) as caught:
            kind.from_dict({**smallest(kind), item.name: value})
        message = str(caught.value)
        assert message.startswith(f"{item.name} = "), description
        if not description.startswith("huge"):
            assert repr(value) in message, description
        assert len(message) < 300, description
        assert "\n" not in message, description


@pytest.mark.parametrize(("kind", "item"), all_fields())
def test_values_at_the_bounds_are_taken(kind: type[Config], item: Field[Any]) -> None:
    """A value at a bound may contradict another field, which the message then names."""
    allowed: list[Any] = []
    if item.type is int:
        allowed = [item.metadata["minimum"], item.metadata["maximum"]]
    elif item.type is float:
        low, high = item.metadata["minimum"], item.metadata["maximum"]
        allowed = [math.nextafter(low, high) if item.metadata["above_minimum"] else low, high]
    elif item.type is bool:
        allowed = [True, False]
    else:
        allowed = list(item.metadata["choices"])
    for value in allowed:
        try:
            config = kind.from_dict({**smallest(kind), item.name: value})
        except ConfigError as error:
            assert "must be between" not in str(error)  # noqa: PT017  either outcome is right
            assert "must be one of" not in str(error)  # noqa: PT017
        else:
            assert getattr(config, item.name) == value


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"d_model": 60, "num_heads": 8}, ["num_heads = 8", "d_model = 60"]),
        ({"d_model": 9, "num_heads": 3}, ["d_model = 9", "even"]),
        ({"d_model": 10**9}, ["d_model = 1000000000", "8,192"]),
        ({"share_embeddings": True}, ["share_embeddings", "40", "50"]),
        ({"unk_id": 40}, ["unk_id = 40", "40"]),
        ({"decoder_start_id": 45}, ["decoder_start_id = 45"]),
        ({"pad_id": 2}, ["pad_id", "eos_id", "2"]),
        ({"d_model": 8192, "d_ff": 32768}, ["parameters", "500,000,000", "d_model"]),
        ({"target_vocab_size": 1 << 20}, ["parameters"]),
    ],
)
def test_fields_that_contradict_each_other(changes: dict[str, Any], named: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        TransformerConfig(**VOCABULARIES | changes)
    for part in named:
        assert part in str(caught.value)


def test_contradictions_in_training_and_data() -> None:
    with pytest.raises(ConfigError, match="warmup_steps = 0"):
        TrainingConfig(schedule="inverse-sqrt", warmup_steps=0)
    with pytest.raises(ConfigError, match=r"weight_decay = 60: times the learning rate of 0.02"):
        TrainingConfig(learning_rate=0.02, weight_decay=60.0)
    with pytest.raises(ConfigError, match=r"min_letters = 9.*max_letters = 3"):
        DataConfig(min_letters=9, max_letters=3)


# --- Junk ------------------------------------------------------------------------------------

leaves = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(-2, 70),
    st.floats(),
    st.floats(0, 1),
    st.text(max_size=8),
    st.sampled_from(["relu", "gelu", "words", "bpe", "constant", "inverse-sqrt", "halves"]),
)
junk = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=5,
)


def only_valid_or_config_error(kind: type[Config], values: object) -> None:
    try:
        config = kind.from_dict(values)
    except ConfigError as error:
        assert str(error)  # noqa: PT017  either outcome is right
        return
    for item in fields(kind):
        value = getattr(config, item.name)
        assert isinstance(value, bool) is (item.type is bool)
        if isinstance(value, int | float) and not isinstance(value, bool):
            assert item.metadata["minimum"] <= value <= item.metadata["maximum"]
        if item.metadata["choices"]:
            assert value in item.metadata["choices"]
    if isinstance(config, TransformerConfig):
        assert 0 < config.num_parameters <= MAX_PARAMETERS
        assert config.d_k * config.num_heads == config.d_model
    assert kind.from_dict(config.to_dict()) == config
    assert kind.from_dict(json.loads(json.dumps(config.to_dict()))) == config


@pytest.mark.parametrize("kind", CLASSES)
@settings(max_examples=150)
@given(data=st.data())
def test_junk_gives_a_valid_config_or_a_config_error(
    kind: type[Config], data: st.DataObject
) -> None:
    names = st.sampled_from([item.name for item in fields(kind)])
    values = data.draw(st.dictionaries(names | st.text(max_size=3), junk, max_size=4))
    only_valid_or_config_error(kind, values)
    # On top of valid values: otherwise a missing field would always be reported first.
    only_valid_or_config_error(kind, {**smallest(kind), **values})


@pytest.mark.parametrize("kind", CLASSES)
@given(values=junk)
@example(values=None)
@example(values=[["steps", 3]])
def test_what_is_not_an_object_of_fields_is_refused(kind: type[Config], values: object) -> None:
    only_valid_or_config_error(kind, values)


def nested(depth: int) -> list[Any]:
    inside: list[Any] = []
    for _ in range(depth):
        inside = [inside]
    return inside


HOSTILE: dict[str, Callable[[str], Any]] = {
    "5000 digits": lambda name: HUGE,
    "5000 digits in a list": lambda name: [HUGE],
    "key of 5000 digits": lambda name: {HUGE: 1},
    "unknown field of 5000 digits": lambda name: {"unknown": HUGE},
    "field of 5000 digits in a list": lambda name: {name: [HUGE]},
    "field of 5000 digits in an object": lambda name: {name: {"a": {"b": HUGE}}},
    "deep list": lambda name: nested(100_000),
    "field with a deep list": lambda name: {name: nested(100_000)},
    "long name": lambda name: {"x" * 10**6: 1},
    "long text": lambda name: {name: "x" * 10**6},
    "half a character": lambda name: {"\ud800": "\ud800"},
    "field with half a character": lambda name: {name: "\ud800"},
    "keys that are not text": lambda name: {1: 2, None: 3, (): 4},
    "bytes": lambda name: name.encode(),
}


@pytest.mark.parametrize(
    ("kind", "name"),
    [(TransformerConfig, "d_model"), (TrainingConfig, "schedule"), (DataConfig, "digits")],
)
@pytest.mark.parametrize("make", HOSTILE.values(), ids=HOSTILE)
def test_hostile_values_are_refused_in_a_short_sentence(
    kind: type[Config], name: str, make: Callable[[str], Any]
) -> None:
    values = make(name)
    if isinstance(values, dict):
        values = {**smallest(kind), **values}
    with pytest.raises(ConfigError) as caught:
        kind.from_dict(values)
    assert len(str(caught.value)) < 300
    str(caught.value).encode()  # it will be printed


def run_as_dict() -> dict[str, Any]:
    return {
        "preset": "tiny",
        "data": DataConfig().to_dict(),
        "model": TransformerConfig(**VOCABULARIES).to_dict(),
        "training": TrainingConfig().to_dict(),
    }


def test_round_trip_of_a_run() -> None:
    run = RunConfig.from_dict(json.loads(json.dumps(run_as_dict())))
    assert run.to_dict() == run_as_dict()
    assert RunConfig.from_dict(run.to_dict()) == run


@pytest.mark.parametrize("part", run_as_dict())
@pytest.mark.parametrize(
    "value",
    [HUGE, [HUGE], {"a": HUGE}, None, 5, True],
    ids=["huge", "in a list", "in", "-", "5", "t"],
)
def test_a_run_with_a_part_of_the_wrong_kind_is_refused(part: str, value: object) -> None:
    with pytest.raises(ConfigError) as caught:
        RunConfig.from_dict({**run_as_dict(), part: value})
    assert len(str(caught.value)) < 300


@given(junk, st.sampled_from(sorted(run_as_dict())), st.booleans())
def test_junk_gives_a_valid_run_or_a_config_error(value: object, part: str, drop: bool) -> None:
    values = run_as_dict()
    values[part] = value
    if drop:
        del values[part]
    for plain in (values, value):
        try:
            run = RunConfig.from_dict(plain)
        except ConfigError:
            continue
        assert RunConfig.from_dict(run.to_dict()) == run


def test_a_missing_field_is_named() -> None:
    with pytest.raises(ConfigError, match="target_vocab_size"):
        TransformerConfig.from_dict({"source_vocab_size": 10})


# --- Round trips and presets -----------------------------------------------------------------


@pytest.mark.parametrize("kind", CLASSES)
def test_round_trip_of_every_field(kind: type[Config]) -> None:
    config = kind.from_dict(smallest(kind))
    plain = config.to_dict()
    later = {
        TransformerConfig: LATER_FIELDS,
        TrainingConfig: {"fault": "", "weight_decay": 0.0, "bucketing": True},
    }.get(kind, {})
    assert list(plain) == [item.name for item in fields(kind) if item.name not in later]
    assert kind.from_dict(json.loads(json.dumps(plain))) == config
    for item in fields(kind):
        if item.default is not MISSING:
            assert plain.get(item.name, later.get(item.name)) == item.default


def test_what_the_encoder_reads_around_a_text_is_kept() -> None:
    ids = {"eos": [7, 8, 2], "bos-eos": [1, 7, 8, 2], "none": [7, 8]}
    for frame, framed in ids.items():
        config = TransformerConfig(**VOCABULARIES, source_frame=frame)
        assert config.framed([7, 8]) == framed
        assert TransformerConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


@settings(max_examples=30)
@given(st.integers(1, 64), st.integers(1, 64), st.integers(1, 9), st.floats(0, 0.5))
def test_round_trip_of_random_values(low: int, high: int, digits: int, share: float) -> None:
    config = DataConfig(
        task="pairs",
        min_letters=min(low, high),
        max_letters=max(low, high),
        digits=digits,
        held_out=share,
    )
    assert DataConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_replace_validates_again() -> None:
    config = TransformerConfig(**VOCABULARIES)
    assert config.replace(d_ff=1024).d_ff == 1024
    assert config.d_ff == 2048
    with pytest.raises(ConfigError, match="d_ff = 0"):
        config.replace(d_ff=0)


@pytest.mark.parametrize("kind", CLASSES)
def test_every_field_explains_itself(kind: type[Config]) -> None:
    """Every field has a help text for the app's form and the command line."""
    for item in fields(kind):
        assert item.metadata["help"].endswith(".")


def test_the_defaults_are_the_papers_base_model() -> None:
    config = TransformerConfig(**VOCABULARIES)
    assert (config.d_model, config.num_heads, config.d_k, config.d_ff) == (512, 8, 64, 2048)
    assert config.num_encoder_layers == config.num_decoder_layers == 6
    assert not config.norm_first
    assert config.tie_embeddings


@pytest.mark.parametrize("name", PRESETS)
def test_presets_give_valid_configs(name: str) -> None:
    chosen = preset(name)
    assert chosen.description.endswith(".")
    model = TransformerConfig(**VOCABULARIES, **chosen.model)
    training = TrainingConfig(**chosen.training)
    data = DataConfig(task="pairs" if chosen.only_pairs else "reverse", **chosen.data)
    for config in (model, training, data):
        assert type(config).from_dict(config.to_dict()) == config
    # The configs have every value that the preset sets.
    for config, changes in ((training, chosen.training), (data, chosen.data)):
        assert changes.items() <= config.to_dict().items()


def test_the_base_preset_reaches_the_papers_rate_after_its_warm_up() -> None:
    training = TrainingConfig(**preset("base").training)
    # Section 5.3: d_model^-0.5 · min(step^-0.5, step · warmup^-1.5), at step = warmup.
    assert training.learning_rate == pytest.approx(512**-0.5 * training.warmup_steps**-0.5)


def test_an_unknown_preset_is_named() -> None:
    with pytest.raises(ConfigError, match=r"'huge'.*tiny.*base"):
        preset("huge")
