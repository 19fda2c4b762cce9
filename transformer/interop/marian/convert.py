"""Converts MarianMT models of Hugging Face to the model built here, with equal logits.

The input is a folder or a zip with ``config.json``, the weights, ``vocab.json`` and the two
SentencePiece models. A setting that changes the logits or the output of ``generate`` is either
taken over or refused. Every name and number in the files is checked before it is used.
"""

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from transformer.checkpoint import Checkpoint
from transformer.checkpoint.checkpoint import tensor_shapes
from transformer.checkpoint.header import MAX_FILE_BYTES, Header, parse_json
from transformer.config import DataConfig, TransformerConfig
from transformer.errors import CheckpointError, ConfigError, VocabularyError, reading
from transformer.interop.files.archives import Archive
from transformer.interop.files.state_dicts import read_state_dict
from transformer.interop.marian.piece_model import MAX_BYTES as MAX_SPM_BYTES
from transformer.interop.marian.piece_model import read_piece_model
from transformer.interop.marian.settings import architecture, check_generation, searching
from transformer.model import sinusoids
from transformer.vocabulary import SpecialIds, Vocabulary
from transformer.vocabulary.pieces import MARK, PieceModel
from transformer.vocabulary.vocabulary import SENTENCEPIECE, printable

MAX_JSON_BYTES = 8_000_000
WEIGHTS = ("model.safetensors", "pytorch_model.bin")
"""Files that may hold the weights; the first is preferred."""
WORDS = 6
"""Number of words in the example sentence of an imported model."""
POSITION_ROUNDING = 2e-3
"""Largest accepted deviation of a file's sinusoids, which may have 16 bits, from the formula."""

LAYER = {
    "self_attn.q_proj": "self_attention.query",
    "self_attn.k_proj": "self_attention.key",
    "self_attn.v_proj": "self_attention.value",
    "self_attn.out_proj": "self_attention.output",
    "fc1": "feed_forward.inner",
    "fc2": "feed_forward.outer",
}
CROSS = {
    name.replace("self_attn", "encoder_attn"): own.replace("self_", "cross_")
    for name, own in LAYER.items()
    if name.startswith("self_attn")
}
NORMS = {
    "self_attn_layer_norm": "self_attention_residual.norm",
    "final_layer_norm": "feed_forward_residual.norm",
}
CROSS_NORMS = {"encoder_attn_layer_norm": "cross_attention_residual.norm"}


def tensor_names(config: TransformerConfig) -> dict[str, str]:
    """Names of all tensors of the layers: MarianMT's -> ours."""
    found = {}
    for side, layers in (
        ("encoder", config.num_encoder_layers),
        ("decoder", config.num_decoder_layers),
    ):
        linear = LAYER | (CROSS if side == "decoder" else {})
        norms = NORMS | (CROSS_NORMS if side == "decoder" else {})
        for layer in range(layers):
            theirs, ours = f"model.{side}.layers.{layer}", f"{side}.layers.{layer}"
            for name, own in linear.items():
                for part in ("weight", "bias"):
                    found[f"{theirs}.{name}.{part}"] = f"{ours}.{own}.{part}"
            for name, own in norms.items():
                found[f"{theirs}.{name}.weight"] = f"{ours}.{own}.gain"
                found[f"{theirs}.{name}.bias"] = f"{ours}.{own}.bias"
    return found


def import_marian(path: Path) -> Checkpoint:
    """Convert a MarianMT model to a checkpoint of ours.

    Args:
        path: a folder, or a zip of one.

    Raises:
        CheckpointError: something is missing, damaged, or not supported; one sentence says what.
    """
    with _opened(path) as files:
        return _import(files)


@dataclass(frozen=True)
class _Files:
    """The files of a model, in a folder or in an archive.

    read: (name, most bytes) -> content of a file. weights: name -> all its tensors by name.
    """

    name: str
    names: frozenset[str]
    read: Callable[[str, int], bytes]
    weights: Callable[[str], dict[str, Tensor]]

    def json(self, name: str) -> dict[str, Any]:
        return parse_json(self.read(name, MAX_JSON_BYTES), f"The file {name}")


