"""The boxes of one forward pass, in the order in which data flows, and what each is for.

Their names, also used in addresses, are like ``source.embedding``, ``encoder.0.self.softmax``,
``decoder.1.feed-forward.inner``, ``encoder.end.norm``, ``output.logits``. Imports no torch.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from transformer.config import TransformerConfig

STEPS = "transformer.decoding.steps"
STRATEGIES = "transformer.decoding.strategies"


@dataclass(frozen=True)
class Part:
    """A kind of box: what its boxes in all layers have in common.

    title: shown as a heading. section: of the paper. formula: LaTeX.
    why: what it is for, in one sentence. code: names for ``code_of``.
    absent: what the model does when the box is removed, in words; empty if it cannot be.
    fault: name of the planted fault that removes it; empty if this one box is ablated instead.
    """

    title: str
    section: str
    formula: str
    why: str
    code: tuple[str, ...]
    absent: str
    fault: str = ""


FORWARD = "MultiHeadAttention.forward:"
PARTS = {
    "embedding": Part(
        "Embedding",
        "3.4",
        r"E[\text{token}]",
        "A token is only a number. The model computes with the token's vector; training moves "
        "the vectors of tokens that are used alike closer together.",
        ("Embedding.forward:return", "_empty_embedding"),
        "every token has the vector 0: only the positions are left",
    ),
    "scale": Part(
        "Times √d_model",
        "3.4",
        r"E[\text{token}] \cdot \sqrt{d_{\text{model}}}",
        "The vectors start with entries of standard deviation 1/√d_model. This factor makes them "
        "as large as the positions, which would drown them otherwise.",
        ("Embedding.__init__:scale", "Embedding.forward:return"),
        "embeddings are not multiplied by √d_model",
        fault="unscaled-embeddings",
    ),
    "positions": Part(
        "Plus positions",
        "3.5",
        r"PE_{(pos,2i)} = \sin\frac{pos}{10000^{2i/d}},\quad "
        r"PE_{(pos,2i+1)} = \cos\frac{pos}{10000^{2i/d}}",
        "Attention sees a bag of tokens; the pattern added here tells it their order.",
        ("Embedding.forward", "Embedding.positional_encoding", "sinusoids"),
        "nothing is added: all positions look the same",
        fault="no-positions",
    ),
    "norm": Part(
        "Layer norm",
        "3.1",
        r"\frac{x - \mu}{\sqrt{\sigma^2 + \varepsilon}} \odot g + b",
        "Each position's vector gets mean 0 and standard deviation 1, then a learned gain and "
        "bias. So no layer receives numbers that grow from layer to layer.",
        ("LayerNorm.forward", "ResidualConnection.forward"),
        "no layer norm anywhere",
        fault="no-layer-norm",
    ),
    "queries": Part(
        "Queries",
        "3.2.2",
        r"Q_h = x W^Q_h",
        "A query says what its position looks for; each head has its own few dimensions.",
        (f"{FORWARD}queries", "MultiHeadAttention.split_heads"),
        "all queries are 0 here: every score is 0, and each position looks everywhere equally",
    ),
    "keys": Part(
        "Keys",
        "3.2.2",
        r"K_h = x W^K_h",
        "A key says what its position offers; each query is compared with all keys.",
        ("MultiHeadAttention.project", "MultiHeadAttention.split_heads"),
        "all keys are 0 here: every score is 0, and each position looks everywhere equally",
    ),
    "values": Part(
        "Values",
        "3.2.2",
        r"V_h = x W^V_h",
        "A value is what a position passes on to the positions that look at it.",
        ("MultiHeadAttention.project", "MultiHeadAttention.split_heads"),
        "all values are 0 here: wherever a head looks, it gets nothing",
    ),
    "products": Part(
        "Scores QKᵀ",
        "3.2.1",
        r"Q_h K_h^{\top}",
        "The dot product is large if a query and a key point in the same direction: it says how "
        "well they fit.",
        (f"{FORWARD}scores", "attention_scores"),
        "all scores are 0 here: each position looks everywhere equally",
    ),
    "scores": Part(
        "Divided by √d_k",
        "3.2.1",
        r"\frac{Q_h K_h^{\top}}{\sqrt{d_k}}",
        "Sums of d_k products grow with √d_k. Without the division they would push the softmax "
        "to where its gradient is nearly 0.",
        (f"{FORWARD}scores", "attention_scores"),
        "the scores are not divided by √d_k in any layer",
        fault="unscaled-scores",
    ),
    "mask": Part(
        "Mask",
        "3.2.3",
        r"S_{ij} \leftarrow -\infty \ \text{ where } j \text{ may not be seen}",
        "",  # depends on the kind of attention, see MASKS
        (),
        "",
    ),
    "softmax": Part(
        "Softmax: the weights",
        "3.2.1",
        r"A_h = \operatorname{softmax}\left(\frac{Q_h K_h^{\top}}{\sqrt{d_k}}\right)",
        "Turns a row of scores into weights that sum to 1: how much of each value is taken.",
        (f"{FORWARD}weights", "attention_weights"),
        "the scores themselves are the weights here, even negative or large ones",
    ),
    "mixing": Part(
        "Mixing: weights times values",
        "3.2.1",
        r"A_h V_h",
        "Each position takes the mean of the values, weighted by where it looks. Information "
        "passes from one position to another only here.",
        (f"{FORWARD}head_outputs",),
        "no mixing here: each head takes only the value with the largest weight",
    ),
    "projection": Part(
        "Heads joined, times W^O",
        "3.2.2",
        r"\operatorname{Concat}(A_1 V_1, \dots, A_h V_h)\, W^O",
        "Turns the heads' results, side by side, into the vector added to the residual stream.",
        (f"{FORWARD}return", "MultiHeadAttention.merge_heads"),
        "W^O is not applied in any layer",
        fault="output-projection-unused",
    ),
    "residual": Part(
        "Residual connection",
        "3.1",
        r"x + \operatorname{Sublayer}(x)",
        "The input passes through unchanged, and the sub-layer only adds to it: a short way up "
        "for the token and down for the gradient.",
        ("ResidualConnection.forward",),
        "no residual connections: a sub-layer's output replaces its input",
        fault="no-residual",
    ),
    "inner": Part(
        "Feed-forward: times W₁",
        "3.3",
        r"x W_1 + b_1",
        "Each position's vector alone is compared with d_ff patterns, the columns of W₁.",
        ("FeedForward.forward:return",),
        "no pattern is found here: the inner layer is 0, and only the bias b₂ is left",
    ),
    "activation": Part(
        "Feed-forward: the activation",
        "3.3",
        r"\max(0,\ x W_1 + b_1)",
        "Without a nonlinear function in between, W₁ and W₂ would act as one matrix.",
        ("FeedForward.forward:return", "ACTIVATIONS"),
        "no activation, in any layer: W₁ and W₂ act as one matrix",
        fault="no-activation",
    ),
    "outer": Part(
        "Feed-forward: times W₂",
        "3.3",
        r"\max(0,\ x W_1 + b_1)\, W_2 + b_2",
        "Each pattern that was found adds its own vector. Most of what the model knows about a "
        "token apart from its context is kept here.",
        ("FeedForward.forward:return",),
        "this feed-forward network adds 0: attention has to work without it",
    ),
    "logits": Part(
        "Logits",
        "3.4",
        r"x\, W_{\text{out}}",
        "One number for each token of the vocabulary: how well the last vector fits it.",
        ("Transformer.decode:return",),
        "nothing can be written: a vector becomes a token only by comparison with all",
    ),
    "probabilities": Part(
        "Softmax: probabilities",
        "3.4",
        r"p_i = \frac{e^{z_i}}{\sum_j e^{z_j}}",
        "Turns logits into positive numbers that sum to 1; training compares them with the truth.",
        (f"{STEPS}::normalised",),
        "the most probable token is the one with the largest logit, with or without the softmax; "
        "only training and sampling need the softmax",
        fault="output-softmaxed",
    ),
    "next": Part(
        "The next token",
        "3.1",
        r"y_t = \arg\max_i p_i",
        "The token written here is read at the next step, so the output grows token by token.",
        (f"{STRATEGIES}::Greedy._chooser",),
        "the second most probable token is written here, and the model goes on from it",
    ),
}
MASKS = {
    "encoder": (
        "Hides <pad>, which fills up short sentences in a batch; a single sentence has none.",
        ("padding_mask", "Transformer.encode:mask", "attention_weights"),
        "no padding mask: a single sentence has no padding, so nothing changes",
        "no-source-padding-mask",
    ),
    "decoder": (
        "No position may see a later one. In training all tokens are there, and the model would "
        "copy the next one instead of predicting it.",
        ("causal_mask", "DecoderLayer.forward.attend_to_target", "attention_weights"),
        "no causal mask: positions see later ones. The last one has none after it, so little may "
        "change here. A model trained without the mask copies its answers",
        "no-causal-mask",
    ),
    "cross": (
        "The whole source may be seen except <pad>; a single sentence has none.",
        ("padding_mask", "DecoderLayer.forward.attend_to_source", "attention_weights"),
        "no padding mask: a single sentence has no padding, so nothing changes",
        "no-cross-padding-mask",
    ),
}
"""Kind of attention -> the fields why, code, absent and fault of its mask's :class:`Part`."""
CROSS = {
    "keys": "Keys come from the encoder's output: what each source position offers.",
    "values": "Values come from the encoder's output: what each source position passes on.",
    "queries": "A query says what a written position looks for in the source.",
}
ATTENTION = (
    *("queries", "keys", "values", "products", "scores", "mask", "softmax", "mixing"),
    "projection",
)
INPUT = ("embedding", "scale", "positions")
FEED_FORWARD = ("inner", "activation", "outer")
OUTPUT = ("logits", "probabilities", "next")
KINDS = {"self": "self-attention", "cross": "cross-attention", "feed-forward": "feed-forward"}


