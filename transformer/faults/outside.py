"""Faults outside the model: batches, loss, optimizer and decoding (sections 3.1, 5.3 and 5.4)."""

from torch import Tensor

from transformer.config import TransformerConfig
from transformer.faults.embeddings import drops
from transformer.faults.fault import Fault, Rows, TrainingPractice, change_class, in_all
from transformer.model import Memory, Transformer


def _not_shifted(read: list[int], asked: list[int], config: TransformerConfig) -> Rows:
    return asked, asked


def _shifted_twice(read: list[int], asked: list[int], config: TransformerConfig) -> Rows:
    return read[: max(1, len(read) - 1)], asked[-1:] if len(asked) < 2 else asked[1:]


def _without_end(read: list[int], asked: list[int], config: TransformerConfig) -> Rows:
    return read, [*asked[:-1], config.pad_id]


def _not_of_the_encoder(name: str) -> bool:
    return not name.startswith("encoder.")


class InDecoding(Transformer):
    """Correct when it is fed the true target; wrong when it decodes step by step."""

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        return super().decode(target, self.encode(source))

    def decode(self, target: Tensor, memory: Memory) -> Tensor:
        raise NotImplementedError


class StartsWithEnd(InDecoding):
    def decode(self, target: Tensor, memory: Memory) -> Tensor:
        if memory.length == 0:
            target = target.clone()
            target[:, 0] = self.config.eos_id
        return Transformer.decode(self, target, memory)


class AtPositionZero(InDecoding):
    def decode(self, target: Tensor, memory: Memory) -> Tensor:
        alone = target.flatten()[:, None]  # each token as if it were the first
        x = self.target_embedding(alone).view(*target.shape, -1)
        if memory.cache is not None:
            memory.length += target.size(1)
        x = self.decoder(x, memory.encoded, memory.mask, memory.cache)
        logits: Tensor = self.logits(self.output(x))
        return logits


class NeverInEvaluation(Transformer):
    def train(self, mode: bool = True) -> "NeverInEvaluation":
        super().train(True)
        return self


def _never_in_evaluation(model: Transformer) -> None:
    change_class(model, NeverInEvaluation)
    model.train()


