"""Names of settings and values on screen; files and commands use the field names instead."""

import re
from typing import Any

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
    "final_norm": "Norm after each stack",
    "final_norm_side": "Where the norm after a stack stands",
    "decoder_norm": "Norms of the decoder",
    "embedding_norm": "Norm before each stack",
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

FIELD = re.compile("|".join(rf"\b{name}\b" + ("" if "_" in name else "(?= = )") for name in NAMES))
"""Finds field names in a message; English words among them, as ``seed``, only before `` = ``."""


def name_of(setting: str) -> str:
    """The name on screen of a config's field."""
    return NAMES.get(setting, setting.replace("_", " ").capitalize())


def on_screen(message: str) -> str:
    """A config's error message with the fields' names on screen."""
    return FIELD.sub(lambda found: NAMES[found[0]], message)


def shown(value: Any) -> str:
    """A setting's value as a short text for the screen."""
    if isinstance(value, bool):
        return ("off", "on")[value]
    if isinstance(value, float):
        return f"{value:g}"
    return f"{value:,}" if isinstance(value, int) else str(value)
