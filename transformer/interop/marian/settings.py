"""Converts a MarianMT model's settings of architecture and decoding to our config."""

from collections.abc import Mapping
from typing import Any

from transformer.errors import CheckpointError
from transformer.vocabulary import SpecialIds

ACTIVATIONS = {"relu": "relu", "gelu": "gelu", "swish": "swish", "silu": "swish"}
DEFAULTS: dict[str, Any] = {
    "d_model": 1024,
    "encoder_layers": 12,
    "decoder_layers": 12,
    "encoder_attention_heads": 16,
    "decoder_attention_heads": 16,
    "encoder_ffn_dim": 4096,
    "decoder_ffn_dim": 4096,
    "max_position_embeddings": 1024,
    "activation_function": "gelu",
    "dropout": 0.1,
    "scale_embedding": False,
    "share_encoder_decoder_embeddings": True,
    "tie_word_embeddings": True,
    "vocab_size": 58101,
}
"""Defaults of MarianConfig for missing settings, from its documentation."""
NEUTRAL: dict[str, tuple[Any, ...]] = {
    "do_sample": (False,),
    "min_length": (0,),
    "min_new_tokens": (0,),
    "max_new_tokens": (),
    "repetition_penalty": (1.0,),
    "encoder_repetition_penalty": (1.0,),
    "no_repeat_ngram_size": (0,),
    "encoder_no_repeat_ngram_size": (0,),
    "num_beam_groups": (1,),
    "diversity_penalty": (0.0,),
    "forced_bos_token_id": (),
    "suppress_tokens": ([],),
    "begin_suppress_tokens": ([],),
    "sequence_bias": (),
    "exponential_decay_length_penalty": (),
    "force_words_ids": (),
    "constraints": (),
    "guidance_scale": (1.0,),
    "penalty_alpha": (0.0,),
    "dola_layers": (),
    "prompt_lookup_num_tokens": (),
    "stop_strings": (),
    "watermarking_config": (),
}
"""Settings of ``generate`` that our searches lack, with the values that have no effect."""
MAX_BEAMS = 64
MAX_POSITIONS = 4096


def architecture(said: Mapping[str, Any], source: int, target: int) -> dict[str, Any]:
    """Fields of our config from config.json, for vocabularies of these sizes.

    Raises:
        CheckpointError: our model cannot have this architecture.
    """
    settings = DEFAULTS | {name: said[name] for name in DEFAULTS if said.get(name) is not None}
    for one, other in (
        ("encoder_attention_heads", "decoder_attention_heads"),
        ("encoder_ffn_dim", "decoder_ffn_dim"),
    ):
        if settings[one] != settings[other]:
            raise CheckpointError(
                "config.json gives encoder and decoder different sizes "
                f"({one} = {str(settings[one])[:20]}, {other} = {str(settings[other])[:20]}); "
                "the model here has one for both."
            )
    activation = settings["activation_function"]
    if activation not in ACTIVATIONS:
        raise CheckpointError(
            f"config.json asks for the activation {str(activation)[:40]!r}; supported are "
            f"{', '.join(ACTIVATIONS)}."
        )
    sizes = {
        "vocab_size": (settings["vocab_size"], source),
        "decoder_vocab_size": (said.get("decoder_vocab_size") or settings["vocab_size"], target),
    }
    for name, (size, tokens) in sizes.items():
        if size != tokens:
            raise CheckpointError(
                f"config.json says {name} = {str(size)[:20]}, but the vocabulary lists {tokens:,} "
                "tokens."
            )
    for name in ("scale_embedding", "share_encoder_decoder_embeddings", "tie_word_embeddings"):
        if not isinstance(settings[name], bool):
            raise CheckpointError(f"config.json must say true or false for {name}.")
    return {
        "d_model": settings["d_model"],
        "num_heads": settings["encoder_attention_heads"],
        "num_encoder_layers": settings["encoder_layers"],
        "num_decoder_layers": settings["decoder_layers"],
        "d_ff": settings["encoder_ffn_dim"],
        "dropout": settings["dropout"],
        "max_length": settings["max_position_embeddings"],
        "activation": ACTIVATIONS[activation],
        "scale_embeddings": settings["scale_embedding"],
        "position_layout": "halves",
        "output_bias": True,
        "norm_first": False,
        "final_norm": False,
    }


def check_generation(settings: Mapping[str, Any], name: str) -> None:
    """Refuse settings that give ``generate`` outputs which our searches cannot produce.

    Args:
        settings: from the file; name: of the file.

    Raises:
        CheckpointError: names the setting.
    """
    for setting, neutral in NEUTRAL.items():
        value = settings.get(setting)
        if value is not None and value not in neutral:
            raise CheckpointError(
                f"{name} asks for {setting} = {str(value)[:40]}, which the searches here lack; "
                "remove it there to import the model without it."
            )
    beams = settings.get("num_beams")
    if beams is not None and (type(beams) is not int or not 1 <= beams <= MAX_BEAMS):
        raise CheckpointError(
            f"{name} asks for {str(beams)[:20]} beams; 1 to {MAX_BEAMS} are taken."
        )
    alpha = settings.get("length_penalty")
    if alpha is not None and (
        isinstance(alpha, bool) or not isinstance(alpha, int | float) or not 0 <= alpha <= 10
    ):
        raise CheckpointError(
            f"{name} asks for length_penalty = {str(alpha)[:20]}; 0 to 10 are taken."
        )


def searching(settings: Mapping[str, Any], special: SpecialIds) -> dict[str, Any]:
    """Fields of our config with which greedy and beam search match ``generate``.

    Raises:
        CheckpointError: a setting has a value that is not supported.
    """
    bad = settings.get("bad_words_ids")
    if bad not in (None, [], [[special.pad]]):
        raise CheckpointError(
            f"bad_words_ids = {str(bad)[:40]} forbids more than padding, which is not supported."
        )
    forced = settings.get("forced_eos_token_id")
    if forced not in (None, special.eos, [special.eos]):
        raise CheckpointError(
            f"forced_eos_token_id = {str(forced)[:20]} is not the end of a sequence, {special.eos}."
        )
    longest = settings.get("max_length")
    if longest is not None and (type(longest) is not int or not 1 < longest < 1 << 20):
        raise CheckpointError(f"max_length = {str(longest)[:20]}: must be a whole number above 1.")
    stopping = settings.get("early_stopping")
    names = {None: "estimate", False: "estimate", True: "full", "never": "never"}
    if stopping not in names:
        raise CheckpointError(f"early_stopping = {str(stopping)[:20]} is not known.")
    renormalised = settings.get("renormalize_logits")
    if renormalised not in (None, True, False):
        raise CheckpointError("renormalize_logits must be true or false.")
    # ``generate`` counts the start token too. A limit beyond the positions has no effect.
    fits = 0 if longest is None or longest > MAX_POSITIONS else longest - 1
    return {
        "pad_in_output": ("renormalised" if renormalised else "cut") if bad else "allowed",
        "longest_output": fits,
        "forces_end": forced is not None,
        "length_penalty": "length",
        "early_stopping": names[stopping],
    }
