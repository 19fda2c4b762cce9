"""nn.Transformer, trained and decoded as in PyTorch's tutorial."""

from collections.abc import Sequence

import torch
from torch.nn import functional as F

from benchmarks.peers.sizes import Size
from benchmarks.peers.tutorial import Seq2SeqTransformer
from transformer.config import TransformerConfig
from transformer.tasks import Pair, Task
from transformer.training.batches import Batch, collate, encode


class Tutorial:
    """The tutorial's model, at the size of ours, and its training step: plain Adam at 1e-4."""

    def __init__(self, config: TransformerConfig) -> None:
        size = Size("", config.d_model, config.num_encoder_layers, 0, 0, num_heads=config.num_heads)
        self.config = config
        tokens = max(config.source_vocab_size, config.target_vocab_size)
        self.model = Seq2SeqTransformer(size, tokens)
        self.adam = torch.optim.Adam(self.model.parameters(), lr=1e-4, betas=(0.9, 0.98), eps=1e-9)

    def step(self, batch: Batch) -> None:
        self.model.train()
        logits = self.model(batch.source.T, batch.target_in.T)
        self.adam.zero_grad()
        loss = F.cross_entropy(
            logits.flatten(0, 1), batch.target_out.T.flatten(), ignore_index=self.config.pad_id
        )
        loss.backward()
        self.adam.step()

    @torch.inference_mode()
    def exact_match(self, task: Task, pairs: Sequence[Pair]) -> float:
        """Exact match of greedy decoding without a cache, as in the tutorial."""
        self.model.eval()
        encoded = encode(task, pairs)
        source = collate(encoded, self.config).source.T
        longest = max(len(target) for _, target in encoded)
        written = torch.full((1, len(pairs)), self.config.decoder_start_id)
        for _ in range(longest + 1):
            chosen = self.model(source, written)[-1].argmax(dim=-1)
            written = torch.cat([written, chosen[None]])
        rows = written[1:].T.tolist()
        eos = self.config.eos_id
        found = [row[: row.index(eos)] if eos in row else [] for row in rows]
        return sum(row == target for row, (_, target) in zip(found, encoded, strict=True)) / len(
            pairs
        )
