"""Limits on runs, which an operator sets in environment variables."""

import os
from dataclasses import fields

import pytest

from tests.support.places import ROOT
from transformer.config.limits import PREFIX, Limits
from transformer.errors import ConfigError


def test_the_defaults_suit_one_person() -> None:
    limits = Limits.from_environment({})
    assert limits == Limits()
    assert not limits.owned
    assert limits.own_pairs
    assert limits.foreign_files
    assert limits.upload_mb == 512
    assert limits.slots == (os.cpu_count() or 1)
    assert limits.threads == 1
    assert limits.memory_bytes >= 1_000_000_000


def test_modes_are_stricter_and_single_limits_override_them() -> None:
    shared = Limits.from_environment({"WORKBENCH_MODE": "class"})
    demo = Limits.from_environment({"WORKBENCH_MODE": "demo"})
    assert shared.owned
    assert demo.owned
    assert shared.own_pairs
    assert not demo.own_pairs
    assert not demo.foreign_files
    assert demo.upload_mb == 64
    assert 0 < demo.minutes < shared.minutes
    assert demo.parameters < shared.parameters < Limits().parameters
    changed = {"WORKBENCH_MODE": "class", "WORKBENCH_MINUTES": "7.5", "WORKBENCH_TRAINERS": "3"}
    limits = Limits.from_environment(changed)
    assert (limits.minutes, limits.slots) == (7.5, 3)
    assert limits.parameters == shared.parameters


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("WORKBENCH_MODE", "school", "must be one of personal, class, demo"),
        ("WORKBENCH_TRAINERS", "many", "WORKBENCH_TRAINERS = 'many': must be a number"),
        ("WORKBENCH_TRAINERS", "-1", "must be between 0"),
        ("WORKBENCH_TRAINERS", "1" * 5000, "must be a number"),
        ("WORKBENCH_MINUTES", "nan", "finite"),
        ("WORKBENCH_RUNS_PER_BROWSER", "0", "must be between 1"),
        ("WORKBENCH_COMMIT_SECONDS", "5", "WORKBENCH_SNAPSHOT_SECONDS"),
    ],
)
def test_a_wrong_limit_is_named(name: str, value: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says) as caught:
        Limits.from_environment({name: value})
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 200


def test_the_chapter_for_a_class_lists_every_limit() -> None:
    chapter = (ROOT / "docs" / "a-class.md").read_text("utf-8")
    for item in fields(Limits):
        assert f"`{PREFIX}{item.name.upper()}`" in chapter
