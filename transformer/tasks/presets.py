"""Presets: named settings to start from, which change the defaults; the user's settings change
them further."""

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any

from transformer.config import DataConfig, RunConfig, TrainingConfig, TransformerConfig
from transformer.errors import ConfigError, TaskError
from transformer.tasks import Facts, Task, build_task, find_task
from transformer.tasks.own_pairs.task import OwnPairs

_SMALL_MODEL = {
    "d_model": 64,
    "num_heads": 4,
    "num_encoder_layers": 2,
    "num_decoder_layers": 2,
    "d_ff": 256,
    "dropout": 0.0,
    "norm_first": True,
    "final_norm": True,
    "max_length": 128,
}


@dataclass(frozen=True)
class Preset:
    """Changes to the defaults of TransformerConfig, TrainingConfig and DataConfig."""

    description: str
    only_pairs: bool = False
    model: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)


PRESETS = {
    "overfit": Preset(
        "Learns a handful of pairs by heart and is tested on the same pairs, to see that the "
        "loss can reach zero.",
        only_pairs=True,
        model=_SMALL_MODEL | {"num_encoder_layers": 1, "num_decoder_layers": 1},
        training={
            "optimizer": "muon",
            "steps": 600,
            "learning_rate": 6e-3,
            "warmup_steps": 20,
            "eval_every": 20,
            "decay_fraction": 0.2,
        },
        data={"held_out": 0.0},
    ),
    "tiny": Preset(
        "1 + 1 layers, width 64: for letter tasks, in half a minute or so.",
        model=_SMALL_MODEL | {"num_heads": 2, "num_encoder_layers": 1, "num_decoder_layers": 1},
        training={"steps": 1500},
    ),
    "small": Preset(
        "2 + 2 layers, width 64: for sorting, addition and short texts, in a minute or a few.",
        model=_SMALL_MODEL,
        training={"steps": 1500},
    ),
    "medium": Preset(
        "2 + 2 layers, width 128: for thousands of your own pairs, in minutes.",
        model=_SMALL_MODEL | {"d_model": 128, "d_ff": 512, "dropout": 0.1},
        training={
            "steps": 3000,
            "learning_rate": 1e-3,
            "warmup_steps": 200,
            "label_smoothing": 0.1,
        },
    ),
    "base": Preset(
        "The paper's base model: 6 + 6 layers, width 512. Needs a GPU.",
        training={
            "steps": 100_000,
            "batch_size": 256,
            # The paper's d_model^-0.5 · warmup_steps^-0.5, its rate at the end of the warm-up.
            "learning_rate": (512 * 4000) ** -0.5,
            "warmup_steps": 4000,
            "schedule": "inverse-sqrt",
            "decay_fraction": 0.0,
            "label_smoothing": 0.1,
            "eval_every": 1000,
        },
    ),
}


def preset(name: str) -> Preset:
    """The preset of that name.

    Raises:
        ConfigError: there is none.
    """
    if name not in PRESETS:
        raise ConfigError(f"There is no preset {name!r}; choose one of {', '.join(PRESETS)}.")
    return PRESETS[name]


def data_config(
    task: str, preset_name: str, changes: Mapping[str, Any] | None = None
) -> DataConfig:
    """The data settings of a task with a preset and the user's changes.

    Raises:
        ConfigError: the preset or a setting is not for this task.
    """
    if preset(preset_name).only_pairs and task != OwnPairs.name:
        raise ConfigError(f"The preset {preset_name!r} is for the task 'pairs' only.")
    for name in changes or {}:
        if name not in find_task(task).data_fields:
            raise ConfigError(
                f"The setting {name} does not apply to the task {task!r}; leave it out."
            )
    return DataConfig(**{"task": task} | preset(preset_name).data | dict(changes or {}))


def defaults(task: str, preset_name: str) -> dict[str, Any]:
    """Every setting's value with a preset, by name, before the user changes it.

    Raises:
        ConfigError: there is no such task or preset.
    """
    chosen, kind = preset(preset_name), find_task(task)
    values = {
        item.name: item.default
        for config in (DataConfig, TransformerConfig, TrainingConfig)
        for item in fields(config)
        if item.default is not MISSING
    }
    model, training = _recipe(kind, chosen)
    return {**values, **chosen.data, **chosen.model, **chosen.training, **model, **training}


def _recipe(kind: Task | type[Task], chosen: Preset) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """A task's changes to its default preset, of model and training; empty for other presets."""
    own = chosen is PRESETS[kind.default_preset]
    return (kind.default_model, kind.default_training) if own else ({}, {})


def run_config(
    facts: Facts,
    data: DataConfig,
    preset_name: str,
    model: Mapping[str, Any] | None = None,
    training: Mapping[str, Any] | None = None,
) -> RunConfig:
    """The full configuration of a run: defaults, preset, the task's and the user's changes.

    Raises:
        ConfigError: a setting is out of its bounds.
        TaskError: the task's longest text does not fit into the model.
    """
    chosen = preset(preset_name)
    sizes = dict(zip(("source_vocab_size", "target_vocab_size"), facts.vocab_sizes, strict=True))
    its_model, its_training = _recipe(find_task(data.task), chosen)
    full_model = TransformerConfig(**{**sizes, **chosen.model, **its_model, **(model or {})})
    full_training = TrainingConfig(**{**chosen.training, **its_training, **(training or {})})
    if full_model.share_embeddings and not facts.one_vocabulary:
        raise ConfigError(
            "share_embeddings = True: needs one vocabulary for both sides, but source and target "
            "have different tokens."
        )
    around = (len(full_model.framed(())), 1)
    for side, length, more in zip(("source", "target"), facts.longest, around, strict=True):
        if length + more > full_model.max_length:
            raise TaskError(
                f"The longest {side} has {length} tokens, and <eos> makes {length + more}, but the "
                f"model's max_length is {full_model.max_length}. Raise max_length, or shorten it."
            )
    return RunConfig(preset_name, data, full_model, full_training)


def prepare(
    task: str,
    preset_name: str | None = None,
    *,
    pairs: Path | None = None,
    data: Mapping[str, Any] | None = None,
    model: Mapping[str, Any] | None = None,
    training: Mapping[str, Any] | None = None,
) -> tuple[Task, RunConfig]:
    """Task and configuration from their names and the user's changes, from flags or a form.

    If the facts of the pairs are already known, :func:`data_config` and :func:`run_config` need
    no task.

    Raises:
        ConfigError, TaskError: something does not fit; the message names it.
    """
    preset_name = preset_name or find_task(task).default_preset
    settings = data_config(task, preset_name, data)
    built = build_task(settings, pairs)
    return built, run_config(built.facts(), settings, preset_name, model, training)
