"""Faults of masks: which keys a query may attend to (section 3.2.3)."""

import torch
from torch import Tensor

from transformer.faults.attention import Stepwise
from transformer.faults.fault import Fault, in_attention


class NoMask(Stepwise):
    def forward(self, x: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None) -> Tensor:
        return super().forward(x, keys, values, None)


class _Causal(Stepwise):
    """Decoder self-attention that replaces the causal mask by ``allowed``."""

    def allowed(self, queries: int, keys: int, device: torch.device) -> Tensor:
        """True where a query may attend to a key: [query, key]."""
        raise NotImplementedError

    def forward(self, x: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None) -> Tensor:
        allowed = self.allowed(x.size(1), keys.size(2), x.device)
        if mask is not None:  # a key that is masked for every query stays masked
            allowed = allowed & mask.any(dim=-2, keepdim=True)
        return super().forward(x, keys, values, allowed)


class NoCausalMask(_Causal):
    def allowed(self, queries: int, keys: int, device: torch.device) -> Tensor:
        return torch.ones(queries, keys, dtype=torch.bool, device=device)


class OneTooWide(_Causal):
    def allowed(self, queries: int, keys: int, device: torch.device) -> Tensor:
        ones = torch.ones(queries, keys, dtype=torch.bool, device=device)
        return ones.tril(keys - queries + 1)


class UpsideDown(_Causal):
    def allowed(self, queries: int, keys: int, device: torch.device) -> Tensor:
        return torch.ones(queries, keys, dtype=torch.bool, device=device).triu(keys - queries)


class Inverted(Stepwise):
    def weigh(self, scores: Tensor, mask: Tensor | None) -> Tensor:
        return super().weigh(scores, None if mask is None else ~mask)


class OnQueries(Stepwise):
    def weigh(self, scores: Tensor, mask: Tensor | None) -> Tensor:
        return super().weigh(scores, None if mask is None else mask.transpose(-2, -1))


class TooWeak(Stepwise):
    def weigh(self, scores: Tensor, mask: Tensor | None) -> Tensor:
        if mask is not None:
            scores = scores.masked_fill(~mask, -1e-9)
        return torch.softmax(scores, dim=-1)


class AfterSoftmax(Stepwise):
    def weigh(self, scores: Tensor, mask: Tensor | None) -> Tensor:
        weights = torch.softmax(scores, dim=-1)
        return weights if mask is None else weights.masked_fill(~mask, 0.0)


RIGHT_CAUSAL = "return torch.ones(queries, keys, dtype=torch.bool, device=device).tril(offset)"
RIGHT_PADDING = "return (ids != pad_id)[:, None, None, :]"
RIGHT_FILL = "scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)"

