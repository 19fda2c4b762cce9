"""Named starting points. A preset changes defaults; a person's own settings change it."""

from dataclasses import dataclass, field
from typing import Any

from transformer.errors import ConfigError

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
    model: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)


PRESETS = {
    "overfit": Preset(
        "Learns a handful of pairs by heart and is tested on those same pairs, to see that the "
        "loss can reach zero.",
        model=_SMALL_MODEL | {"num_encoder_layers": 1, "num_decoder_layers": 1},
        training={
            "steps": 600,
            "learning_rate": 3e-3,
            "warmup_steps": 20,
            "eval_every": 20,
            "decay_fraction": 0.2,
        },
        data={"held_out": 0.0},
    ),
    "tiny": Preset(
        "1 + 1 layers, width 64: for letter tasks, in seconds.",
        model=_SMALL_MODEL | {"num_heads": 2, "num_encoder_layers": 1, "num_decoder_layers": 1},
        training={"steps": 1500},
    ),
    "small": Preset(
        "2 + 2 layers, width 64: for sorting, addition and short texts, in a minute or two.",
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
        "The paper's base model: 6 + 6 layers, width 512. Needs a GPU, or a night.",
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
