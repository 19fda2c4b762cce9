"""Modules around ``nn.Transformer`` as in well-known tutorials, with the same names.

Each has ``logits(source, target)`` for ids [batch, position], with padding masked, whatever its
internal order of axes.
"""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from transformer.interop.foreign_vocabulary import Special


@dataclass(frozen=True)
class Shape:
    """The sizes of one random model, and settings that do not show in its tensors' shapes."""

    source_vocabulary: int = 23
    target_vocabulary: int = 19
    d_model: int = 16
    num_heads: int = 2
    encoder_layers: int = 2
    decoder_layers: int = 1
    d_ff: int = 24
    norm_first: bool = False
    activation: str = "relu"
    batch_first: bool = False
    bias: bool = True
    layer_norm_eps: float = 1e-5

    def transformer(self) -> nn.Transformer:
        return nn.Transformer(
            self.d_model,
            self.num_heads,
            self.encoder_layers,
            self.decoder_layers,
            self.d_ff,
            dropout=0.1,
            activation=self.activation,
            norm_first=self.norm_first,
            batch_first=self.batch_first,
            bias=self.bias,
            layer_norm_eps=self.layer_norm_eps,
        )


def run(
    transformer: nn.Transformer, source: Tensor, target: Tensor, padded: Tensor, first: bool
) -> Tensor:
    """Run nn.Transformer on [batch, position, d_model], in its order of axes (batch ``first``)."""
    if not first:
        source, target = source.transpose(0, 1), target.transpose(0, 1)
    length = target.size(1 if first else 0)
    future = torch.ones(length, length, dtype=torch.bool).triu(1)
    out = transformer(
        source,
        target,
        tgt_mask=future,
        src_key_padding_mask=padded,
        memory_key_padding_mask=padded,
    )
    return out if first else out.transpose(0, 1)


# --- PyTorch's "Language Translation with nn.Transformer and torchtext" -------------------------


class TokenEmbedding(nn.Module):
    def __init__(self, vocab_size: int, emb_size: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, emb_size)
        self.emb_size = emb_size

    def forward(self, tokens: Tensor) -> Tensor:
        return self.embedding(tokens.long()) * math.sqrt(self.emb_size)


class TutorialPositions(nn.Module):
    def __init__(self, emb_size: int, maxlen: int = 5000) -> None:
        super().__init__()
        den = torch.exp(-torch.arange(0, emb_size, 2) * math.log(10000) / emb_size)
        pos = torch.arange(0, maxlen).reshape(maxlen, 1)
        pos_embedding = torch.zeros((maxlen, emb_size))
        pos_embedding[:, 0::2] = torch.sin(pos * den)
        pos_embedding[:, 1::2] = torch.cos(pos * den)
        self.register_buffer("pos_embedding", pos_embedding.unsqueeze(-2))  # [length, 1, d]
        self.pos_embedding: Tensor


class Seq2SeqTransformer(nn.Module):
    pad = 1
    special = Special(pad=pad, bos=2, eos=3, unk=0)
    scaled = True

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.transformer = shape.transformer()
        self.generator = nn.Linear(shape.d_model, shape.target_vocabulary)
        self.src_tok_emb = TokenEmbedding(shape.source_vocabulary, shape.d_model)
        self.tgt_tok_emb = TokenEmbedding(shape.target_vocabulary, shape.d_model)
        self.positional_encoding = TutorialPositions(shape.d_model)
        self.batch_first = shape.batch_first
        for p in self.parameters():
            if p.dim() > 1:
                nn.init.xavier_uniform_(p)

    def logits(self, source: Tensor, target: Tensor) -> Tensor:
        table = self.positional_encoding.pos_embedding[:, 0]
        src = self.src_tok_emb(source) + table[: source.size(1)]
        tgt = self.tgt_tok_emb(target) + table[: target.size(1)]
        padded = source.eq(self.pad)
        return self.generator(run(self.transformer, src, tgt, padded, self.batch_first))


# --- One embedding for both, learned positions, fc_out: as in many notebooks --------------------


class SharedEmbedding(nn.Module):
    pad = 0
    special = Special(pad=pad, bos=1, eos=2, unk=3)
    scaled = False

    def __init__(self, shape: Shape, length: int = 40) -> None:
        super().__init__()
        assert shape.source_vocabulary == shape.target_vocabulary
        self.embedding = nn.Embedding(shape.source_vocabulary, shape.d_model, padding_idx=0)
        self.pos_embedding = nn.Embedding(length, shape.d_model)
        self.transformer = shape.transformer()
        self.fc_out = nn.Linear(shape.d_model, shape.target_vocabulary, bias=shape.bias)
        self.batch_first = shape.batch_first

    def logits(self, source: Tensor, target: Tensor) -> Tensor:
        src, tgt = (
            self.embedding(ids) + self.pos_embedding(torch.arange(ids.size(1)))
            for ids in (source, target)
        )
        padded = source.eq(self.pad)
        return self.fc_out(run(self.transformer, src, tgt, padded, self.batch_first))