@dataclass(frozen=True)
class Box:
    """One box of the figure.

    stack: "source", "encoder", "target", "decoder" or "output".
    layer: from 0; None for a box outside the layers.
    sublayer: "self", "cross", "feed-forward" or "". part: a key of :data:`PARTS`.
    """

    stack: str
    layer: int | None
    sublayer: str
    part: str

    @property
    def id(self) -> str:
        """The name used in addresses."""
        return self._named("end" if self.layer is None else str(self.layer))

    @property
    def place(self) -> str:
        """The name in the drawing, where all layers of a stack share one box."""
        return self._named("end" if self.layer is None else "N")

    def _named(self, layer: str) -> str:
        layers = self.stack in ("encoder", "decoder")
        return ".".join(
            filter(None, (self.stack, layer if layers else "", self.sublayer, self.part))
        )

    @property
    def where(self) -> str:
        """The position in words: "Encoder, layer 1, self-attention"."""
        stack = {"source": "Encoder's input", "target": "Decoder's input"}.get(
            self.stack, self.stack.capitalize()
        )
        if self.stack in ("source", "target", "output"):
            return stack
        if self.layer is None:
            return f"{stack}, after its layers"
        masked = "masked " if self.kind == "decoder" and self.sublayer == "self" else ""
        return f"{stack}, layer {self.layer + 1}, {masked}{KINDS[self.sublayer]}"

    @property
    def kind(self) -> str:
        """The kind of attention: "encoder", "decoder" or "cross"; outside attention, the stack."""
        return "cross" if self.sublayer == "cross" else self.stack

    @property
    def encodes(self) -> bool:
        """Whether the box is in the encoder or its input: its value is the same at every step."""
        return self.stack in ("source", "encoder")

    def formula(self, config: TransformerConfig) -> str:
        """The formula in LaTeX, for this model's config."""
        if self.part == "positions" and config.position_layout == "learned":
            return r"x + P[pos]"
        if self.part == "activation" and config.activation != "relu":
            return rf"\operatorname{{{config.activation}}}(x W_1 + b_1)"
        return self.about.formula

    @property
    def about(self) -> Part:
        """The box's :class:`Part`, adapted to its kind of attention."""
        part = PARTS[self.part]
        if self.part == "mask":
            why, code, absent, fault = MASKS[self.kind]
            return replace(part, why=why, code=code, absent=absent, fault=fault)
        if self.kind == "cross" and self.part in CROSS:
            return replace(
                part,
                why=CROSS[self.part],
                code=("DecoderLayer.forward.attend_to_source", *part.code),
            )
        return part


def boxes(config: TransformerConfig) -> tuple[Box, ...]:
    """Every box of one forward pass, in the order in which data flows."""
    return tuple(_boxes(config))


def _boxes(config: TransformerConfig) -> Iterator[Box]:
    stacks = (
        ("source", "encoder", config.num_encoder_layers, ("self", "feed-forward")),
        ("target", "decoder", config.num_decoder_layers, ("self", "cross", "feed-forward")),
    )
    for side, stack, layers, sublayers in stacks:
        for part in INPUT:
            scaled = part != "scale" or config.scale_embeddings
            placed = part != "positions" or config.position_layout != "none"
            if scaled and placed:
                yield Box(side, None, "", part)
        if config.embedding_norm:
            yield Box(side, None, "", "norm")
        for layer in range(layers):
            for sublayer in sublayers:
                parts = FEED_FORWARD if sublayer == "feed-forward" else ATTENTION
                norm = ("norm",)
                before, after = (norm, ()) if config.norms_first(stack) else ((), norm)
                for part in (*before, *parts, "residual", *after):
                    yield Box(stack, layer, sublayer, part)
        if config.norm_after(stack):
            yield Box(stack, None, "", "norm")
    for part in OUTPUT:
        yield Box("output", None, "", part)
