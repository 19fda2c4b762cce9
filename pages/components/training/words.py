"""The settings of a run in words: their names, and what is changed of a preset in a line."""

from collections.abc import Mapping
from typing import Any

from pages.components.training.link import Choice

NAMES = {
    "steps": "Updates",
    "learning_rate": "Learning rate",
    "warmup_steps": "Warm-up updates",
    "d_model": "Width (d_model)",
    "num_heads": "Heads",
    "dropout": "Dropout",
    "d_ff": "Width of the feed-forward part (d_ff)",
    "num_encoder_layers": "Encoder layers",
    "num_decoder_layers": "Decoder layers",
    "activation": "Activation",
    "norm_first": "Norm first (pre-norm)",
    "final_norm": "A norm after each stack",
    "final_norm_side": "Where the norm after a stack stands",
    "decoder_norm": "Norms of the decoder",
    "embedding_norm": "A norm before each stack",
    "attention_width": "Width of all heads together",
    "decoder_d_ff": "The decoder's d_ff",
    "tie_embeddings": "Output tied to the target embedding",
    "share_embeddings": "One embedding for both sides",
    "scale_embeddings": "Embeddings scaled by √d_model",
    "position_layout": "Layout of the positions",
    "output_bias": "Bias in the output projection",
    "layer_norm_eps": "ε of the norms",
    "max_length": "Longest text, in tokens",
    "batch_size": "Pairs in a batch",
    "bucketing": "Batches of similar length",
    "optimizer": "Optimizer",
    "schedule": "After the warm-up",
    "decay_fraction": "Share of updates that decay to 0",
    "adam_beta1": "Adam's β₁",
    "adam_beta2": "Adam's β₂",
    "adam_eps": "Adam's ε",
    "weight_decay": "Weight decay",
    "label_smoothing": "Label smoothing",
    "gradient_clip": "Largest gradient norm",
    "until_loss": "Stop below the loss",
    "eval_every": "Updates between evaluations",
    "eval_examples": "Held-out pairs in between",
    "final_examples": "Held-out pairs first and last",
    "seed": "Seed",
    "threads": "Processor threads",
    "precision": "Precision",
    "device": "Device",
    "fault": "Planted fault",
    "min_letters": "Fewest letters",
    "max_letters": "Most letters",
    "digits": "Most digits",
    "tokens": "Tokens",
    "bpe_size": "Most byte-pair tokens",
    "held_out": "Share held out",
}
"""What a setting is called on screen; its name in files and on the command line is the key."""
SHORT = {"steps": "updates", "warmup_steps": "warm-up", "d_model": "width", "d_ff": "d_ff"}
"""Where a line has room for few words."""
MOST_IN_A_NAME = 3


def name_of(setting: str) -> str:
    return NAMES.get(setting, setting.replace("_", " ").capitalize())


def short_name(setting: str) -> str:
    """In the middle of a line."""
    name = SHORT.get(setting) or name_of(setting).split(" (")[0]
    return name if name.startswith("Adam") else name[0].lower() + name[1:]


def shown(value: Any) -> str:
    """A setting's value, as short as it can be."""
    if isinstance(value, bool):
        return ("off", "on")[value]
    if isinstance(value, float):
        return f"{value:g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def in_words(changes: Mapping[str, Any]) -> str:
    """Changed settings in a line: "learning rate 0.02, warm-up 0"."""
    return ", ".join(f"{short_name(name)} {shown(value)}" for name, value in changes.items())


def sizes(choice: Choice) -> str:
    """The model that would be trained, with the settings as they are, in a sentence."""
    values = choice.values
    heads, steps = values["num_heads"], values["steps"]
    return (
        f"{values['num_encoder_layers']} + {values['num_decoder_layers']} layers, width "
        f"{values['d_model']}, {heads} head{'' if heads == 1 else 's'}; {steps:,} "
        f"update{'' if steps == 1 else 's'}."
    )


def run_name(title: str, preset: str, changes: Mapping[str, Any]) -> str:
    """What a run is called: what it learns, its preset, and what differs from that."""
    named = dict(list(changes.items())[:MOST_IN_A_NAME])
    more = len(changes) - len(named)
    parts = [
        preset,
        *([in_words(named)] if named else []),
        *([f"{more} more changed"] if more else []),
    ]
    return f"{title} ({', '.join(parts)})"[:200]