# --- In the style of The Annotated Transformer, around nn.Transformer ---------------------------


class Embeddings(nn.Module):
    def __init__(self, d_model: int, vocab: int) -> None:
        super().__init__()
        self.lut = nn.Embedding(vocab, d_model)
        self.d_model = d_model

    def forward(self, x: Tensor) -> Tensor:
        return self.lut(x) * math.sqrt(self.d_model)


class PositionalEncoding(nn.Module):
    def __init__(self, d_model: int, max_len: int = 5000) -> None:
        super().__init__()
        pe = torch.zeros(max_len, d_model)
        position = torch.arange(0, max_len).unsqueeze(1)
        div_term = torch.exp(torch.arange(0, d_model, 2) * -(math.log(10000.0) / d_model))
        pe[:, 0::2] = torch.sin(position * div_term)
        pe[:, 1::2] = torch.cos(position * div_term)
        self.register_buffer("pe", pe.unsqueeze(0))  # [1, length, d]
        self.pe: Tensor

    def forward(self, x: Tensor) -> Tensor:
        return x + self.pe[:, : x.size(1)]


class Generator(nn.Module):
    def __init__(self, d_model: int, vocab: int) -> None:
        super().__init__()
        self.proj = nn.Linear(d_model, vocab)

    def forward(self, x: Tensor) -> Tensor:
        return self.proj(x)


class AnnotatedStyle(nn.Module):
    pad = 2
    special = Special(pad=pad, bos=0, eos=1, unk=3)  # its vocabulary: <s>, </s>, <blank>, <unk>
    scaled = True

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.model = shape.transformer()
        self.src_embed = nn.Sequential(
            Embeddings(shape.d_model, shape.source_vocabulary), PositionalEncoding(shape.d_model)
        )
        self.tgt_embed = nn.Sequential(
            Embeddings(shape.d_model, shape.target_vocabulary), PositionalEncoding(shape.d_model)
        )
        self.generator = Generator(shape.d_model, shape.target_vocabulary)
        self.batch_first = shape.batch_first

    def logits(self, source: Tensor, target: Tensor) -> Tensor:
        src, tgt, padded = (
            self.src_embed(source),
            self.tgt_embed(target),
            source.eq(self.pad),
        )
        return self.generator(run(self.model, src, tgt, padded, self.batch_first))


# --- A Lightning module: the model behind a prefix, the embedding tied to the output ------------


class TiedModel(nn.Module):
    """Positions [length, d] are all sines, then all cosines; the output has no bias."""

    pad = 0
    special = Special(pad=pad, bos=2, eos=3, unk=None)  # it has no <unk>
    scaled = True

    def __init__(self, shape: Shape, length: int = 60) -> None:
        super().__init__()
        self.encoder_embedding = nn.Embedding(shape.source_vocabulary, shape.d_model)
        self.decoder_embedding = nn.Embedding(shape.target_vocabulary, shape.d_model)
        nn.init.normal_(self.encoder_embedding.weight, std=shape.d_model**-0.5)
        nn.init.normal_(self.decoder_embedding.weight, std=shape.d_model**-0.5)
        half = shape.d_model // 2
        rates = torch.exp(torch.arange(half) * -(math.log(10000.0) / half))
        angles = torch.arange(length)[:, None] * rates
        self.register_buffer("pe", torch.cat([angles.sin(), angles.cos()], dim=1))
        self.pe: Tensor
        self.transformer = shape.transformer()
        self.out = nn.Linear(shape.d_model, shape.target_vocabulary, bias=False)
        self.out.weight = self.decoder_embedding.weight
        self.batch_first = shape.batch_first
        self.scale = math.sqrt(shape.d_model)

    def logits(self, source: Tensor, target: Tensor) -> Tensor:
        src, tgt = (
            embedding(ids) * self.scale + self.pe[: ids.size(1)]
            for embedding, ids in (
                (self.encoder_embedding, source),
                (self.decoder_embedding, target),
            )
        )
        padded = source.eq(self.pad)
        return self.out(run(self.transformer, src, tgt, padded, self.batch_first))


def lightning_file(module: nn.Module) -> dict[str, Any]:
    """The content of a file by Lightning's ``save_checkpoint``: the state dict and more."""
    state = {f"model.{name}": tensor for name, tensor in module.state_dict().items()}
    return {"epoch": 3, "global_step": 120, "state_dict": state, "hyper_parameters": {"lr": 1e-3}}


TUTORIALS = {
    "translation": Seq2SeqTransformer,
    "shared": SharedEmbedding,
    "annotated": AnnotatedStyle,
    "lightning": TiedModel,
}


def randomised(module: nn.Module) -> nn.Module:
    """Set evaluation mode and randomise biases and gains, so that it matters where they apply."""
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.dim() == 1:
                parameter.add_(torch.randn_like(parameter) * 0.3)
    return module.eval()
