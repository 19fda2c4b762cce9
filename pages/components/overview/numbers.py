"""What each box of the paper's figure 1 does for each token of an answer, in a number or two."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pages.components.shared.inspection import Inspection, visible_tokens
from pages.components.shell.text import decimal, probability
from pages.components.widgets.word_map import MapBox
from transformer.figures.figure_1 import sublayer_of

if TYPE_CHECKING:
    from torch import Tensor

    from transformer.checkpoint import Checkpoint


def map_boxes(
    checkpoint: "Checkpoint", found: Inspection
) -> tuple[list[list[float]], list[MapBox]]:
    """The last layer's cross-attention, [written, source], and the boxes with their numbers."""
    import torch

    from transformer.hooks import record

    config = checkpoint.config
    ends = [
        f"{stack}.layers.{layer}.{part}_residual.{when}"
        for stack, layers in (("encoder", config.num_encoder_layers),
                              ("decoder", config.num_decoder_layers))
        for layer, part, when in ((0, "self_attention", "before"),
                                  (layers - 1, "feed_forward", "before"),
                                  (layers - 1, "feed_forward", "after"))
    ]  # fmt: skip
    with torch.inference_mode(), record(checkpoint.model, ends) as trace:
        logits = checkpoint.model(torch.tensor([found.source]), torch.tensor([found.read]))
    encoder, decoder, cross = (kind.weights[-1].mean(axis=0) for kind in found.kinds)
    source = visible_tokens(checkpoint.source_vocabulary.tokens, found.source)
    read = visible_tokens(checkpoint.target_vocabulary.tokens, found.read)
    vectors = [trace[name][0] for name in ends]
    looked = cross.argmax(axis=1).tolist()
    shares = logits[0].softmax(-1)
    best = shares.topk(2)
    names = checkpoint.target_vocabulary.tokens

    def likely(place: int) -> str:
        pairs = zip(best.indices[place].tolist(), best.values[place].tolist(), strict=True)
        first, second = (
            (visible_tokens(names, [token])[0], probability(share)) for token, share in pairs
        )
        between = " and" if first[1] == second[1] else ", then"
        return f"{first[0]} {first[1]}{between} {second[0]} {second[1]}"

    steps = range(len(found.written))
    asked = [source[place] for place in looked]
    last = {"encoder": config.num_encoder_layers - 1, "decoder": config.num_decoder_layers - 1}
    inside = {stack: f"{stack}.{layer}" for stack, layer in last.items()}
    boxes = [
        MapBox(
            "encoder", "embedding", "Embedding",
            [_vector(asked[step], vectors[0][looked[step]]) for step in steps],
            "source.embedding",
        ),
        MapBox(
            "encoder", *sublayer_of("encoder", "self"),
            [_most(asked[step], encoder[looked[step]], source) for step in steps],
            f"{inside['encoder']}.self.softmax",
        ),
        MapBox(
            "encoder", *sublayer_of("encoder", "feed-forward"),
            [_change(asked[step], vectors[1:3], looked[step]) for step in steps],
            f"{inside['encoder']}.feed-forward.inner",
        ),
        MapBox(
            "decoder", "embedding", "Embedding",
            [_vector(read[step], vectors[3][step]) for step in steps],
            "target.embedding",
        ),
        MapBox(
            "decoder", *sublayer_of("decoder", "self"),
            [_most(read[step], decoder[step], read) for step in steps],
            f"{inside['decoder']}.self.softmax",
        ),
        MapBox(
            "decoder", *sublayer_of("decoder", "cross"),
            [_most(read[step], cross[step], source) for step in steps],
            f"{inside['decoder']}.cross.softmax",
        ),
        MapBox(
            "decoder", *sublayer_of("decoder", "feed-forward"),
            [_change(read[step], vectors[4:6], step) for step in steps],
            f"{inside['decoder']}.feed-forward.inner",
        ),
        MapBox(
            "decoder", "output", "Softmax", [likely(step) for step in steps],
            "output.probabilities",
        ),
    ]  # fmt: skip
    return cross.tolist(), boxes


def _vector(token: str, vector: "Tensor") -> str:
    values = ", ".join(decimal(value, ".2f") for value in vector[:3].tolist())
    return f"{token}: {values}, … ({len(vector)})"


def _most(token: str, weights: Sequence[float], keys: Sequence[str]) -> str:
    """The key with the largest weight; if several tie, all of them."""
    shares = [f"{weight:.0%}".replace("%", " %") for weight in weights]
    most = shares[max(range(len(keys)), key=lambda key: weights[key])]
    alike = [keys[place] for place, share in enumerate(shares) if share == most]
    if len(alike) == 1:
        return f"{token} looks at {alike[0]}: {most}"
    which = " and ".join(alike) if len(alike) == 2 else f"{len(alike)} tokens"
    return f"{token} looks equally at {which}: {most} each"


def _change(token: str, ends: Sequence["Tensor"], place: int) -> str:
    """How far a sub-layer moves the vector, as a share of its length."""
    before, after = (vectors[place] for vectors in ends)
    share = float((after - before).norm() / before.norm().clamp_min(1e-9))
    return f"changes {token} by {share:.2f} of its length"
