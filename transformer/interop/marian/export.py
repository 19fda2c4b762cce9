"""Exports a checkpoint to a MarianMT folder, which Hugging Face's `transformers` loads.

Logits are equal except for rounding. MarianMT has all sines before all cosines ("halves"): if ours
are interleaved, the dimensions of the residual stream are permuted to match, which changes no
output. What MarianMT does not support is refused by name.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from transformer.checkpoint import Checkpoint
from transformer.config import TransformerConfig
from transformer.errors import CheckpointError, explaining
from transformer.files import write_atomic
from transformer.interop.marian.convert import tensor_names
from transformer.interop.marian.piece_model import write_piece_model
from transformer.interop.planted import refuse_planted
from transformer.vocabulary import Vocabulary
from transformer.vocabulary.pieces import MARK, PieceModel
from transformer.vocabulary.vocabulary import printable

EPS = 1e-5
"""The ε of every LayerNorm in MarianMT, which has no setting for it."""
MIXES = ("self_attention.output.", "cross_attention.output.", "feed_forward.outer.")
"""Linear layers that write into the residual stream; the others read from it."""


def export_marian(checkpoint: Checkpoint, folder: Path) -> None:
    """Write config, weights, vocabularies and SentencePiece models into a new folder.

    Raises:
        CheckpointError: MarianMT cannot hold this model, or the folder is not empty.
    """
    config = checkpoint.config
    refuse_planted(checkpoint, "a MarianMT model")
    _check(config)
    vocabularies = {"source": checkpoint.source_vocabulary, "target": checkpoint.target_vocabulary}
    pieces = {side: _pieces(vocabulary) for side, vocabulary in vocabularies.items()}
    tokens = {side: _tokens(vocabulary) for side, vocabulary in vocabularies.items()}
    for example in checkpoint.header.examples:
        for side, text in (("source", example.source), ("target", example.target)):
            _check_cut(vocabularies[side], pieces[side], tokens[side], text)
    separate = tokens["source"] != tokens["target"]
    shared = config.share_embeddings and config.tie_embeddings
    files = {
        "model.safetensors": safetensors.torch.save(_weights(checkpoint), {"format": "pt"}),
        "config.json": _json(_config(config, shared)),
        "generation_config.json": _json(_generation(config)),
        "tokenizer_config.json": _json(_tokenizer(checkpoint, separate)),
        "vocab.json": _vocabulary(tokens["source"]),
        "source.spm": write_piece_model(pieces["source"]),
        "target.spm": write_piece_model(pieces["target"]),
    }
    if separate:
        files["target_vocab.json"] = _vocabulary(tokens["target"])
    with explaining(f"{folder} could not be written", CheckpointError):
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise CheckpointError(f"{folder} is not empty; name a new folder.")
        for name, content in files.items():
            write_atomic(folder / name, content)


def _check(config: TransformerConfig) -> None:
    reasons = {
        "norm_first = True (MarianMT normalises after each sub-layer)": config.norm_first,
        "decoder_norm = before (MarianMT normalises after each sub-layer)": (
            config.norms_first("decoder")
        ),
        "attention_width (in MarianMT heads together are d_model wide)": (
            config.inner_width != config.d_model
        ),
        "embedding_norm = True (MarianMT has no norm before its stacks)": config.embedding_norm,
        "final_norm = True (MarianMT has no norm after its stacks)": config.final_norm,
        f"layer_norm_eps = {config.layer_norm_eps:g} (MarianMT has {EPS:g})": (
            config.layer_norm_eps != EPS
        ),
        f"position_layout = {config.position_layout} (MarianMT has sinusoids)": (
            config.position_layout not in ("interleaved", "halves")
        ),
        "source_frame (MarianMT reads <eos> after a text)": (
            getattr(config, "source_frame", "eos") != "eos"
        ),
    }
    for reason, prevents in reasons.items():
        if prevents:
            raise CheckpointError(f"This model cannot be a MarianMT model because of {reason}.")


def _config(config: TransformerConfig, shared: bool) -> dict[str, Any]:
    return {
        "model_type": "marian",
        "architectures": ["MarianMTModel"],
        "is_encoder_decoder": True,
        "vocab_size": config.source_vocab_size,
        "decoder_vocab_size": config.target_vocab_size,
        "d_model": config.d_model,
        "encoder_layers": config.num_encoder_layers,
        "decoder_layers": config.num_decoder_layers,
        "encoder_attention_heads": config.num_heads,
        "decoder_attention_heads": config.num_heads,
        "encoder_ffn_dim": config.d_ff,
        "decoder_ffn_dim": config.feed_forward_width("decoder"),
        "max_position_embeddings": config.max_length,
        "activation_function": config.activation,
        "dropout": config.dropout,
        "attention_dropout": 0.0,
        "activation_dropout": 0.0,
        "scale_embedding": config.scale_embeddings,
        "share_encoder_decoder_embeddings": shared,
        "tie_word_embeddings": config.tie_embeddings,
        "normalize_before": False,
        "add_final_layer_norm": False,
        "static_position_embeddings": True,
        "dtype": "float32",
        **_ids(config),
    }


def _ids(config: TransformerConfig) -> dict[str, Any]:
    return {
        "pad_token_id": config.pad_id,
        "bos_token_id": config.bos_id,
        "eos_token_id": config.eos_id,
        "decoder_start_token_id": config.decoder_start_id,
        "forced_eos_token_id": config.eos_id if config.forces_end else None,
    }


def _generation(config: TransformerConfig) -> dict[str, Any]:
    """Settings of ``generate``: greedy, unless the caller asks for a beam."""
    # ``max_length`` counts the start token too.
    found = {**_ids(config), "max_length": 1 + (config.longest_output or config.max_length)}
    if config.pad_in_output != "allowed":
        found["bad_words_ids"] = [[config.pad_id]]
        found["renormalize_logits"] = config.pad_in_output == "renormalised"
    stopping: dict[str, Any] = {"full": True, "never": "never"}
    if config.early_stopping in stopping:
        # `transformers` accepts early_stopping only with a beam.
        found |= {"early_stopping": stopping[config.early_stopping], "num_beams": 4}
    return found


# --- weights ------------------------------------------------------------------------------


def _weights(checkpoint: Checkpoint) -> dict[str, Tensor]:
    config, tensors = checkpoint.config, checkpoint.tensors
    halves = torch.arange(config.d_model)
    if config.position_layout == "interleaved":
        halves = torch.cat([halves[0::2], halves[1::2]])
    found = {
        theirs: _in_order(ours, tensors[ours], halves)
        for theirs, ours in tensor_names(config).items()
    }
    model = checkpoint.model
    source, target, output = (
        table.detach()[:, halves].contiguous()
        for table in (
            model.source_embedding.tokens.weight,
            model.target_embedding.tokens.weight,
            model.output.weight,
        )
    )
    if config.share_embeddings and config.tie_embeddings:
        found["model.shared.weight"] = source
    else:
        found["model.encoder.embed_tokens.weight"] = source
        found["model.decoder.embed_tokens.weight"] = target
        if not config.tie_embeddings:
            found["lm_head.weight"] = output
    bias = tensors.get("output.bias", torch.zeros(config.target_vocab_size))
    found["final_logits_bias"] = bias.detach()[None].clone()
    return found


def _in_order(name: str, tensor: Tensor, halves: Tensor) -> Tensor:
    """A layer's tensor for the permuted residual stream; ``halves`` is the order of dimensions."""
    tensor = tensor.detach()
    if "residual.norm" in name:
        return tensor[halves].contiguous()
    if any(mix in name for mix in MIXES):
        return tensor[halves].contiguous()  # a matrix's rows, or a bias
    return (tensor[:, halves] if tensor.dim() == 2 else tensor).contiguous()


