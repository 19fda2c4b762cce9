"""One set of weights for three programs: ours, Hugging Face's MarianMT and CTranslate2."""

import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from benchmarks.peers.sizes import Size
from transformer.checkpoint import Checkpoint
from transformer.checkpoint.header import Header
from transformer.config import DataConfig, TransformerConfig
from transformer.interop.marian.convert import import_marian
from transformer.interop.marian.export import export_marian
from transformer.model import Transformer
from transformer.vocabulary import SpecialIds, Vocabulary
from transformer.vocabulary.pieces import MARK, PieceModel
from transformer.vocabulary.vocabulary import SENTENCEPIECE

NEVER = -1e4
"""Added to the logits of special tokens, so that none is written and all outputs are equally long.
"""
MIXING, SHARPNESS = 2.0, 4.0
"""Factors for the initial weights of sub-layer outputs, and of queries and keys. Without them an
untrained model attends evenly and repeats one token, so that all programs agree trivially; with
larger ones, rounding too often decides which token is written."""
LARGER = {
    "attention.output.weight": MIXING,
    "feed_forward.outer.weight": MIXING,
    "attention.query.weight": SHARPNESS,
    "attention.key.weight": SHARPNESS,
}


@dataclass(frozen=True)
class Marian:
    """A model in two forms. folder: as `transformers` reads it. model: ours, from that folder."""

    folder: Path
    model: Transformer
    tokens: tuple[str, ...]

    def sources(self, batch: int, length: int) -> list[list[int]]:
        """Rows of random ids, each of ``length`` tokens including </s>."""
        chance = random.Random(7)
        most = len(self.tokens) - 2
        return [
            [*(chance.randint(2, most) for _ in range(length - 1)), self.model.config.eos_id]
            for _ in range(batch)
        ]


def make(size: Size, folder: Path) -> Marian:
    """Write random weights as a MarianMT folder, and import it like a user's."""
    names = [MARK + f"w{number}" for number in range(size.words)]
    tokens = ["</s>", "<unk>", *names, "<pad>"]
    special = SpecialIds(pad=len(tokens) - 1, bos=len(tokens) - 1, eos=0, unk=1)
    pieces = PieceModel("unigram", {name: -float(n + 1) for n, name in enumerate(names)})
    vocabulary = Vocabulary(SENTENCEPIECE, tokens, special=special, pieces=pieces)
    config: TransformerConfig = size.config(
        source_vocab_size=len(tokens),
        target_vocab_size=len(tokens),
        share_embeddings=True,
        activation="swish",
        output_bias=True,
        position_layout="halves",
        length_penalty="length",
        decoder_start_id=special.bos,
        **{f"{name}_id": number for name, number in special._asdict().items()},
    )
    torch.manual_seed(3)
    model = Transformer(config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            for ending, factor in LARGER.items():
                if name.endswith(ending):
                    parameter.mul_(factor)
        # CTranslate2 starts the decoder from a zero vector, MarianMT from padding's vector.
        model.target_embedding.tokens.weight[special.pad] = 0.0
        for never in (special.pad, special.eos, special.unk):
            model.output.bias[never] = NEVER
    header = Header(config, vocabulary, vocabulary, DataConfig(task="imported"), None, [], None)
    export_marian(Checkpoint(header, dict(model.named_parameters())), folder)
    imported = import_marian(folder).model
    return Marian(folder, imported.eval(), tuple(tokens))


def hugging_face(marian: Marian) -> Any:
    from transformers import MarianMTModel

    return MarianMTModel.from_pretrained(marian.folder).eval()


def ctranslate2_translator(marian: Marian, device: str) -> Any:
    """CTranslate2 in fp32 on one thread, which needs only the list of tokens, no tokenizer."""
    import ctranslate2
    from ctranslate2.converters.transformers import MarianMTLoader

    spec = MarianMTLoader().get_model_spec(hugging_face(marian))
    tokens = list(marian.tokens[:-1])  # CTranslate2 has no <pad>
    spec.register_source_vocabulary(tokens)
    spec.register_target_vocabulary(tokens)
    spec.config.eos_token, spec.config.unk_token = "</s>", "<unk>"
    spec.config.decoder_start_token = "</s>"
    spec.validate()
    spec.optimize()
    folder = marian.folder.with_name("ctranslate2")
    folder.mkdir()
    spec.save(str(folder))
    return ctranslate2.Translator(
        str(folder), device=device, compute_type="float32", inter_threads=1, intra_threads=1
    )