FAULTS = (
    Fault(
        name="targets-not-shifted",
        title="The targets are not shifted right",
        family="targets",
        section="3.1",
        right="inputs = [[config.decoder_start_id, *target] for _, target in encoded]",
        wrong="inputs = [[*target, config.eos_id] for _, target in encoded]  # as the outputs",
        symptoms=(
            "The loss is zero after a few updates, and every output is wrong.",
            "The decoded sentence is the same token again and again.",
        ),
        why="The decoder reads the very token that it has to predict, and copies it. In generation "
        "there is nothing to copy.",
        remedy="Feed the decoder <bos> and the target; it must predict the target and <eos>.",
        place="batches",
        practice=TrainingPractice(targets=_not_shifted),
    ),
    Fault(
        name="targets-shifted-twice",
        title="The targets are shifted twice",
        family="targets",
        section="3.1",
        right="outputs = [[*target, config.eos_id] for _, target in encoded]",
        wrong="outputs = [[*target, config.eos_id][1:] for _, target in encoded]",
        symptoms=(
            "The loss is as low as it should be, and every output begins wrong.",
            "The first output token is always wrong, with a good loss.",
        ),
        why="The model learns to predict the token after the next. It is never trained on the "
        "first one, so every answer begins with the second.",
        remedy="Shift once: in the batches or in the model, not in both.",
        place="batches",
        practice=TrainingPractice(targets=_shifted_twice),
    ),
    Fault(
        name="eos-never-taught",
        title="<eos> is not among the targets",
        family="targets",
        section="3.1",
        right="outputs = [[*target, config.eos_id] for _, target in encoded]",
        wrong="outputs = [target for _, target in encoded]",
        symptoms=(
            "It never stops generating.",
            "Each output begins right and goes on to the length limit.",
        ),
        why="The model never had to predict <eos>, so it never writes it: after the right answer "
        "it goes on writing.",
        remedy="End every target with <eos>, and let the loss count it.",
        place="batches",
        practice=TrainingPractice(targets=_without_end),
    ),
    Fault(
        name="softmax-before-cross-entropy",
        title="The loss gets probabilities instead of logits",
        family="loss",
        section="5.4",
        right="return cross_entropy(logits, target_out, pad_id, smoothing, reduction)",
        wrong="return cross_entropy(torch.softmax(logits, dim=-1), target_out, ...)",
        symptoms=(
            "The loss gets stuck at a number well above zero.",
            "The validation loss quickly gets stuck and never comes near zero.",
        ),
        why="Cross-entropy applies a softmax itself. With inputs between 0 and 1 it cannot fall "
        "below ln(1 + (|V| - 1) / e), and its gradient is small everywhere.",
        remedy="Give cross-entropy the logits.",
        place="loss",
        practice=TrainingPractice(takes_softmax=True),
    ),
    Fault(
        name="padding-in-loss",
        title="The loss counts <pad>",
        family="loss",
        section="5.4",
        right="ignore_index=pad_id,",
        wrong="F.cross_entropy(logits.flatten(0, 1), target_out.flatten())  # no ignore_index",
        symptoms=(
            "The loss falls fast at first, and looks better than the outputs.",
            "Only <pad> comes out.",
        ),
        why="<pad> after <eos> is easy to predict. If the texts differ much in length, most "
        "targets are <pad>. If all have nearly the same length, little is lost.",
        remedy="Pass ignore_index=pad_id.",
        place="loss",
        practice=TrainingPractice(counts_padding=True),
    ),
    Fault(
        name="gradients-not-zeroed",
        title="The gradients are never set to zero",
        family="optimizer",
        section="5.3",
        right="self.optimizer.zero_grad()",
        wrong="# optimizer.zero_grad() is missing",
        symptoms=(
            "It learns, but the loss is bumpy and ends higher than it should.",
            "Training gets worse the longer it goes on.",
        ),
        why="Each update follows the sum of all gradients so far: a momentum that never decays. "
        "Gradient clipping and Adam's normalisation hide much of it.",
        remedy="Call optimizer.zero_grad() before each backward pass.",
        place="optimizer",
        practice=TrainingPractice(zeroes_gradients=False),
    ),
    Fault(
        name="parameters-not-optimized",
        title="The optimizer is not given the encoder",
        family="optimizer",
        section="5.3",
        right="named = dict(model.named_parameters())",
        wrong="optimizer = Adam(model.decoder.parameters())",
        symptoms=(
            "It learns, and stays far below what others reach.",
            "A part of the weights is what it was at the start.",
        ),
        why="The encoder gets gradients, but no update applies them: it keeps its random weights, "
        "and the decoder learns to read its output. The curve is that of a detached encoder.",
        remedy="Give the optimizer model.parameters(), after all parts are built.",
        place="optimizer",
        practice=TrainingPractice(optimizes=_not_of_the_encoder),
    ),
    Fault(
        name="learning-rate-too-high",
        title="The learning rate is ten times too high",
        family="optimizer",
        section="5.3",
        right="rate = config.learning_rate",
        wrong="rate = 10 * config.learning_rate",
        symptoms=(
            "The loss falls at first and then stays high, with jumps.",
            "The loss stops at what guessing by frequency costs.",
        ),
        why="Each update overshoots: softmaxes and ReLUs end up where they have no gradient, and "
        "stay there.",
        remedy="Lower it: (d_model · 4000)^-½ is usual with Adam.",
        place="optimizer",
        practice=TrainingPractice(rate_factor=10.0),
    ),
    Fault(
        name="no-warmup",
        title="There is no warm-up",
        family="optimizer",
        section="5.3",
        right="rate *= step / config.warmup_steps",
        wrong="rate = config.learning_rate  # from the first update on",
        symptoms=(
            "The training does not work at all without the schedule.",
            "The loss goes up in the first updates, and learning is late.",
        ),
        why="The learning rate alone sets the length of Adam's first steps, and a post-norm "
        "model's gradients are largest at the start. Pre-norm needs no warm-up at usual rates.",
        remedy="Raise the rate over the first updates: 100 for small models, 4,000 in the paper.",
        place="optimizer",
        practice=TrainingPractice(warms_up=False),
    ),
    Fault(
        name="wrong-start-token",
        title="Decoding starts with another token than training",
        family="decoding",
        section="3.1",
        right="written = source.new_full((batch, 1), config.decoder_start_id)",
        wrong="written = source.new_full((batch, 1), config.eos_id)",
        symptoms=(
            "The loss is fine, and the first output token is often wrong.",
            "The decoded output is empty or begins wrong.",
        ),
        why="In training the decoder never saw this token in first place. The damage depends on "
        "how similar the two tokens' embeddings are.",
        remedy="Start with the id that target_in starts with.",
        plant=in_all(Transformer, StartsWithEnd),
        applies=lambda config: config.decoder_start_id != config.eos_id,
        place="decoding",
    ),
    Fault(
        name="decoding-position-zero",
        title="Decoding feeds every token at position 0",
        family="decoding",
        section="3.5",
        right="x = self.target_embedding(target, memory.length)",
        wrong="x = self.target_embedding(target)  # with a cache: always position 0",
        symptoms=(
            "The loss is right and what it generates is wrong from the second token on.",
            "With the cache the output is wrong, without it it is right.",
        ),
        why="With a cache only the newest token is fed, and without an offset it gets position 0: "
        "the decoder does not know how many tokens came before.",
        remedy="Add the number of cached positions to the position.",
        plant=in_all(Transformer, AtPositionZero),
        place="decoding",
    ),
    Fault(
        name="no-eval-mode",
        title="eval() is never called",
        family="mode",
        section="5.4",
        right="model.eval()",
        wrong="# model.eval() is missing",
        symptoms=(
            "The same input gives another output each time.",
            "The results are a little worse than they should be, and never the same.",
        ),
        why="Dropout stays on during decoding: each step zeroes another part of every vector. "
        "One unlucky draw spoils an answer.",
        remedy="Call model.eval() before evaluating and decoding, model.train() before training.",
        plant=_never_in_evaluation,
        applies=drops,
        place="decoding",
    ),
)