# --- vocabularies -------------------------------------------------------------------------


def _pieces(vocabulary: Vocabulary) -> PieceModel:
    """A SentencePiece model that tokenises like the vocabulary."""
    if vocabulary.pieces is not None:
        return vocabulary.pieces
    special = set(vocabulary.special)
    tokens = [token for number, token in enumerate(_tokens(vocabulary)) if number not in special]
    if len(set(tokens)) != len(tokens) or (vocabulary.kind != "bpe" and MARK in vocabulary.tokens):
        raise CheckpointError(
            f"The vocabulary has the token {printable(MARK)}, which means a space in MarianMT."
        )
    if vocabulary.kind == "bpe":
        ranks = {left + right: -float(n) for n, (left, right) in enumerate(vocabulary.merges)}
        last = -float(len(vocabulary.merges))
        return PieceModel("bpe", {t: ranks.get(t, last - n) for n, t in enumerate(tokens)})
    # Equal scores: a text of known tokens can be cut in one way only.
    spaced = vocabulary.kind == "words"
    return PieceModel("unigram", dict.fromkeys(tokens, -1.0), dummy_prefix=spaced, squeeze=spaced)


def _tokens(vocabulary: Vocabulary) -> list[str]:
    """The tokens in SentencePiece's form, with ``MARK`` for a space."""
    special = set(vocabulary.special)

    def written(number: int, token: str) -> str:
        if number in special or vocabulary.kind in ("bpe", "sentencepiece"):
            return token
        return MARK + token if vocabulary.kind == "words" else token.replace(" ", MARK)

    return [written(number, token) for number, token in enumerate(vocabulary.tokens)]


def _check_cut(vocabulary: Vocabulary, pieces: PieceModel, tokens: list[str], text: str) -> None:
    ids = {token: number for number, token in enumerate(tokens)}
    cut = [ids.get(piece) for piece, _ in pieces.cut([text])[0]]
    if vocabulary.kind != "sentencepiece" and cut != vocabulary.encode(text):
        raise CheckpointError(
            f"SentencePiece would cut {printable(text)!r} in another way than this model's "
            f"vocabulary of {vocabulary.kind} does, so that MarianMT could not read it alike."
        )


def _vocabulary(tokens: list[str]) -> bytes:
    return _json({token: number for number, token in enumerate(tokens)})


def _tokenizer(checkpoint: Checkpoint, separate: bool) -> dict[str, Any]:
    vocabulary = checkpoint.source_vocabulary
    names = {
        f"{name}_token": vocabulary.tokens[getattr(vocabulary.special, name)]
        for name in ("eos", "unk", "pad")
    }
    return {
        "tokenizer_class": "MarianTokenizer",
        "source_lang": "source",
        "target_lang": "target",
        "separate_vocabs": separate,
        "model_max_length": checkpoint.config.max_length,
        **names,
    }


def _json(plain: Mapping[str, Any]) -> bytes:
    return (json.dumps(plain, ensure_ascii=False, indent=2) + "\n").encode()
