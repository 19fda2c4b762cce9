"""Faults of norms, residual connections and the stacks (section 3.1)."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from transformer.faults.attention import Stepwise
from transformer.faults.fault import Fault, change_class, in_all, in_attention
from transformer.hooks import own_modules
from transformer.model import (
    Decoder,
    Encoder,
    FeedForward,
    LayerCache,
    LayerNorm,
    Memory,
    ResidualConnection,
    Transformer,
    causal_mask,
)


class NoResidual(ResidualConnection):
    def forward(self, x: Tensor, sublayer: Callable[[Tensor], Tensor]) -> Tensor:
        x = self.before(x)
        if self.norm_first:
            return self.after(self.dropout(sublayer(self.norm(x))))
        return self.after(self.norm(self.dropout(sublayer(x))))


class ResidualAfterNorm(ResidualConnection):
    def forward(self, x: Tensor, sublayer: Callable[[Tensor], Tensor]) -> Tensor:
        x = self.norm(self.before(x))
        return self.after(x + self.dropout(sublayer(x)))


class NoNorm(LayerNorm):
    def forward(self, x: Tensor) -> Tensor:
        return x


class UnbiasedNorm(LayerNorm):
    def forward(self, x: Tensor) -> Tensor:
        variance = x.var(dim=-1, keepdim=True, unbiased=True)
        centred = x - x.mean(dim=-1, keepdim=True)
        return centred * torch.rsqrt(variance + self.eps) * self.gain + self.bias


class EpsOutside(LayerNorm):
    def forward(self, x: Tensor) -> Tensor:
        deviation = x.std(dim=-1, keepdim=True, unbiased=isinstance(self, UnbiasedNorm))
        return (x - x.mean(dim=-1, keepdim=True)) / (deviation + self.eps) * self.gain + self.bias


class NormOverPositions(LayerNorm):
    def forward(self, x: Tensor) -> Tensor:
        centred = x - x.mean(dim=(-2, -1), keepdim=True)
        variance = centred.square().mean(dim=(-2, -1), keepdim=True)
        return centred * torch.rsqrt(variance + self.eps) * self.gain + self.bias


class ReadsTheDecoder(Stepwise):
    def forward(self, x: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None) -> Tensor:
        keys, values = self.project(x)
        return super().forward(x, keys, values, causal_mask(x.size(1), x.size(1), x.device))


class EncoderKeepsTheLast(Encoder):
    def forward(self, x: Tensor, source_mask: Tensor) -> Tensor:
        x = self.embedding_norm(x)
        for layer in self.layers:
            last = layer(x, source_mask)
        return self.norm(last)


class DecoderKeepsTheLast(Decoder):
    def forward(
        self, x: Tensor, memory: Tensor, source_mask: Tensor, cache: list[LayerCache] | None = None
    ) -> Tensor:
        x = self.embedding_norm(x)
        for layer in self.layers:
            last = layer(x, memory, source_mask)
        return self.norm(last)


class Detached(Transformer):
    def encode(self, source: Tensor, *, cached: bool = False) -> Memory:
        memory = super().encode(source, cached=cached)
        memory.encoded = memory.encoded.detach()
        return memory


def _shared(model: Transformer) -> None:
    for stack in (model.encoder, model.decoder):
        first = stack.layers[0]
        # Separate module objects over the same tensors, so that each layer has its own hook points.
        stack.layers = nn.ModuleList([first, *(own_modules(first) for _ in stack.layers[1:])])


def _keep_the_last(model: Transformer) -> None:
    change_class(model.encoder, EncoderKeepsTheLast)
    change_class(model.decoder, DecoderKeepsTheLast)


def _linear(model: Transformer) -> None:
    for part in model.modules():
        if isinstance(part, FeedForward):
            part.activation = nn.Identity()


RIGHT_RESIDUAL = "x = x + self.dropout(sublayer(self.norm(x)))"
RIGHT_NORM = "return centred * torch.rsqrt(variance + self.eps) * self.gain + self.bias"
RIGHT_VARIANCE = "variance = centred.square().mean(dim=-1, keepdim=True)"

FAULTS = (
    Fault(
        name="no-residual",
        title="The residual connection is missing",
        family="residual",
        section="3.1",
        right=RIGHT_RESIDUAL,
        wrong="x = self.dropout(sublayer(self.norm(x)))",
        symptoms=("The loss stops falling early, the more so the deeper the model.",),
        why="Whatever a sub-layer does not pass on is lost, and gradients have no short path.",
        remedy="Add the sub-layer's input to its output.",
        plant=in_all(ResidualConnection, NoResidual),
    ),
    Fault(
        name="residual-after-norm",
        title="The residual is taken after the norm",
        family="residual",
        section="3.1",
        right=RIGHT_RESIDUAL,
        wrong="x = self.norm(x); x = x + self.dropout(sublayer(x))",
        symptoms=("Nothing is wrong to see; logits differ from a reference.",),
        why="The stream is normalised between layers, as in neither pre-norm nor post-norm. "
        "With a norm after each stack it is a post-norm model with a norm after the embeddings.",
        remedy="Add the sub-layer's input as it was before the norm.",
        plant=in_all(ResidualConnection, ResidualAfterNorm),
    ),
    Fault(
        name="no-layer-norm",
        title="There is no layer norm",
        family="norms",
        section="3.1",
        right=RIGHT_NORM,
        wrong="return x",
        symptoms=("The first loss is tens of nats.", "It diverges at the usual learning rate."),
        why="The stream grows with each sub-layer, and so do scores and logits.",
        remedy="Normalise each sub-layer's output (the paper) or its input (pre-norm).",
        plant=in_all(LayerNorm, NoNorm),
    ),
    Fault(
        name="layer-norm-unbiased",
        title="The layer norm divides by d_model - 1",
        family="norms",
        section="3.1",
        right=RIGHT_VARIANCE,
        wrong="std = x.std(-1, keepdim=True)  # unbiased is its default",
        symptoms=("Logits differ from a reference by a per cent or so.",),
        why="torch.std estimates from a sample; a layer norm has all the numbers. The gain "
        "compensates for the constant factor.",
        remedy="Pass unbiased=False.",
        plant=in_all(LayerNorm, UnbiasedNorm),
        harmless=True,
    ),
    Fault(
        name="layer-norm-eps-outside",
        title="The layer norm adds ε outside the root",
        family="norms",
        section="3.1",
        right=RIGHT_NORM,
        wrong="return gain * (x - mean) / (std + eps) + bias",
        symptoms=("Logits differ from a reference in the fifth digit.",),
        why="ε only prevents division by zero; its place matters only for vectors whose entries "
        "hardly differ.",
        remedy="Take the root of variance + ε.",
        plant=in_all(LayerNorm, EpsOutside),
        harmless=True,
    ),
    Fault(
        name="layer-norm-over-positions",
        title="The layer norm runs over positions too",
        family="norms",
        section="3.1",
        right=RIGHT_VARIANCE,
        wrong="nn.LayerNorm([length, d_model])  # or mean and variance over two axes",
        symptoms=("The loss is low, generation is much worse.", "Padding changes the output."),
        why="Mean and variance are those of the whole sentence, later positions and <pad> "
        "included: a leak.",
        remedy="Normalise each position by itself, over d_model.",
        plant=in_all(LayerNorm, NormOverPositions),
    ),
    Fault(
        name="cross-attention-reads-decoder",
        title="Cross-attention takes keys and values from the decoder",
        family="cross-attention",
        section="3.2.3",
        right="projected = self.cross_attention.project(memory)",
        wrong="projected = self.cross_attention.project(x)",
        symptoms=(
            "Every input gets the same output.",
            "The output is fluent and has nothing to do with the source.",
            "On a copy task the loss stops at ln|V|.",
        ),
        why="The encoder's output is not used: the model is a language model of the targets.",
        remedy="Take queries from the decoder, keys and values from the encoder's output.",
        plant=in_attention(ReadsTheDecoder, "cross"),
    ),
    Fault(
        name="shared-layers",
        title="All layers of a stack are one and the same",
        family="layers",
        section="3.1",
        right="self.layers = nn.ModuleList(EncoderLayer(config) "
        "for _ in range(config.num_encoder_layers))",
        wrong="self.layers = nn.ModuleList([layer] * num_layers)",
        symptoms=("The model has fewer parameters than it should.",),
        why="A list repeats the object, it does not copy it: one set of weights for all layers.",
        remedy="Make a new layer for each.",
        plant=_shared,
        applies=lambda config: max(config.num_encoder_layers, config.num_decoder_layers) > 1,
    ),
    Fault(
        name="layers-reuse-input",
        title="Every layer gets the stack's input",
        family="layers",
        section="3.1",
        right="x = layer(x, source_mask)",
        wrong="out = layer(x, source_mask)  # x stays what it was",
        symptoms=("Parameters of all layers but the last have no gradient.",),
        why="Only the last layer's output is used; the others are computed for nothing.",
        remedy="Feed each layer the output of the one before.",
        plant=_keep_the_last,
        applies=lambda config: max(config.num_encoder_layers, config.num_decoder_layers) > 1,
    ),
    Fault(
        name="no-activation",
        title="The feed-forward network has no activation",
        family="feed-forward",
        section="3.3",
        right="return self.outer(self.activation(self.inner(x)))",
        wrong="return self.outer(self.inner(x))",
        symptoms=("Nothing is wrong to see on easy tasks; harder ones stay unlearned.",),
        why="Two linear maps in a row are one linear map. Attention alone can move letters.",
        remedy="Put a ReLU between the two layers.",
        plant=_linear,
    ),
    Fault(
        name="memory-detached",
        title="No gradient reaches the encoder",
        family="cross-attention",
        section="3.1",
        right="encoded = self.encoder(self.source_embedding(source), mask)",
        wrong="encoded = self.encoder(self.source_embedding(source), mask).detach()",
        symptoms=("It learns, and stays far below what others reach.",),
        why="The encoder keeps its random weights; the decoder learns to read them.",
        remedy="Remove detach(), no_grad() or .data between encoder and decoder.",
        plant=in_all(Transformer, Detached),
    ),
)
