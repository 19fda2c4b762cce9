"""MarianMT models with random weights, made with Hugging Face's own code: the reference."""

import json
import os
import random
import warnings
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

os.environ["HF_HUB_OFFLINE"] = "1"  # nothing here is fetched

import sentencepiece
import torch

from transformer.checkpoint import Checkpoint
from transformer.decoding.steps import pad

warnings.filterwarnings("ignore", message="Recommended: pip install sacremoses")

if TYPE_CHECKING:
    from transformers import MarianMTModel, MarianTokenizer

SIZES: dict[str, dict[str, object]] = {
    "small": {
        "d_model": 32,
        "encoder_layers": 1,
        "decoder_layers": 1,
        "encoder_attention_heads": 2,
        "decoder_attention_heads": 2,
        "encoder_ffn_dim": 48,
        "decoder_ffn_dim": 48,
        "max_position_embeddings": 64,
        "init_std": 0.4,
        "activation_function": "relu",
        "ends": 2.0,
    },
    "medium": {
        "d_model": 64,
        "encoder_layers": 2,
        "decoder_layers": 3,
        "encoder_attention_heads": 4,
        "decoder_attention_heads": 4,
        "encoder_ffn_dim": 128,
        "decoder_ffn_dim": 128,
        "max_position_embeddings": 128,
        "scale_embedding": True,
        "init_std": 0.2,
        "pieces": 500,
        "ends": 3.5,
        "generation": {"bad_words_ids": [], "num_beams": 6, "max_length": 100},
    },
    "large": {
        "d_model": 128,
        "encoder_layers": 3,
        "decoder_layers": 2,
        "encoder_attention_heads": 8,
        "decoder_attention_heads": 8,
        "encoder_ffn_dim": 256,
        "decoder_ffn_dim": 256,
        "max_position_embeddings": 128,
        "scale_embedding": True,
        "init_std": 0.15,
        "activation_function": "gelu",
        "pieces": 700,
        "algorithm": "bpe",
        "ends": 6.0,
        "generation": {
            "bad_words_ids": [],
            "renormalize_logits": True,
            "early_stopping": True,
            "num_beams": 4,
        },
    },
}
ENGLISH, GERMAN = "etaoinshrdlucmwfgyp", "enisratdhulcgmobwfkzäöü"


def sentences(count: int, seed: int, letters: str = ENGLISH) -> list[str]:
    """Random sentences of a made-up language, with frequent and rare words."""
    world, chance = random.Random(letters), random.Random(seed)
    words = ["".join(world.choices(letters, k=world.randint(1, 8))) for _ in range(500)]
    rare_last = [1 / (rank + 1) for rank in range(len(words))]
    return [
        " ".join(chance.choices(words, rare_last, k=chance.randint(1, 14))).capitalize()
        + chance.choice([".", "!", " ?", ""])
        for _ in range(count)
    ]


TEXTS = sentences(100, seed=9)
ODD = [
    "", "  two  spaces ", "日本", "na日本 ta", "“tea” – ﬁ ① ㌔", "e\u0301 か\u3099", ">>fra<< tea",
    ">>a b<< tea", "tea >>fra<<", "\u00a0tea\u2003", "tea\ttea\n", "🙂", "▁tea", "TEA", "tea\u0000",
]  # fmt: skip


def train_pieces(path: Path, texts: Sequence[str], size: int, algorithm: str = "unigram") -> None:
    """Train a SentencePiece model and write it to ``path``."""
    with path.open("wb") as file:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(texts),
            model_writer=file,
            vocab_size=size,
            model_type=algorithm,
            minloglevel=2,
        )


