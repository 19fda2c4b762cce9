"""How long a MarianMT model of the paper's base size takes to upload, and then to answer:

    .venv/bin/python -m benchmarks.large_model

A model with random weights, d_model 512, 6 + 6 layers of 8 heads, one vocabulary of 58,000
pieces: about 75 million parameters, 300 MB. The clock of the first figure runs from handing the
file to the upload field until Attention has drawn all 144 maps of a first sentence; that of
the second until Decode shows its first step; that of the others from Enter in the input field to
the 144 maps of another sentence of ten words, drawn. The output to look at is given: where a
random model's own answers end, nobody knows.

On this machine as it is; leave it idle meanwhile. Memory is what the server's process holds.
"""

import argparse
import math
import random
import statistics
import string
import tempfile
import time
import zipfile
from pathlib import Path

import psutil
import torch
from playwright.sync_api import Page, expect, sync_playwright

from tests.browser.conftest import CHROMIUM_FLAGS, find_browser, start_server, stop_server
from transformer.checkpoint import Checkpoint
from transformer.checkpoint_header import Header
from transformer.config import DataConfig, TransformerConfig
from transformer.interop.marian_export import export_marian
from transformer.model import Transformer
from transformer.sentencepiece import MARK, PieceModel
from transformer.vocabulary import SENTENCEPIECE, SpecialIds, Vocabulary

TOKENS, PIECES = 58_000, 32_000
WORDS = 10


def vocabularies() -> tuple[Vocabulary, Vocabulary, list[str]]:
    """A vocabulary of made-up pieces for both sides, and words that its source side knows."""
    chance = random.Random(1)
    letters = string.ascii_lowercase + "äöüß"
    pieces = dict.fromkeys([*letters, MARK, *(MARK + letter for letter in letters)])
    while len(pieces) < TOKENS - 3:
        word = "".join(chance.choices(letters, k=chance.randint(2, 11)))
        pieces[(MARK if chance.random() < 0.6 else "") + word] = None
    names = list(pieces)
    tokens = ["</s>", "<unk>", *names, "<pad>"]
    special = SpecialIds(pad=TOKENS - 1, bos=TOKENS - 1, eos=0, unk=1)
    sides = []
    for start in (0, TOKENS - 3 - PIECES):
        scores = {
            piece: round(-math.log(rank + 2) - 3, 5)
            for rank, piece in enumerate([*names[:100], *names[max(start, 100) :][: PIECES - 100]])
        }
        model = PieceModel("unigram", scores)
        sides.append(Vocabulary(SENTENCEPIECE, tokens, special=special, pieces=model))
    words = [name[1:] for name in names[100:5000] if name[0] == MARK and len(name) > 4]
    return sides[0], sides[1], words


def make(folder: Path) -> list[str]:
    """Write the model as a MarianMT folder; returns words that it knows."""
    source, target, words = vocabularies()
    torch.manual_seed(0)
    config = TransformerConfig(
        source_vocab_size=TOKENS,
        target_vocab_size=TOKENS,
        share_embeddings=True,
        activation="swish",
        output_bias=True,
        position_layout="halves",
        pad_in_output="cut",
        length_penalty="length",
        forces_end=True,
        decoder_start_id=TOKENS - 1,
        **{f"{name}_id": number for name, number in source.special._asdict().items()},
    )
    model = Transformer(config)
    header = Header(config, source, target, DataConfig(task="imported"), None, [], None)
    export_marian(Checkpoint(header, dict(model.named_parameters())), folder)
    return words


def zipped(folder: Path, target: Path) -> Path:
    """The folder as a zip, stored as it is: weights hardly pack."""
    with zipfile.ZipFile(target, "w") as archive:
        for file in sorted(folder.iterdir()):
            archive.write(file, f"{folder.name}/{file.name}")
    return target