@contextmanager
def _opened(path: Path) -> Iterator[_Files]:
    if path.is_dir():
        names = frozenset(file.name for file in path.iterdir() if file.is_file())
        yield _Files(
            path.name,
            names,
            lambda name, most: _read(path / name, most),
            lambda name: read_state_dict(path / name),
        )
        return
    with Archive(path) as archive, tempfile.TemporaryDirectory() as scratch:
        configs = [name for name in archive.members() if name.split("/")[-1] == "config.json"]
        if not configs:
            raise CheckpointError("The zip archive has no config.json, which a MarianMT model has.")
        folder = min(configs, key=lambda name: name.count("/")).removesuffix("config.json")

        def unpacked(name: str) -> dict[str, Tensor]:
            target = Path(scratch, "weights" + Path(name).suffix)
            archive.extract(folder + name, target, MAX_FILE_BYTES)
            try:
                return read_state_dict(target)
            finally:
                target.unlink(missing_ok=True)

        yield _Files(
            folder.rstrip("/").rpartition("/")[2] or path.name,
            frozenset(
                name.removeprefix(folder) for name in archive.members() if name.startswith(folder)
            ),
            lambda name, most: archive.read(folder + name, most),
            unpacked,
        )


def _read(path: Path, most: int) -> bytes:
    with reading(path):
        size = path.stat().st_size
        if size > most:
            raise CheckpointError(
                f"The file {path.name} has {size:,} bytes; at most {most:,} are taken."
            )
        return path.read_bytes()


def _check_kind(config: Mapping[str, Any]) -> None:
    """Refuse other types of model; this comes first, as their folders may have all the files."""
    kind = config.get("model_type")
    if kind == "marian":
        return
    said = f"describes a model of type {str(kind)[:40]!r}" if kind else "names no model_type"
    raise CheckpointError(
        f"config.json {said}; of Hugging Face's models only 'marian' is taken. With its code at "
        "hand, capture.py of the Debug page takes other encoder-decoders."
    )


def _import(files: _Files) -> Checkpoint:
    if "config.json" in files.names:
        _check_kind(files.json("config.json"))
    needed = ["config.json", "vocab.json", "source.spm", "target.spm"]
    missing = [name for name in needed if name not in files.names]
    weights = next((name for name in WEIGHTS if name in files.names), None)
    if weights is None:
        missing.append(" or ".join(WEIGHTS))
    if missing:
        raise CheckpointError(
            f"The MarianMT model lacks {', '.join(missing)}; put it beside the other files."
        )
    assert weights is not None
    said = files.json("config.json")
    # Like `generate`: from generation_config.json, or for older models from config.json.
    own = "generation_config.json" in files.names
    generation = files.json("generation_config.json") if own else said
    check_generation(generation, "generation_config.json" if own else "config.json")
    source, target = _vocabularies(files, said)
    try:
        config = TransformerConfig(
            source_vocab_size=len(source),
            target_vocab_size=len(target),
            **architecture(said, len(source), len(target)),
            **searching(generation, source.special),
            **{f"{name}_id": number for name, number in source.special._asdict().items()},
            decoder_start_id=source.special.bos,
        )
        if config.longest_output >= config.max_length:
            config = config.replace(longest_output=0)
    except ConfigError as error:
        raise CheckpointError(f"config.json cannot be used. {error}") from None
    tensors = files.weights(weights)
    config, tensors = _converted(config, tensors, said)
    beams, alpha = generation.get("num_beams") or 1, generation.get("length_penalty")
    header = Header(
        config,
        source,
        target,
        DataConfig(task="imported"),
        None,
        [],
        None,
        f"Its own settings for decoding: a beam of {beams} with length penalty α = "
        f"{1.0 if alpha is None else alpha:g} over n^α.",
        origin=f"MarianMT model imported from {printable(files.name)}",
    )
    return Checkpoint(header, tensors).proven([(_sentence(source), "")])


