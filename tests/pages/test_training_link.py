"""The Train form as a link: no setting is lost, and no invalid one is accepted."""

from dataclasses import fields
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pages.components.training.link import (
    CONFIGS,
    SETTINGS,
    Choice,
    applies,
    link,
    link_of,
    presets_of,
    read_link,
)
from transformer.config import RunConfig
from transformer.errors import ConfigError
from transformer.tasks import TASKS, Facts
from transformer.tasks.presets import data_config, defaults, run_config

FACTS = Facts((40, 50), (8, 9), True)
MODEST = {"d_model": 256, "d_ff": 512, "num_encoder_layers": 4, "num_decoder_layers": 4}


def value_of(name: str) -> st.SearchStrategy[Any]:
    item = SETTINGS[name][1]
    low, high = item.metadata["minimum"], item.metadata["maximum"]
    if item.type is bool:
        return st.booleans()
    if item.metadata["choices"]:
        return st.sampled_from(item.metadata["choices"])
    if item.type is int:
        return st.integers(low, min(high, MODEST.get(name, high)))
    return st.floats(low, high, exclude_min=item.metadata["above_minimum"])


@st.composite
def run_configs(draw: st.DrawFn) -> RunConfig:
    task = draw(st.sampled_from(list(TASKS)))
    preset = draw(st.sampled_from(presets_of(task)))
    names = [name for name in SETTINGS if applies(name, task)]
    changes = {name: draw(value_of(name)) for name in draw(st.sets(st.sampled_from(names)))}
    return made(Choice(task, preset, changes))


def made(choice: Choice) -> RunConfig:
    data = data_config(choice.task, choice.preset, choice.part("data"))
    return run_config(FACTS, data, choice.preset, choice.part("model"), choice.part("training"))


@settings(max_examples=200)
@given(st.data())
def test_the_link_of_any_run_opens_the_form_with_its_whole_config(data: st.DataObject) -> None:
    try:
        config = data.draw(run_configs())
    except ValueError:
        return  # the drawn settings contradict each other
    query = link_of(config, "0" * 32 if config.data.task == "pairs" else "")
    choice, problem = read_link(query)
    assert not problem
    assert made(choice) == config
    assert link(choice) == query
    # Compact: only what differs from the preset.
    base = defaults(choice.task, choice.preset)
    assert all(choice.values[name] != base[name] for name in query if name in SETTINGS)


def test_every_setting_of_a_run_has_a_parameter() -> None:
    for config in CONFIGS.values():
        for item in fields(config):
            derived = item.name in ("task", "source_vocab_size", "target_vocab_size")
            assert derived or item.name.endswith("_id") or item.name in SETTINGS


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ({"task": "sort", "steps": "abc"}, "steps = 'abc'"),
        ({"task": "sort", "steps": "0"}, "steps = 0: must be between"),
        ({"task": "sort", "steps": "9" * 5000}, "steps = "),
        ({"task": "sort", "dropout": "nan"}, "dropout = nan"),
        ({"task": "sort", "norm_first": "yes"}, "norm_first = 'yes'"),
        ({"task": "sort", "activation": "<b>"}, "activation = '<b>'"),
        ({"task": "sort", "digits": "3"}, "digits does not apply"),
        ({"task": "sort", "preset": "overfit"}, "no preset overfit for this task"),
        ({"task": "sort", "controls": "gone"}, "controls = gone"),
        ({"task": "no such task"}, "no task no such task"),
    ],
)
def test_what_cannot_be_is_named_and_ignored(query: dict[str, str], named: str) -> None:
    choice, problem = read_link({**query, "seed": "7"})
    assert named in problem
    assert problem.endswith(".")
    assert len(problem) < 300
    assert choice.changes == {"seed": 7}
    made(choice)


@settings(max_examples=200)
@given(
    st.dictionaries(
        st.sampled_from(["task", "preset", "pairs", "controls", *SETTINGS]) | st.text(max_size=5),
        st.text(max_size=8) | st.integers().map(str) | st.floats().map(str),
    )
)
def test_any_address_opens_a_form(query: dict[str, str]) -> None:
    choice, _ = read_link(query)
    again, problem = read_link(link(choice))
    assert again == choice
    assert not problem
    try:
        made(choice)
    except ConfigError:
        pass  # each setting is valid alone; contradictions are reported when training starts
    except ValueError as error:
        assert "max_length" in str(error)  # noqa: PT017