def make_marian(
    folder: Path,
    *,
    seed: int = 0,
    pieces: int = 300,
    algorithm: str = "unigram",
    ends: float = 0.0,
    separate: bool = False,
    generation: dict[str, Any] | None = None,
    **settings: Any,
) -> None:
    """Write a MarianMT folder.

    Args:
        pieces: of each SentencePiece model, <unk>, <s> and </s> included.
        ends: added to the logit of </s>, so that some outputs end early.
        separate: give the target another vocabulary than the source.
        generation: values for generation_config.json besides the ids.
        settings: of MarianConfig.
    """
    folder.mkdir(parents=True)
    lists: list[dict[str, int]] = []
    for side, letters in (("source", ENGLISH), ("target", GERMAN)):
        train_pieces(folder / f"{side}.spm", sentences(3000, seed, letters), pieces, algorithm)
        processor = sentencepiece.SentencePieceProcessor(model_file=str(folder / f"{side}.spm"))
        known = [processor.id_to_piece(i) for i in range(processor.get_piece_size())]
        lists.append(dict.fromkeys(known[3:], 0))
    if not separate:
        lists = [lists[0] | lists[1]]
    size = 3 + max(map(len, lists))
    for name, listed in zip(("vocab.json", "target_vocab.json"), lists, strict=False):
        filler = [f"filler{n}" for n in range(size - 3 - len(listed))]
        tokens = ["</s>", "<unk>", *listed, *filler, "<pad>"]
        (folder / name).write_text(json.dumps({t: n for n, t in enumerate(tokens)}), "utf-8")
    # Importing it takes seconds, so only a process that makes a model does.
    from transformers import MarianConfig, MarianMTModel, MarianTokenizer

    config = MarianConfig(
        **{
            "vocab_size": size,
            "pad_token_id": size - 1,
            "decoder_start_token_id": size - 1,
            "eos_token_id": 0,
            "bos_token_id": 0,
            "forced_eos_token_id": 0,
            "activation_function": "swish",
            "share_encoder_decoder_embeddings": not separate,
            **settings,
        }
    )
    torch.manual_seed(seed)
    model = MarianMTModel(config).eval()
    with torch.no_grad():
        model.final_logits_bias.normal_(std=0.5)
        model.final_logits_bias[0, 0] += ends
    for name, value in (generation or {}).items():
        setattr(model.generation_config, name, value)
    if generation and "bad_words_ids" in generation:
        model.generation_config.bad_words_ids = [[size - 1]]
    model.save_pretrained(folder)
    files = [str(folder / name) for name in ("source.spm", "target.spm", "vocab.json")]
    own = str(folder / "target_vocab.json") if separate else None
    tokenizer = MarianTokenizer(  # type: ignore[call-arg, misc]
        *files,  # type: ignore[arg-type]
        own,
        source_lang="en",
        target_lang="de",
        separate_vocabs=separate,
    )
    tokenizer.save_pretrained(folder)


@cache
def load_marian(folder: Path) -> "tuple[MarianMTModel, MarianTokenizer]":
    """The model and its tokenizer as `transformers` loads them; each folder is read once."""
    from transformers import MarianMTModel, MarianTokenizer

    model = MarianMTModel.from_pretrained(folder).eval()
    return model, MarianTokenizer.from_pretrained(folder)


def batch(checkpoint: Checkpoint, texts: list[str]) -> torch.Tensor:
    return pad([checkpoint.encode(text)[0].tolist() for text in texts], checkpoint.config.pad_id)


def largest_difference(folder: Path, checkpoint: Checkpoint) -> float:
    """The largest difference of a logit, over all texts in batches, with random target tokens."""
    model, _ = load_marian(folder)
    config, worst = checkpoint.config, 0.0
    generator = torch.Generator().manual_seed(0)
    for start in range(0, len(TEXTS), 25):
        source = batch(checkpoint, TEXTS[start : start + 25])
        read = torch.randint(config.target_vocab_size, (len(source), 12), generator=generator)
        read[:, 0] = config.decoder_start_id
        with torch.inference_mode():
            theirs = model(
                input_ids=source,
                attention_mask=(source != config.pad_id).long(),
                decoder_input_ids=read,
            ).logits
            worst = max(worst, (theirs - checkpoint.model(source, read)).abs().max().item())
    return worst