# --- vocabularies -----------------------------------------------------------------------------


def _vocabularies(files: _Files, said: Mapping[str, Any]) -> tuple[Vocabulary, Vocabulary]:
    tokens = _tokens(files.json("vocab.json"), "vocab.json")
    separate = "target_vocab.json" in files.names
    target_tokens = tokens
    if separate:
        target_tokens = _tokens(files.json("target_vocab.json"), "target_vocab.json")
    names = {"eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"}
    if "tokenizer_config.json" in files.names:
        tokenizer = files.json("tokenizer_config.json")
        names |= {name: _content(tokenizer[name]) for name in names if tokenizer.get(name)}
    found = []
    for side, listed in (("source", tokens), ("target", target_tokens)):
        ids = {token: number for number, token in enumerate(listed)}
        for name in names.values():
            if name not in ids:
                raise CheckpointError(f"The {side} vocabulary lacks the token {printable(name)}.")
        pad, eos, start = (
            _id(said, name, default, len(listed))
            for name, default in (
                ("pad_token_id", 58100),
                ("eos_token_id", 0),
                ("decoder_start_token_id", 58100),
            )
        )
        for name, number in (("pad_token", pad), ("eos_token", eos)):
            if ids[names[name]] != number:
                raise CheckpointError(
                    f"config.json says that {name}_id is {number}, but {printable(names[name])} "
                    f"has the id {ids[names[name]]} in the {side} vocabulary."
                )
        special = SpecialIds(pad, start, eos, ids[names["unk_token"]])
        pieces = read_piece_model(files.read(f"{side}.spm", MAX_SPM_BYTES), f"{side}.spm")
        found.append(_vocabulary(side, listed, special, pieces))
    if found[0].special != found[1].special:
        raise CheckpointError(
            f"The two vocabularies number their special tokens differently, "
            f"{tuple(found[0].special)} and {tuple(found[1].special)}, which is not supported."
        )
    return found[0], found[1]


def _vocabulary(
    side: str, tokens: list[str], special: SpecialIds, pieces: PieceModel
) -> Vocabulary:
    try:
        return Vocabulary(SENTENCEPIECE, tokens, special=special, pieces=pieces)
    except VocabularyError as error:
        raise CheckpointError(f"The {side} vocabulary cannot be used. {error}") from None


def _tokens(listed: Mapping[str, Any], name: str) -> list[str]:
    """The tokens in the order of their ids, which must be 0, 1, 2 and so on."""
    if not all(type(number) is int for number in listed.values()):
        raise CheckpointError(f"{name} must give every token a whole number.")
    tokens = sorted(listed, key=listed.__getitem__)
    if [listed[token] for token in tokens] != list(range(len(tokens))):
        raise CheckpointError(f"The ids in {name} must be 0 to {len(tokens) - 1:,}, each once.")
    return tokens


def _content(token: Any) -> str:
    """The text of a special token in tokenizer_config.json: a string, or inside an object."""
    text = token.get("content") if isinstance(token, Mapping) else token
    if not isinstance(text, str):
        raise CheckpointError("A special token in tokenizer_config.json is not text.")
    return text


def _id(said: Mapping[str, Any], name: str, default: int, size: int) -> int:
    number = said.get(name, default)
    if type(number) is not int or not 0 <= number < size:
        raise CheckpointError(
            f"config.json says {name} = {str(number)[:20]}; it must be an id below {size:,}."
        )
    return number


def _sentence(vocabulary: Vocabulary) -> str:
    """Frequent words of the source vocabulary, as an example input in its language."""
    assert vocabulary.pieces is not None
    scores = vocabulary.pieces.pieces
    words = [
        piece
        for piece in scores
        if piece.startswith(MARK) and len(piece) > 3 and piece[1:].isalpha()
    ]
    words.sort(key=lambda piece: -scores[piece])
    for count in (WORDS, 1):
        text = " ".join(word[1:] for word in words[:count])
        if text and not vocabulary.unknown(text):
            return text
    known = [piece for piece in scores if vocabulary.encode(piece.replace(MARK, " "))]
    if not known:
        raise CheckpointError("The source vocabulary cannot write a single word.")
    return known[0].replace(MARK, " ").strip() or known[0]


