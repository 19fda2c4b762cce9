"""The settings of a run in one line: its sizes, and its changes to the preset."""

from collections.abc import Mapping
from typing import Any

from pages.components.training.link import Choice
from transformer.config.names import name_of, shown

SHORT = {"steps": "updates", "warmup_steps": "warm-up", "d_model": "width", "d_ff": "d_ff"}
"""Short names of settings, for narrow lines."""
MOST_IN_A_NAME = 3


def short_name(setting: str) -> str:
    """A setting's name as it is written in the middle of a sentence."""
    name = SHORT.get(setting) or name_of(setting).split(" (")[0]
    return name if name.startswith("Adam") else name[0].lower() + name[1:]


def in_words(changes: Mapping[str, Any]) -> str:
    """Changed settings in a line: "learning rate 0.02, warm-up 0"."""
    return ", ".join(f"{short_name(name)} {shown(value)}" for name, value in changes.items())


def sizes(choice: Choice) -> str:
    """The size of the model and the number of updates, in a sentence."""
    values = choice.values
    heads, steps = values["num_heads"], values["steps"]
    return (
        f"{values['num_encoder_layers']} + {values['num_decoder_layers']} layers, width "
        f"{values['d_model']}, {heads} head{'' if heads == 1 else 's'}; {steps:,} "
        f"update{'' if steps == 1 else 's'}."
    )


def run_name(title: str, preset: str, changes: Mapping[str, Any]) -> str:
    """A run's name: what it learns, its preset, and the changes to the preset."""
    named = dict(list(changes.items())[:MOST_IN_A_NAME])
    more = len(changes) - len(named)
    parts = [
        preset,
        *([in_words(named)] if named else []),
        *([f"{more} more changed"] if more else []),
    ]
    return f"{title} ({', '.join(parts)})"[:200]
