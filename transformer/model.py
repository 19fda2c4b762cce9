"""The Transformer of "Attention Is All You Need" (Vaswani et al., 2017), by hand.

Read it from top to bottom: it follows the paper's order, section 3.2 (attention) to 3.5
(positions), then 3.1 (the stacks) that join the parts. Built from tensor operations,
``nn.Linear`` and ``nn.Embedding``; nothing here comes from PyTorch's own
attention or Transformer modules, which serve as oracles in the tests.

Dimensions, as the comments name them:

    batch       sentences computed together
    source      tokens of the source sentence
    target      tokens of the target sentence
    query, key  positions that look, positions that are looked at
    head        attention heads (num_heads, the paper's h)
    d_model     width of a token's vector
    d_k         width of one head, by default d_model / num_heads (the paper's d_k = d_v)
    d_ff        width inside the feed-forward network

Where the paper leaves a choice or modern practice differs, a config field decides;
docs/deviations.md lists every deviation.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from transformer.config import TransformerConfig
from transformer.dropout import Dropout
from transformer.hooks import HookPoint

# --- Section 3.2.1: scaled dot-product attention ------------------------------------------


def attention_scores(queries: Tensor, keys: Tensor) -> Tensor:
    """QKᵀ / √d_k: how well each query fits each key (section 3.2.1, before the softmax).

    Args:
        queries: [..., query, d_k]
        keys: [..., key, d_k]

    Returns:
        [..., query, key]
    """
    return queries @ keys.transpose(-2, -1) / math.sqrt(queries.size(-1))


def attention_weights(scores: Tensor, mask: Tensor | None = None) -> Tensor:
    """Softmax over the keys, the last axis: each query's weights sum to 1 (section 3.2.1).

    Args:
        scores: [..., query, key]
        mask: boolean, broadcastable to ``scores``, True where attention is allowed. A row
            that allows nothing becomes uniform rather than NaN, since the fill is the lowest
            finite number and not -inf.

    Returns:
        [..., query, key]
    """
    if mask is not None:
        scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
    return torch.softmax(scores, dim=-1)


def padding_mask(ids: Tensor, pad_id: int) -> Tensor:
    """True at real tokens: [batch, key] ids -> [batch, 1, 1, key] mask for every head and query."""
    return (ids != pad_id)[:, None, None, :]


def causal_mask(queries: int, keys: int, device: torch.device | None = None) -> Tensor:
    """True where a key is not in the query's future (section 3.2.3): [query, key].

    The queries are the last ones of the keys: with a cache, one query sees all keys so far.
    """
    offset = keys - queries
    return torch.ones(queries, keys, dtype=torch.bool, device=device).tril(offset)


# --- Section 3.2.2: multi-head attention --------------------------------------------------


@dataclass
class KeyValueCache:
    """Keys and values of the positions already decoded, so that a step computes one position.

    keys, values: [batch, head, key, d_k], None before the first step.
    """

    keys: Tensor | None = None
    values: Tensor | None = None

    def extend(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Append new positions; returns all keys and all values."""
        if self.keys is not None and self.values is not None:
            keys = torch.cat([self.keys, keys], dim=2)
            values = torch.cat([self.values, values], dim=2)
        self.keys, self.values = keys, values
        return keys, values

    def select(self, rows: Tensor) -> None:
        """Keep these rows of the batch, in this order: what a beam does after each step."""
        if self.keys is not None and self.values is not None:
            self.keys, self.values = self.keys[rows], self.values[rows]


class MultiHeadAttention(nn.Module):
    """Several attentions side by side, each in its own d_k-wide subspace (section 3.2.2)."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.num_heads, self.d_k = config.num_heads, config.d_k
        self.query = nn.Linear(config.d_model, config.inner_width)  # W^Q of all heads together
        self.key = nn.Linear(config.d_model, config.inner_width)  # W^K
        self.value = nn.Linear(config.d_model, config.inner_width)  # W^V
        self.output = nn.Linear(config.inner_width, config.d_model)  # W^O
        self.queries = HookPoint()  # [batch, head, query, d_k]
        self.keys = HookPoint()  # [batch, head, key, d_k]
        self.values = HookPoint()  # [batch, head, key, d_k]
        self.scores = HookPoint()  # [batch, head, query, key], before the mask
        self.weights = HookPoint()  # [batch, head, query, key]
        self.head_outputs = HookPoint()  # [batch, head, query, d_k]

    def split_heads(self, x: Tensor) -> Tensor:
        """[batch, position, h · d_k] -> [batch, head, position, d_k]"""
        return x.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)

    def merge_heads(self, x: Tensor) -> Tensor:
        """[batch, head, position, d_k] -> [batch, position, h · d_k]"""
        return x.transpose(1, 2).flatten(-2)

    def project(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values of x: [batch, key, d_model] -> twice [batch, head, key, d_k]."""
        return self.split_heads(self.key(x)), self.split_heads(self.value(x))

    def forward(self, x: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None) -> Tensor:
        """
        Args:
            x: what asks, [batch, query, d_model]
            keys, values: what is asked, from :meth:`project`, [batch, head, key, d_k]
            mask: True where attention is allowed, broadcastable to [batch, head, query, key]

        Returns:
            [batch, query, d_model]
        """
        queries = self.queries(self.split_heads(self.query(x)))  # [batch, head, query, d_k]
        keys, values = self.keys(keys), self.values(values)
        scores = self.scores(attention_scores(queries, keys))  # [batch, head, query, key]
        weights = self.weights(attention_weights(scores, mask))
        head_outputs = self.head_outputs(weights @ values)  # [batch, head, query, d_k]
        return self.output(self.merge_heads(head_outputs))


