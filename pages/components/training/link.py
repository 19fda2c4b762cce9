"""The choice in the Train page's form as query parameters, and back, for reloads and links.

    ?task=pairs&preset=small&steps=400&num_heads=2&pairs=0123...&controls=hidden

Settings have the names of their fields; only those that differ from the preset's are written.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields
from typing import Any

from transformer.config import DataConfig, RunConfig, TrainingConfig, TransformerConfig
from transformer.config.validation import check_field
from transformer.errors import ConfigError
from transformer.tasks import TASKS
from transformer.tasks.presets import PRESETS, defaults

CONFIGS: dict[str, type[Any]] = {
    "data": DataConfig,
    "model": TransformerConfig,
    "training": TrainingConfig,
}
DERIVED = {"task", "source_vocab_size", "target_vocab_size"}
"""Fields that have their own parameter, or follow from the pairs."""
SETTINGS: dict[str, tuple[str, Field[Any]]] = {
    item.name: (part, item)
    for part, config in CONFIGS.items()
    for item in fields(config)
    if item.name not in DERIVED and not item.name.endswith("_id")
}
"""Every setting that a user may change -> its part of the config, and its field."""
PLANTED = "fault"
"""The setting that the form leaves out, because faults are planted in the lab."""
PARAMETERS = {"task", "preset", "pairs", "controls", *SETTINGS}
HIDDEN = "hidden"
SEVEN = "seven"
"""The id that means the bundled seven sentences."""
INTEGER = re.compile("[+-]?[0-9]{1,20}")
MAX_SHOWN = 30


@dataclass(frozen=True)
class Choice:
    """The choice in the form.

    changes: name -> value of the settings that differ from the preset's.
    pairs: the id of the user's own pairs, or SEVEN; empty if none.
    locked: whether the controls are hidden.
    """

    task: str
    preset: str
    changes: dict[str, Any] = field(default_factory=dict)
    pairs: str = ""
    locked: bool = False

    @property
    def values(self) -> dict[str, Any]:
        """Name -> value of every setting."""
        return {**defaults(self.task, self.preset), **self.changes}

    def part(self, part: str) -> dict[str, Any]:
        """The changes to one config: "data", "model" or "training"."""
        return {name: value for name, value in self.changes.items() if SETTINGS[name][0] == part}


def first_choice(task: str | None = None) -> Choice:
    """A task, the first one by default, with its recommended preset."""
    name = task or next(iter(TASKS))
    return Choice(name, TASKS[name].default_preset)


def presets_of(task: str) -> list[str]:
    return [name for name in PRESETS if task == "pairs" or not PRESETS[name].only_pairs]


def applies(name: str, task: str) -> bool:
    """Whether a setting matters to a task."""
    return SETTINGS[name][0] != "data" or name in TASKS[task].data_fields


def link(choice: Choice) -> dict[str, str]:
    """The query parameters that open the form with this choice."""
    query = {"task": choice.task}
    if choice.preset != TASKS[choice.task].default_preset:
        query["preset"] = choice.preset
    base = defaults(choice.task, choice.preset)
    for name, value in choice.changes.items():
        if value != base[name] and applies(name, choice.task):
            query[name] = str(value).lower() if isinstance(value, bool) else str(value)
    if choice.pairs and choice.task == "pairs":
        query["pairs"] = choice.pairs
    if choice.locked:
        query["controls"] = HIDDEN
    return query


def link_of(config: RunConfig, pairs: str = "") -> dict[str, str]:
    """The query parameters that open the form with all settings of a run; empty if unknown.

    Args:
        pairs: for a run on the user's own pairs, their id (``pairs_store.keep_run``).
    """
    task = config.data.task
    if task not in TASKS:
        return {}
    known = config.preset in presets_of(task)
    preset = config.preset if known else TASKS[task].default_preset
    base = defaults(task, preset)
    # Every field: the configs' to_dict, which writes files, leaves out some.
    values = {**vars(config.data), **vars(config.model), **vars(config.training)}
    changes = {
        name: values[name] for name in SETTINGS if values[name] != base[name] and name != PLANTED
    }
    return link(Choice(task, preset, changes, pairs))


def read_link(query: Mapping[str, str]) -> tuple[Choice, str]:
    """The choice in an address, and a sentence on what in it is invalid; empty if nothing is.

    An invalid value is replaced by its default.
    """
    problems = []
    task = query.get("task", "")
    if task and task not in TASKS:
        problems.append(f"there is no task {_shown(task)}")
    choice = first_choice(task if task in TASKS else None)
    preset = query.get("preset", choice.preset)
    if preset not in presets_of(choice.task):
        problems.append(f"there is no preset {_shown(preset)} for this task")
        preset = choice.preset
    base = defaults(choice.task, preset)
    changes: dict[str, Any] = {}
    for name in SETTINGS:
        if name not in query:
            continue
        try:
            if name == PLANTED:
                raise ConfigError("a fault is planted in the lab, on the Debug page")
            if not applies(name, choice.task):
                raise ConfigError(f"{name} does not apply to this task")
            value = _value(SETTINGS[name][1], query[name])
        except ConfigError as error:
            problems.append(str(error).rstrip("."))
        else:
            if value != base[name]:
                changes[name] = value
    controls = query.get("controls", "")
    if controls not in ("", HIDDEN):
        problems.append(f"controls = {_shown(controls)}: can only be {HIDDEN}")
    sentence = ""
    if problems:
        noun = "one thing" if len(problems) == 1 else f"{len(problems)} things"
        sentence = f"The address asks for {noun} that cannot be set; the default is used: "
        sentence += "; ".join(problems[:5]) + ("; …" if len(problems) > 5 else "") + "."
    pairs = query.get("pairs", "") if choice.task == "pairs" else ""
    return Choice(choice.task, preset, changes, pairs, controls == HIDDEN), sentence


def _value(item: Field[Any], text: str) -> Any:
    """Parse the value of a field.

    Raises:
        ConfigError: the text is not a valid value of this field.
    """
    value: Any = text
    if item.type is bool:
        value = {"true": True, "false": False}.get(text, text)
    elif item.type is int and INTEGER.fullmatch(text):
        value = int(text)
    elif item.type is float:
        try:
            value = float(text)
        except ValueError:
            value = text
        else:
            if not math.isfinite(value):
                raise ConfigError(f"{item.name} = {_shown(text)}: must be a finite number")
    check_field(item, value)
    return value


def _shown(text: str) -> str:
    return text if len(text) <= MAX_SHOWN else text[: MAX_SHOWN - 1] + "…"
