"""Faults inside attention: scores, softmax, and how heads are split and merged (section 3.2)."""

import math

import torch
from torch import Tensor

from transformer.config import TransformerConfig
from transformer.faults.fault import Fault, in_attention
from transformer.model import MultiHeadAttention, attention_scores, attention_weights


def _several_heads(config: TransformerConfig) -> bool:
    return config.num_heads > 1


class Stepwise(MultiHeadAttention):
    """Multi-head attention in separate steps, so that a fault can override one of them."""

    def forward(self, x: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None) -> Tensor:
        queries = self.queries(self.split_heads(self.query(x)))
        keys, values = self.keys(keys), self.values(values)
        scores = self.scores(self.score(queries, keys))
        weights = self.weights(self.weigh(scores, mask))
        return self.join(self.head_outputs(weights @ values))

    def score(self, queries: Tensor, keys: Tensor) -> Tensor:
        """[batch, head, query, d_k], [batch, head, key, d_k] -> [batch, head, query, key]"""
        return attention_scores(queries, keys)

    def weigh(self, scores: Tensor, mask: Tensor | None) -> Tensor:
        """Attention weights, in the shape of the scores: [batch, head, query, key]"""
        return attention_weights(scores, mask)

    def join(self, head_outputs: Tensor) -> Tensor:
        """Merge the heads and apply W^O: [batch, head, query, d_k] -> [batch, query, d_model]"""
        return self.output(self.merge_heads(head_outputs))


class SoftmaxOverQueries(Stepwise):
    def weigh(self, scores: Tensor, mask: Tensor | None) -> Tensor:
        return _softmax(scores, mask, axis=-2)


class SoftmaxOverHeads(Stepwise):
    def weigh(self, scores: Tensor, mask: Tensor | None) -> Tensor:
        return _softmax(scores, mask, axis=1)


def _softmax(scores: Tensor, mask: Tensor | None, axis: int) -> Tensor:
    if mask is not None:
        scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
    return torch.softmax(scores, dim=axis)


class Unscaled(Stepwise):
    def score(self, queries: Tensor, keys: Tensor) -> Tensor:
        return attention_scores(queries, keys) * math.sqrt(queries.size(-1))


class ScaledByWidth(Stepwise):
    def score(self, queries: Tensor, keys: Tensor) -> Tensor:
        return attention_scores(queries, keys) / math.sqrt(self.num_heads)


class Multiplied(Stepwise):
    def score(self, queries: Tensor, keys: Tensor) -> Tensor:
        return attention_scores(queries, keys) * queries.size(-1)


class MergedByView(Stepwise):
    def merge_heads(self, x: Tensor) -> Tensor:
        batch, heads, length, d_k = x.shape
        return x.reshape(batch, length, heads * d_k)