# --- Section 3.3: position-wise feed-forward network --------------------------------------

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": torch.relu,
    "gelu": F.gelu,
    "swish": F.silu,
}


class FeedForward(nn.Module):
    """max(0, xW₁ + b₁)W₂ + b₂ at every position alike (section 3.3)."""

    def __init__(self, config: TransformerConfig, d_ff: int) -> None:
        super().__init__()
        self.inner = nn.Linear(config.d_model, d_ff)
        self.outer = nn.Linear(d_ff, config.d_model)
        self.activation = ACTIVATIONS[config.activation]

    def forward(self, x: Tensor) -> Tensor:
        """[batch, position, d_model] -> [batch, position, d_model]"""
        return self.outer(self.activation(self.inner(x)))


# --- Section 3.4: embeddings ---------------------------------------------------------------


class Embedding(nn.Module):
    """Token vectors, times √d_model (section 3.4), plus positions (3.5), then dropout (5.4)."""

    def __init__(self, config: TransformerConfig, tokens: nn.Embedding) -> None:
        super().__init__()
        self.tokens = tokens
        self.scale = math.sqrt(config.d_model) if config.scale_embeddings else 1.0
        self.dropout = Dropout(config.dropout)
        self.positions: Tensor
        if config.position_layout == "learned":
            self.positions = nn.Parameter(torch.empty(config.max_length, config.d_model))
        else:
            self.register_buffer("positions", fixed_positions(config), persistent=False)

    def forward(self, ids: Tensor, start: int = 0) -> Tensor:
        """[batch, position] -> [batch, position, d_model]; ``start`` is the first position."""
        positions = self.positional_encoding(start, ids.size(1))
        return self.dropout(self.tokens(ids) * self.scale + positions)

    def positional_encoding(self, start: int, count: int) -> Tensor:
        """The vectors of positions ``start`` and after: [count, d_model]."""
        if start + count > len(self.positions):
            raise ValueError(
                f"This model has {len(self.positions)} positions; {start + count} are needed."
            )
        return self.positions[start : start + count]


# --- Section 3.5: positional encoding ------------------------------------------------------


def fixed_positions(config: TransformerConfig) -> Tensor:
    """What is added without being learned: sinusoids, or zeros. [max_length, d_model]

    Without positions the encoder sees a bag of tokens; the decoder has its causal mask.
    """
    if config.position_layout == "none":
        return torch.zeros(config.max_length, config.d_model)
    return sinusoids(config)