# --- weights ------------------------------------------------------------------------------


def _converted(
    config: TransformerConfig, tensors: Mapping[str, Tensor], said: Mapping[str, Any]
) -> tuple[TransformerConfig, dict[str, Tensor]]:
    """The config with its tied and shared embeddings as found, and our tensors by name."""
    left = dict(tensors)
    names = tensor_names(config)
    missing = [name for name in names if name not in left]
    if missing:
        raise CheckpointError(
            f"The weights lack the tensor {missing[0]!r}"
            + (f" and {len(missing) - 1:,} more." if missing[1:] else ".")
        )
    found = {ours: left.pop(theirs) for theirs, ours in names.items()}
    for side in ("encoder", "decoder"):
        if (positions := left.pop(f"model.{side}.embed_positions.weight", None)) is not None:
            _check_positions(config, positions, side)
    bias = left.pop("final_logits_bias", torch.zeros(1, config.target_vocab_size))
    if bias.numel() != config.target_vocab_size:
        raise CheckpointError(
            f"The tensor 'final_logits_bias' has {bias.numel():,} numbers; expected "
            f"{config.target_vocab_size:,}."
        )
    found["output.bias"] = bias.flatten()
    source, target, output = _tables(left, bool(said.get("tie_word_embeddings", True)), said)
    config = config.replace(share_embeddings=source is target, tie_embeddings=target is output)
    found["source_embedding.tokens.weight"] = source
    if not config.share_embeddings:
        found["target_embedding.tokens.weight"] = target
    if not config.tie_embeddings:
        found["output.weight"] = output
    if left:
        raise CheckpointError(
            f"The weights have a tensor {next(iter(left))[:80]!r} that a MarianMT model has no "
            "place for."
        )
    for name, shape in tensor_shapes(config).items():
        if tuple(found[name].shape) != shape:
            raise CheckpointError(
                f"The tensor for {name!r} has shape {list(found[name].shape)}; config.json demands "
                f"{list(shape)}."
            )
    return config, {name: found[name].contiguous() for name in tensor_shapes(config)}


def _tables(
    left: dict[str, Tensor], tied: bool, said: Mapping[str, Any]
) -> tuple[Tensor, Tensor, Tensor]:
    """The source, target and output embeddings; tied ones are the same object."""
    shared = left.pop("model.shared.weight", None)
    source = left.pop("model.encoder.embed_tokens.weight", shared)
    target = left.pop("model.decoder.embed_tokens.weight", shared)
    output = left.pop("lm_head.weight", target if tied else None)
    if source is None or target is None or output is None:
        raise CheckpointError(
            "The weights lack the embeddings ('model.shared.weight', or one a side) or the output."
        )
    together = bool(said.get("share_encoder_decoder_embeddings", True))
    if tied:
        if not _same(target, output) or (
            shared is not None and together and not _same(shared, target)
        ):
            raise CheckpointError(
                "config.json says that embeddings and output are one table, but the weights hold "
                "several that differ."
            )
        output = target
    if together and tied:
        if not _same(source, target):
            raise CheckpointError(
                "config.json says that both sides share one embedding, but the weights hold two "
                "that differ."
            )
        return target, target, target
    return (target if _same(source, target) else source), target, output


def _same(one: Tensor, other: Tensor) -> bool:
    return one is other or torch.equal(one, other)


def _check_positions(config: TransformerConfig, positions: Tensor, side: str) -> None:
    expected = sinusoids(config)
    if (
        positions.shape != expected.shape
        or not (positions.float() - expected).abs().max() < POSITION_ROUNDING
    ):
        raise CheckpointError(
            f"The {side}'s positions in the weights are not the sinusoids that a MarianMT model "
            "has."
        )