class SplitByView(Stepwise):
    def split_heads(self, x: Tensor) -> Tensor:
        batch, length, d_model = x.shape
        return x.reshape(batch, self.num_heads, length, d_model // self.num_heads)


class NoOutputProjection(Stepwise):
    def join(self, head_outputs: Tensor) -> Tensor:
        return self.merge_heads(head_outputs)


class KeysAndValuesSwapped(Stepwise):
    def project(self, x: Tensor) -> tuple[Tensor, Tensor]:
        keys, values = super().project(x)
        return values, keys


class AcrossTheBatch(Stepwise):
    """Attends over the batch axis instead of positions; masks do not fit then, so it drops them."""

    def forward(self, x: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None) -> Tensor:
        keys, values = keys.transpose(0, 2), values.transpose(0, 2)
        return super().forward(x.transpose(0, 1), keys, values, None).transpose(0, 1)


FAULTS = (
    Fault(
        name="softmax-over-queries",
        title="The softmax runs over the queries",
        family="softmax",
        section="3.2.1",
        right="return torch.softmax(scores, dim=-1)",
        wrong="return torch.softmax(scores, dim=-2)",
        symptoms=(
            "The training loss is nearly zero, and every output is wrong.",
            "The attention weights of a query do not sum to 1.",
        ),
        why="Each key's weights over the queries sum to 1, so a query's weights depend on later "
        "queries: the decoder sees tokens that it has to predict.",
        remedy="Take the softmax over the last axis, the keys.",
        plant=in_attention(SoftmaxOverQueries),
    ),
    Fault(
        name="softmax-over-heads",
        title="The softmax runs over the heads",
        family="softmax",
        section="3.2.1",
        right="return torch.softmax(scores, dim=-1)",
        wrong="return torch.softmax(scores, dim=1)",
        symptoms=("Training is slow, and the attention maps look like noise.",),
        why="The heads compete at every pair of positions; masked pairs get a weight of "
        "1 / num_heads in each head, so no mask hides anything.",
        remedy="Take the softmax over the last axis, the keys.",
        plant=in_attention(SoftmaxOverHeads),
    ),
    Fault(
        name="unscaled-scores",
        title="The scores are not divided by √d_k",
        family="scores",
        section="3.2.1",
        right="return queries @ keys.transpose(-2, -1) / math.sqrt(queries.size(-1))",
        wrong="return queries @ keys.transpose(-2, -1)",
        symptoms=("It learns, only slower than it should.", "Attention is one-hot from the start."),
        why="Scores grow with d_k and the softmax saturates, where its gradient is small. The "
        "model can learn the same function with a W^Q that is √d_k times smaller.",
        remedy="Divide by the square root of the width of one head.",
        plant=in_attention(Unscaled),
    ),
    Fault(
        name="scores-scaled-by-d-model",
        title="The scores are divided by √d_model",
        family="scores",
        section="3.2.1",
        right="return queries @ keys.transpose(-2, -1) / math.sqrt(queries.size(-1))",
        wrong="return queries @ keys.transpose(-2, -1) / math.sqrt(d_model)",
        symptoms=("Nothing is wrong to see; logits differ from a reference.",),
        why="d_model is num_heads times d_k: the scores are √num_heads times too small, and "
        "attention is flatter until W^Q has grown.",
        remedy="Divide by √d_k, the width of one head.",
        plant=in_attention(ScaledByWidth),
        applies=_several_heads,
    ),
    Fault(
        name="scores-multiplied",
        title="The scores are multiplied by √d_k",
        family="scores",
        section="3.2.1",
        right="return queries @ keys.transpose(-2, -1) / math.sqrt(queries.size(-1))",
        wrong="return queries @ keys.transpose(-2, -1) * math.sqrt(queries.size(-1))",
        symptoms=("The loss stops falling early and stays high.",),
        why="The softmax is one-hot from the first step, and almost no gradient passes through.",
        remedy="Divide by √d_k instead of multiplying.",
        plant=in_attention(Multiplied),
    ),
    Fault(
        name="heads-merged-by-view",
        title="The heads are merged without being transposed back",
        family="heads",
        section="3.2.2",
        right="return x.transpose(1, 2).flatten(-2)",
        wrong="return x.reshape(batch, length, d_model)",
        symptoms=(
            "The loss is lower than it should be, and generation writes nonsense.",
            "A check says that the causal mask is missing, and it is there.",
        ),
        why="Values of later positions end up in earlier ones: a leak that no mask can stop.",
        remedy="Transpose head and position before the reshape.",
        plant=in_attention(MergedByView),
        applies=_several_heads,
    ),
    Fault(
        name="heads-split-by-view",
        title="The heads are split by a view instead of a transpose",
        family="heads",
        section="3.2.2",
        right="return x.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)",
        wrong="return x.view(batch, num_heads, length, d_k)",
        symptoms=("The loss is nearly zero, and generation writes nonsense.",),
        why="A head gets whole positions instead of a part of each, so that order is lost and "
        "later positions mix with earlier ones.",
        remedy="View as [batch, position, head, d_k], then transpose position and head.",
        plant=in_attention(SplitByView),
        applies=_several_heads,
    ),
    Fault(
        name="output-projection-unused",
        title="W^O is never applied",
        family="heads",
        section="3.2.2",
        right="return self.output(self.merge_heads(head_outputs))",
        wrong="return self.merge_heads(head_outputs)",
        symptoms=("A parameter has no gradient.",),
        why="Each head writes only into its own columns. On easy tasks the other layers "
        "compensate for it.",
        remedy="Apply W^O to the merged heads and return the result.",
        plant=in_attention(NoOutputProjection),
    ),
    Fault(
        name="keys-values-swapped",
        title="Keys and values are swapped",
        family="attention",
        section="3.2.1",
        right="return self.split_heads(self.key(x)), self.split_heads(self.value(x))",
        wrong="return self.split_heads(self.value(x)), self.split_heads(self.key(x))",
        symptoms=("Nothing is wrong to see; weights loaded from elsewhere give nonsense.",),
        why="Both are projections of the same vectors, so training swaps their roles too. The "
        "function differs only with weights that were trained elsewhere.",
        remedy="Pass queries, keys and values in the order of the function's parameters.",
        plant=in_attention(KeysAndValuesSwapped),
        where_it_shows="No task shows it if the model is trained with the fault. Weights from "
        "elsewhere show it: the loaded key projection computes the values.",
    ),
    Fault(
        name="batch-time-swapped",
        title="The encoder attends across the batch",
        family="attention",
        section="3.2",
        right="scores = self.scores(attention_scores(queries, keys))",
        wrong="nn.MultiheadAttention(d_model, num_heads)  # batch_first=False, fed [batch, time]",
        symptoms=("An output changes with the sentences it shares a batch with.",),
        why="Each position attends to the same position of the other sentences. Tasks that need "
        "no context in the encoder are learned all the same.",
        remedy="Set batch_first=True, or transpose the input.",
        plant=in_attention(AcrossTheBatch, "encoder"),
    ),
)
