"""Faults of embeddings, positions and the output (sections 3.4 and 3.5)."""

import torch
from torch import Tensor, nn

from transformer.config import TransformerConfig
from transformer.dropout import Dropout
from transformer.faults.fault import Fault, change_class, in_all
from transformer.model import Embedding, Transformer


class NoPositions(Embedding):
    def positional_encoding(self, start: int, count: int) -> Tensor:
        return torch.zeros_like(super().positional_encoding(start, count))


class WrongPositions(Embedding):
    """sin(pos / 10000^(2·2i/d)), cos(pos / 10000^(2·(2i+1)/d)): the index is doubled twice."""

    def positional_encoding(self, start: int, count: int) -> Tensor:
        right = super().positional_encoding(start, count)
        position = torch.arange(start, start + count, dtype=torch.float64)[:, None]
        even = torch.arange(0, right.size(1), 2, dtype=torch.float64)
        sines = torch.sin(position / 10000 ** (2 * even / right.size(1)))
        cosines = torch.cos(position / 10000 ** (2 * (even + 1) / right.size(1)))
        return torch.stack((sines, cosines), dim=-1).flatten(-2).to(right)


class Normalised(Embedding):
    """Adds a layer norm: the module's attribute ``norm``, or else one with gain 1 and bias 0."""

    def forward(self, ids: Tensor, start: int = 0) -> Tensor:
        x = super().forward(ids, start)
        norm = getattr(self, "norm", None)
        return nn.functional.layer_norm(x, x.shape[-1:]) if norm is None else norm(x)


class Softmaxed(nn.Linear):
    def forward(self, input: Tensor) -> Tensor:
        return torch.softmax(super().forward(input), dim=-1)


class AlwaysDropping(Dropout):
    def forward(self, x: Tensor) -> Tensor:
        mode, self.training = self.training, True
        try:
            return super().forward(x)
        finally:
            self.training = mode


def _unscaled(model: Transformer) -> None:
    for embedding in (model.source_embedding, model.target_embedding):
        embedding.scale = 1.0


def _softmaxed(model: Transformer) -> None:
    change_class(model.output, Softmaxed)


def drops(config: TransformerConfig) -> bool:
    return config.dropout > 0


FAULTS = (
    Fault(
        name="no-positions",
        title="Positions are never added",
        family="positions",
        section="3.5",
        right="return self.dropout(self.tokens(ids) * self.scale + positions)",
        wrong="return self.dropout(self.tokens(ids) * self.scale)",
        symptoms=("Backwards or forwards, the source gives the same output.",),
        why="Attention alone sees a bag of tokens. The decoder still gets some order from its "
        "causal mask.",
        remedy="Add the encoding to the embedding, in encoder and decoder.",
        plant=in_all(Embedding, NoPositions),
        applies=lambda config: config.position_layout != "none",
    ),
    Fault(
        name="positions-wrong-formula",
        title="The exponent of the positions is doubled",
        family="positions",
        section="3.5",
        right="angle = position / 10000 ** (2 * i / config.d_model)",
        wrong="for i in range(0, d_model, 2): pe[pos, i] = sin(pos / 10000 ** (2 * i / d_model))",
        symptoms=("Nothing is wrong to see; logits differ from a reference.",),
        why="i is already even, so 2·i doubles the exponent: half the dimensions hardly vary. "
        "On short inputs the other half is enough to tell positions apart.",
        remedy="With i = 0, 2, 4, … the exponent is i / d_model, for the sine and its cosine.",
        plant=in_all(Embedding, WrongPositions),
        applies=lambda config: config.position_layout == "interleaved",
    ),
    Fault(
        name="unscaled-embeddings",
        title="Embeddings are not multiplied by √d_model",
        family="embeddings",
        section="3.4",
        right="self.scale = math.sqrt(config.d_model) if config.scale_embeddings else 1.0",
        wrong="return self.dropout(self.tokens(ids) + positions)",
        symptoms=("The result is bad if I do not multiply.", "Accuracy drops hard without it."),
        why="If embeddings have a standard deviation of 1 / √d_model, positions are √d_model "
        "times as large as tokens. If it is 1 (PyTorch's default), nothing is lost.",
        remedy="Multiply, or draw the entries with standard deviation 1.",
        plant=_unscaled,
        applies=lambda config: config.scale_embeddings,
    ),
    Fault(
        name="norm-after-embeddings",
        title="A layer norm stands right after the embeddings",
        family="norms",
        section="3.1",
        right="return self.dropout(self.tokens(ids) * self.scale + positions)",
        wrong="return self.norm(self.dropout(self.tokens(ids) * self.scale + positions))",
        symptoms=("Nothing is wrong to see; logits differ from a reference.",),
        why="The paper normalises only after sub-layers. Some models (BERT) also normalise here.",
        remedy="Leave it out to have the paper's model.",
        plant=in_all(Embedding, Normalised),
    ),
    Fault(
        name="output-softmaxed",
        title="The model returns probabilities instead of logits",
        family="output",
        section="3.4",
        right="return self.logits(self.output(x))",
        wrong="return torch.softmax(self.output(x), dim=-1)",
        symptoms=("The loss gets stuck and never comes near zero.",),
        why="Cross-entropy applies a softmax itself. Given probabilities, it cannot fall below "
        "ln(1 + (|V| - 1) / e).",
        remedy="Return logits; apply the softmax only to look at probabilities.",
        plant=_softmaxed,
    ),
    Fault(
        name="dropout-in-eval",
        title="Dropout stays on when the model is used",
        family="mode",
        section="5.4",
        right="if not self.training or self.p == 0:",
        wrong="F.dropout(x, p)  # training=True is its default",
        symptoms=("The same input gives another output each time.",),
        why="A part of every vector is zeroed at each call. F.dropout ignores eval().",
        remedy="Call model.eval(), and use nn.Dropout or pass training=self.training.",
        plant=in_all(Dropout, AlwaysDropping),
        applies=drops,
    ),
)