def sinusoids(config: TransformerConfig) -> Tensor:
    """sin(pos / 10000^(2i/d_model)) and the cosine beside it: [max_length, d_model] (3.5).

    Interleaved as the paper writes them, or all sines before all cosines (MarianMT).
    Computed in float64 and rounded once.
    """
    if torch.get_default_device().type == "meta":  # only shapes are asked for
        return torch.empty(config.max_length, config.d_model)
    position = torch.arange(config.max_length, dtype=torch.float64)[:, None]
    i = torch.arange(config.d_model // 2, dtype=torch.float64)
    angle = position / 10000 ** (2 * i / config.d_model)  # [max_length, d_model / 2]
    pair = (angle.sin(), angle.cos())
    if config.position_layout == "interleaved":
        encoding = torch.stack(pair, dim=-1).flatten(-2)
    else:
        encoding = torch.cat(pair, dim=-1)
    return encoding.to(torch.get_default_dtype())


# --- Section 3.1: encoder and decoder stacks -----------------------------------------------


class LayerNorm(nn.Module):
    """(x - mean) / √(variance + ε) · gain + bias over the last axis (Ba et al., 2016)."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(config.d_model))
        self.bias = nn.Parameter(torch.zeros(config.d_model))
        self.eps = config.layer_norm_eps

    def forward(self, x: Tensor) -> Tensor:
        """[..., d_model] -> [..., d_model]"""
        centred = x - x.mean(dim=-1, keepdim=True)
        variance = centred.square().mean(dim=-1, keepdim=True)
        return centred * torch.rsqrt(variance + self.eps) * self.gain + self.bias


class ResidualConnection(nn.Module):
    """LayerNorm(x + Sublayer(x)), as in section 3.1, or x + Sublayer(LayerNorm(x)) (pre-norm).

    Dropout goes on the sub-layer's output, before it is added (section 5.4).
    """

    def __init__(self, config: TransformerConfig, norm_first: bool) -> None:
        super().__init__()
        self.norm = LayerNorm(config)
        self.norm_first = norm_first
        self.dropout = Dropout(config.dropout)
        self.before = HookPoint()  # [batch, position, d_model]: the residual stream
        self.after = HookPoint()  # [batch, position, d_model]

    def forward(self, x: Tensor, sublayer: Callable[[Tensor], Tensor]) -> Tensor:
        x = self.before(x)
        if self.norm_first:
            x = x + self.dropout(sublayer(self.norm(x)))
        else:
            x = self.norm(x + self.dropout(sublayer(x)))
        return self.after(x)


class EncoderLayer(nn.Module):
    """Self-attention, then the feed-forward network (figure 1)."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        norm_first = config.norms_first("encoder")
        self.self_attention = MultiHeadAttention(config)
        self.self_attention_residual = ResidualConnection(config, norm_first)
        self.feed_forward = FeedForward(config, config.feed_forward_width("encoder"))
        self.feed_forward_residual = ResidualConnection(config, norm_first)

    def forward(self, x: Tensor, source_mask: Tensor) -> Tensor:
        """[batch, source, d_model] -> [batch, source, d_model]"""

        def attend(x: Tensor) -> Tensor:
            return self.self_attention(x, *self.self_attention.project(x), source_mask)

        x = self.self_attention_residual(x, attend)
        return self.feed_forward_residual(x, self.feed_forward)


class Encoder(nn.Module):
    """N layers, and a norm before or after them where the config asks for one."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.embedding_norm = LayerNorm(config) if config.embedding_norm else nn.Identity()
        self.layers = nn.ModuleList(EncoderLayer(config) for _ in range(config.num_encoder_layers))
        self.norm = LayerNorm(config) if config.norm_after("encoder") else nn.Identity()

    def forward(self, x: Tensor, source_mask: Tensor) -> Tensor:
        """[batch, source, d_model] -> [batch, source, d_model]"""
        x = self.embedding_norm(x)
        for layer in self.layers:
            x = layer(x, source_mask)
        return self.norm(x)


@dataclass
class LayerCache:
    """What one decoder layer need not compute again: its past, and its view of the source."""

    self_attention: KeyValueCache = field(default_factory=KeyValueCache)
    cross_attention: tuple[Tensor, Tensor] | None = None  # keys, values of the encoder's output

    def select(self, rows: Tensor) -> None:
        self.self_attention.select(rows)
        if self.cross_attention is not None:
            keys, values = self.cross_attention
            self.cross_attention = keys[rows], values[rows]


class DecoderLayer(nn.Module):
    """Masked self-attention, attention over the encoder's output, feed-forward (figure 1)."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        norm_first = config.norms_first("decoder")
        self.self_attention = MultiHeadAttention(config)
        self.self_attention_residual = ResidualConnection(config, norm_first)
        self.cross_attention = MultiHeadAttention(config)
        self.cross_attention_residual = ResidualConnection(config, norm_first)
        self.feed_forward = FeedForward(config, config.feed_forward_width("decoder"))
        self.feed_forward_residual = ResidualConnection(config, norm_first)

    def forward(
        self, x: Tensor, memory: Tensor, source_mask: Tensor, cache: LayerCache | None = None
    ) -> Tensor:
        """
        Args:
            x: [batch, target, d_model]; with a cache, only the positions not yet in it
            memory: the encoder's output, [batch, source, d_model]
            source_mask: [batch, 1, 1, source]

        Returns:
            [batch, target, d_model]
        """

        def attend_to_target(x: Tensor) -> Tensor:
            keys, values = self.self_attention.project(x)
            if cache is not None:
                keys, values = cache.self_attention.extend(keys, values)
            # Padding stands after the real tokens, where no real query can see it, so the
            # causal mask alone is enough.
            mask = causal_mask(x.size(1), keys.size(2), x.device)
            return self.self_attention(x, keys, values, mask)

        def attend_to_source(x: Tensor) -> Tensor:
            if cache is None:
                projected = self.cross_attention.project(memory)
            else:
                if cache.cross_attention is None:
                    cache.cross_attention = self.cross_attention.project(memory)
                projected = cache.cross_attention
            return self.cross_attention(x, *projected, source_mask)

        x = self.self_attention_residual(x, attend_to_target)
        x = self.cross_attention_residual(x, attend_to_source)
        return self.feed_forward_residual(x, self.feed_forward)


class Decoder(nn.Module):
    """N layers, and a norm before or after them where the config asks for one."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.embedding_norm = LayerNorm(config) if config.embedding_norm else nn.Identity()
        self.layers = nn.ModuleList(DecoderLayer(config) for _ in range(config.num_decoder_layers))
        self.norm = LayerNorm(config) if config.norm_after("decoder") else nn.Identity()

    def forward(
        self,
        x: Tensor,
        memory: Tensor,
        source_mask: Tensor,
        cache: list[LayerCache] | None = None,
    ) -> Tensor:
        """[batch, target, d_model] -> [batch, target, d_model]"""
        x = self.embedding_norm(x)
        for i, layer in enumerate(self.layers):
            x = layer(x, memory, source_mask, None if cache is None else cache[i])
        return self.norm(x)


@dataclass
class Memory:
    """An encoded batch of sources, and the decoder's cache over it.

    encoded: [batch, source, d_model]
    mask: [batch, 1, 1, source], True at real tokens
    cache: one entry a decoder layer; None computes everything again at every call
    length: target positions in the cache
    """

    encoded: Tensor
    mask: Tensor
    cache: list[LayerCache] | None = None
    length: int = 0

    def select(self, rows: Tensor) -> None:
        """Keep these rows of the batch, in this order."""
        self.encoded, self.mask = self.encoded[rows], self.mask[rows]
        for layer in self.cache or ():
            layer.select(rows)


def _empty_embedding(tokens: int, d_model: int) -> nn.Embedding:
    """An embedding whose vectors ``reset_parameters`` draws.

    Drawing them on the meta device, as nn.Embedding does, takes PyTorch over a second at first.
    """
    return nn.Embedding.from_pretrained(torch.empty(tokens, d_model), freeze=False)


class Transformer(nn.Module):
    """The whole model of figure 1."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.config = config
        target_tokens = _empty_embedding(config.target_vocab_size, config.d_model)
        if config.share_embeddings:
            source_tokens = target_tokens
        else:
            source_tokens = _empty_embedding(config.source_vocab_size, config.d_model)
        self.source_embedding = Embedding(config, source_tokens)
        self.target_embedding = Embedding(config, target_tokens)
        self.encoder = Encoder(config)
        self.decoder = Decoder(config)
        self.output = nn.Linear(config.d_model, config.target_vocab_size, bias=config.output_bias)
        if config.tie_embeddings:
            self.output.weight = target_tokens.weight
        self.logits = HookPoint()  # [batch, target, vocabulary]
        if not self.output.weight.is_meta:  # there, no parameter has a value
            self.reset_parameters()

    @property
    def dtype(self) -> torch.dtype:
        """Of the numbers that go from layer to layer; what a layer computes in may be another."""
        return self.target_embedding.tokens.weight.dtype

    def reset_parameters(self) -> None:
        """Xavier-uniform matrices, zero biases, embeddings of variance 1 / d_model.

        With embeddings of that variance, √d_model · embedding has variance 1, like the
        positions, and so have tied logits after a norm. An untrained tied model favours the
        token it has just read, so that its loss lies somewhat above ln|V|.
        """
        for name, parameter in self.named_parameters():
            if parameter.dim() == 1:
                nn.init.constant_(parameter, 1.0 if name.endswith("gain") else 0.0)
            elif name.endswith(("tokens.weight", "positions")):
                nn.init.normal_(parameter, std=self.config.d_model**-0.5)
            else:
                nn.init.xavier_uniform_(parameter)

    def encode(self, source: Tensor, *, cached: bool = False) -> Memory:
        """Run the encoder: ids [batch, source] -> what :meth:`decode` needs."""
        mask = padding_mask(source, self.config.pad_id)
        encoded = self.encoder(self.source_embedding(source), mask)
        cache = [LayerCache() for _ in self.decoder.layers] if cached else None
        return Memory(encoded, mask, cache)

    def decode(self, target: Tensor, memory: Memory) -> Tensor:
        """Run the decoder and the output projection.

        Args:
            target: ids [batch, target]; with a cached memory, only those after its ``length``.

        Returns:
            logits [batch, target, vocabulary]: at each position, of the token after it.
        """
        x = self.target_embedding(target, memory.length)
        if memory.cache is not None:
            memory.length += target.size(1)
        x = self.decoder(x, memory.encoded, memory.mask, memory.cache)
        return self.logits(self.output(x))

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        """ids [batch, source], [batch, target] -> logits [batch, target, vocabulary].

        ``target`` is the decoder's input: it starts with ``decoder_start_id``, and the logits
        at each position are for the token that follows it (section 3.1, "shifted right").
        """
        return self.decode(target, self.encode(source))
