"""torch.nn.Transformer as PyTorch's tutorial on translation uses it.

"Language Translation with nn.Transformer and torchtext": batches in the order of the pairs, padded
to their longest, [position, batch]; all masks made for every batch; separate embeddings and output;
dropout also on attention weights and inside the feed-forward network.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from benchmarks.peers.sizes import DROPOUT, Size
from transformer.training.batches import Encoded
from transformer.vocabulary.vocabulary import BOS_ID, EOS_ID, PAD_ID


class TokenEmbedding(nn.Module):
    def __init__(self, tokens: int, d_model: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(tokens, d_model)

    def forward(self, ids: Tensor) -> Tensor:
        return self.embedding(ids) * math.sqrt(self.embedding.embedding_dim)


class PositionalEncoding(nn.Module):
    table: Tensor

    def __init__(self, d_model: int, dropout: float, max_length: int = 512) -> None:
        super().__init__()
        rates = torch.exp(-torch.arange(0, d_model, 2) * math.log(10000) / d_model)
        angles = torch.arange(max_length)[:, None] * rates
        table = torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(-2)
        self.register_buffer("table", table[:, None])  # [position, 1, d_model]
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        return self.dropout(x + self.table[: x.size(0)])


class Seq2SeqTransformer(nn.Module):
    def __init__(self, size: Size, tokens: int, dropout: float = DROPOUT) -> None:
        super().__init__()
        self.transformer = nn.Transformer(
            d_model=size.d_model,
            nhead=size.num_heads,
            num_encoder_layers=size.layers,
            num_decoder_layers=size.layers,
            dim_feedforward=4 * size.d_model,
            dropout=dropout,
        )
        self.source_embedding = TokenEmbedding(tokens, size.d_model)
        self.target_embedding = TokenEmbedding(tokens, size.d_model)
        self.positions = PositionalEncoding(size.d_model, dropout)
        self.generator = nn.Linear(size.d_model, tokens)
        for parameter in self.parameters():
            if parameter.dim() > 1:
                nn.init.xavier_uniform_(parameter)

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        """ids [position, batch] -> logits [position, batch, tokens]"""
        length = target.size(0)
        future = torch.triu(torch.full((length, length), -torch.inf, device=target.device), 1)
        nothing = torch.zeros((source.size(0),) * 2, dtype=torch.bool, device=source.device)
        padded, target_padded = (source == PAD_ID).T, (target == PAD_ID).T
        out = self.transformer(
            self.positions(self.source_embedding(source)),
            self.positions(self.target_embedding(target)),
            nothing,
            # The tutorial's float mask, as boolean like the others: PyTorch warns of mixed types.
            future == -torch.inf,
            None,
            padded,
            target_padded,
            padded,
        )
        return self.generator(out)


def collate(pairs: list[Encoded]) -> tuple[Tensor, Tensor]:
    """The tutorial's ``collate_fn``: <bos> and <eos> around both sides, [position, batch]."""
    sides = []
    for side in range(2):
        rows = [torch.tensor([BOS_ID, *pair[side], EOS_ID]) for pair in pairs]
        sides.append(pad_sequence(rows, padding_value=PAD_ID))
    return sides[0], sides[1]