FAULTS = (
    Fault(
        name="no-causal-mask",
        title="The decoder has no causal mask",
        family="causal mask",
        section="3.2.3",
        right=RIGHT_CAUSAL,
        wrong="mask = None",
        symptoms=(
            "98 % accuracy after ten epochs, and translations are nonsense.",
            "The loss is nearly zero, and generation writes nonsense.",
            "The model copies the decoder's input to its output.",
        ),
        why="Each position sees the token it has to predict, so the loss falls to zero. In "
        "generation that token is not there yet.",
        remedy="Let position i see positions up to i only.",
        plant=in_attention(NoCausalMask, "decoder"),
    ),
    Fault(
        name="causal-mask-off-by-one",
        title="The causal mask is one position too wide",
        family="causal mask",
        section="3.2.3",
        right=RIGHT_CAUSAL,
        wrong="return torch.ones(queries, keys, dtype=torch.bool).tril(offset + 1)",
        symptoms=("The loss is nearly zero, and the output repeats or is nonsense.",),
        why="Each position sees the next token, which is exactly what it has to predict.",
        remedy="Use tril(0): position i sees positions up to i.",
        plant=in_attention(OneTooWide, "decoder"),
    ),
    Fault(
        name="causal-mask-inverted",
        title="The causal mask is upside down",
        family="causal mask",
        section="3.2.3",
        right=RIGHT_CAUSAL,
        wrong="return torch.ones(queries, keys, dtype=torch.bool).triu(offset)",
        symptoms=("The loss is nearly zero, and generation writes nonsense.",),
        why="Each position sees the future and not the past.",
        remedy="Use tril instead of triu, or say clearly whether True means allowed or hidden.",
        plant=in_attention(UpsideDown, "decoder"),
    ),
    Fault(
        name="no-source-padding-mask",
        title="Padding in the source is not masked",
        family="padding mask",
        section="3.2.3",
        right="return self.self_attention(x, *self.self_attention.project(x), source_mask)",
        wrong="return self.self_attention(x, *self.self_attention.project(x), None)",
        symptoms=("Outputs in a batch differ from those of one sentence at a time.",),
        why="Each sentence attends to <pad> too, so its output depends on its batch's longest one.",
        remedy="Hide the keys that are <pad>, in the encoder and in cross-attention.",
        plant=in_attention(NoMask, "encoder", "cross"),
    ),
    Fault(
        name="padding-mask-inverted",
        title="The padding mask hides the words and shows the padding",
        family="padding mask",
        section="3.2.3",
        right=RIGHT_PADDING,
        wrong="return (ids == pad_id)[:, None, None, :]  # where True means allowed",
        symptoms=("The loss stays where it was; the output is the same for every input.",),
        why="Attention sees only <pad>. In PyTorch, True means hidden in key_padding_mask and "
        "allowed in scaled_dot_product_attention: the two are often mixed up.",
        remedy="Invert it; test it with a sentence that has padding.",
        plant=in_attention(Inverted, "encoder", "cross"),
    ),
    Fault(
        name="padding-mask-on-queries",
        title="The padding mask stands on the query axis",
        family="padding mask",
        section="3.2.3",
        right=RIGHT_PADDING,
        wrong="return (ids != pad_id)[:, None, :, None]",
        symptoms=("Results change with the padding.", "NaN, once the fill is -inf."),
        why="<pad> is masked as a query, whose output is not used; as a key it stays visible.",
        remedy="Mask the keys, the last axis.",
        plant=in_attention(OnQueries, "encoder"),
    ),
    Fault(
        name="no-cross-padding-mask",
        title="Cross-attention sees the padding of the source",
        family="padding mask",
        section="3.2.3",
        right="return self.cross_attention(x, *projected, source_mask)",
        wrong="return self.cross_attention(x, *projected, None)",
        symptoms=("Outputs in a batch differ from those of one sentence at a time.",),
        why="The encoder hides <pad>, but the decoder reads the encoder's output at <pad>.",
        remedy="Give cross-attention the source's mask.",
        plant=in_attention(NoMask, "cross"),
    ),
    Fault(
        name="mask-value-too-weak",
        title="Masked scores are filled with -1e-9 instead of -1e9",
        family="mask value",
        section="3.2.3",
        right=RIGHT_FILL,
        wrong="scores = scores.masked_fill(~mask, -1e-9)",
        symptoms=("Training and evaluation look perfect, generation is terrible.",),
        why="A score of nearly zero is an ordinary score: nothing is hidden.",
        remedy="Fill with the lowest finite number.",
        plant=in_attention(TooWeak),
    ),
    Fault(
        name="mask-after-softmax",
        title="The mask is applied after the softmax",
        family="mask value",
        section="3.2.3",
        right=RIGHT_FILL,
        wrong="weights = torch.softmax(scores, dim=-1).masked_fill(~mask, 0)",
        symptoms=("The loss is low, and generation writes nonsense.",),
        why="Weights no longer sum to 1, and the missing share tells each position something about "
        "the tokens that it must not see.",
        remedy="Mask the scores, then take the softmax.",
        plant=in_attention(AfterSoftmax),
    ),
)
