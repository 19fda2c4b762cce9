"""Reads a recording as an encoder-decoder Transformer: finds which weights play which role.

Roles follow from data flow alone. If the operations do not form a Transformer's layers, reading
stops with a sentence that says where: nothing is guessed.
"""

from dataclasses import dataclass, field

import numpy as np

from transformer.doctor.activations import activated
from transformer.doctor.attentions import Attention, find_attentions, tail
from transformer.doctor.graph import TARGET, Affine, Graph
from transformer.doctor.input_layers import SideEmbedding, Unmapped, read_embedding
from transformer.doctor.norms import Norm, Norms, without_mean
from transformer.doctor.recording import INDEX, SHIFT, Array, Event, Recording


@dataclass
class Network:
    """A feed-forward network: the inner map, the activation (None if unknown), weight and bias of
    the outer map. linear: events of both maps. hidden: the event whose result the outer map reads.
    """

    inner: Affine
    weight: Array
    bias: Array
    activation: str | None
    first: int
    end: int
    parameters: tuple[int, ...]
    linear: set[int]
    hidden: Event


@dataclass
class Sublayer:
    """An attention or a network, with the residual connection and the norm around it.

    stream: the event whose result is the input, before any norm.
    placement: of the norm: "pre", "post", "after" (the residual is taken after it) or "none".
    sum_event, after: the events of the residual sum, and of the result after a post-norm.
    sum_problem: "normalised" for x + norm(f(x)), "other" if another vector than the input is added.
    added_event: the event whose result is added to the output.
    """

    kind: str
    part: Attention | Network
    stream: int = 0
    placement: str = "none"
    residual: bool = True
    norm: Norm | None = None
    sum_event: int = 0
    after: int = 0
    sum_problem: str = ""
    added_event: int = 0


@dataclass
class Layer:
    """The sub-layers of one layer, in order."""

    sublayers: list[Sublayer] = field(default_factory=list)


@dataclass
class Reading:
    """All that is needed to build a model of ours that computes the same."""

    recording: Recording
    graph: Graph
    d_model: int
    encoder: list[Layer]
    decoder: list[Layer]
    source: SideEmbedding
    target: SideEmbedding
    encoder_norm: Norm | None
    decoder_norm: Norm | None
    output: Affine
    ending: str
    ending_event: int
    notes: list[str] = field(default_factory=list)

    @property
    def sublayers(self) -> list[Sublayer]:
        return [s for layer in (*self.encoder, *self.decoder) for s in layer.sublayers]


def read(recording: Recording) -> Reading:
    """Find the role of each weight.

    Raises:
        Unmapped: the operations do not form a Transformer of the paper's parts.
    """
    return _Reader(recording).read()


class _Reader:
    def __init__(self, recording: Recording) -> None:
        self.recording = recording
        self.graph = Graph(recording)
        self.events = recording.events
        self.norms = Norms(self.graph)
        self.notes: list[str] = []

    def read(self) -> Reading:
        attentions = find_attentions(self.graph)
        if not attentions:
            raise Unmapped("No attention was found: no operation multiplies queries with keys.")
        self._check_norms()
        for number, attention in enumerate(attentions):
            self._check(attention, number)
            self._check_cross_attention(attention)
        output, ending, event = self._output()
        networks = self._networks(attentions, set(output.events))
        units: list[tuple[int, str, Attention | Network]] = sorted(
            [(a.first, "attention", a) for a in attentions]
            + [(n.first, "network", n) for n in networks],
            key=lambda unit: unit[0],
        )
        encoder = self._layers(units, "source", 1)
        decoder = self._layers(units, "target", 2)
        d_model = len(output.base)
        embeddings = {}
        for side, layers in (("source", encoder), ("target", decoder)):
            entry = self._set_residuals_and_norms(layers)
            self._last_norms(layers)
            first = layers[0].sublayers[0].stream
            embeddings[side] = read_embedding(
                self.graph, self.norms, side, first if entry is None else entry.before, entry
            )
        memory = self._memory(encoder, decoder)
        last = self.norms.after.get(output.event)
        final = (
            last if last is not None and last.before == decoder[-1].sublayers[-1].after else None
        )
        return Reading(
            self.recording, self.graph, d_model, encoder, decoder, embeddings["source"],
            embeddings["target"], memory, final, output, ending, event, self.notes,
        )  # fmt: skip

    def _check_norms(self) -> None:
        number = without_mean(self.graph)
        if number:
            stack = "decoder" if self.graph.labels(number).max() >= TARGET else "encoder"
            raise Unmapped(
                "Here vectors are divided by their root mean square, and their mean is not "
                "subtracted: an RMSNorm. The paper's norm subtracts the mean, divides by the "
                "standard deviation, and adds a bias.",
                number,
                f"{stack} self-attention, norm",
            )

    def _check(self, attention: Attention, number: int) -> None:
        for name in ("query", "key", "value"):
            if getattr(attention, name) is None:
                plural = {"query": "queries", "key": "keys", "value": "values"}[name]
                raise Unmapped(
                    f"The {plural} of attention {number + 1} ({attention.side} side) are not a "
                    "linear map of one vector of the same position.",
                    attention.first,
                )

    def _check_cross_attention(self, attention: Attention) -> None:
        """Refuse an attention with queries of the encoder and keys of the decoder."""
        assert attention.key is not None
        if attention.side == "source" and self.graph.labels_of(attention.key.base).min() >= TARGET:
            raise Unmapped(
                "Here the encoder's output asks the decoder. In cross-attention queries come from "
                "the decoder, keys and values from the encoder's output.",
                attention.first,
                "decoder cross-attention",
            )

    # --- the output

    def _output(self) -> tuple[Affine, str, int]:
        """The last linear map, what follows it ("", "log_softmax" or "softmax"), and its event."""
        codes = self.recording.logits.reshape(-1, self.recording.logits.shape[-1])[0]
        ending, at = "", 0
        for _ in range(4):
            event = self.events[int(codes[0]) >> SHIFT]
            if event.op in ("_log_softmax", "_softmax"):
                ending, at = event.op[1:], event.number
                codes = self.graph.operand(event, event.reads[0], codes & INDEX)
            else:
                break
        found = self.graph.affine(codes)
        if found is None:
            raise Unmapped(
                "The logits are not a linear map of one vector of the decoder.",
                int(codes[0]) >> SHIFT,
            )
        return found, ending, at

    # --- feed-forward networks

    def _networks(self, attentions: list[Attention], output: set[int]) -> list[Network]:
        used = set(output)
        for attention in attentions:
            used |= attention.linear
        free = [e for e in self.events if e.sides and self.graph.is_linear(e)]
        free = [e for e in free if e.number not in used]
        found: list[Network] = []
        for event in free:
            network = self._network(event)
            if network is not None:
                found.append(network)
                used |= network.linear
        left = [e for e in free if e.number not in used and self._matters(e)]
        if left and self._gates(left[0]):
            stack = "decoder" if self.graph.labels(left[0].number).max() >= TARGET else "encoder"
            raise Unmapped(
                "The result of this linear map is multiplied with that of another one: a gate. "
                "The paper's feed-forward network is two maps with an activation between.",
                left[0].number,
                f"{stack} feed-forward",
            )
        if left:
            raise Unmapped(
                "This linear map belongs neither to an attention nor to a feed-forward network of "
                "two layers.",
                left[0].number,
            )
        return found

    def _gates(self, event: Event) -> bool:
        """Whether an event's result is multiplied elementwise with data of the same size."""
        number = event.number
        for _ in range(4):  # a bias, a reshape or an activation may come first
            users = [self.events[user] for user in self.graph.consumers.get(number, ())]
            for user in users:
                if user.op in ("mul", "mul_") and len(self.graph.full_size_operands(user)) == 2:
                    return True
            ahead = [u.number for u in users if len(self.graph.full_size_operands(u)) == 1]
            if len(ahead) != 1:
                return False
            number = ahead[0]
        return False

    def _matters(self, event: Event) -> bool:
        """Whether any operation reads an event's result."""
        return bool(self.graph.consumers.get(event.number))

    def _network(self, outer: Event) -> Network | None:
        places = np.arange(outer.shape[-1])
        if outer.op == "convolution":
            places = np.arange(outer.shape[1]) * outer.shape[2]
        rows = self.graph.rows(outer, places)
        codes = rows.data[0]
        if (rows.data != codes).any():
            return None
        hidden = codes
        between: list[int] = []
        for _ in range(16):  # back through the activation, to the inner linear map
            numbers = np.unique(hidden >> SHIFT)
            if len(numbers) != 1:
                return None
            event = self.events[int(numbers[0])]
            affine = self.graph.affine(hidden)
            if affine is not None:
                break
            main = self.graph.full_size_operands(event)
            if not main or event.op in ("native_layer_norm", "embedding"):
                return None
            if len(main) > 1 and event.op in ("add", "add_", "sub"):
                return None
            between.append(event.number)
            hidden = self.graph.operand(event, main[0], hidden & INDEX)
        else:
            return None
        width = len(outer.shape) and len(affine.base)
        if len(places) != width:
            return None
        before = self.recording.at(hidden)
        activation: str | None = "none"
        if between:
            activation, hidden, affine = activated(self.graph, codes, hidden, affine)
        end, scale, bias = tail(self.graph, outer.number)
        return Network(
            affine,
            scale * self.recording.at(rows.weights),
            scale * rows.bias + bias,
            activation,
            affine.events[0],
            end,
            tuple(self.graph.leaves(rows.weights)),
            {outer.number, *affine.events},
            self.events[between[0] if between else int(before.size > 0) and outer.number],
        )

    # --- layers

    def _layers(
        self, units: list[tuple[int, str, Attention | Network]], side: str, attentions: int
    ) -> list[Layer]:
        mine = [(kind, part) for _, kind, part in units if self._side(part) == side]
        names = ["self-attention", *["cross-attention"] * (attentions - 1), "feed-forward"]
        pattern = ["attention"] * attentions + ["network"]
        if not mine or len(mine) % len(pattern):
            raise Unmapped(
                self._unexpected_layers(mine, side, pattern), mine[-1][1].first if mine else 0
            )
        layers = []
        for start in range(0, len(mine), len(pattern)):
            part = mine[start : start + len(pattern)]
            if [kind for kind, _ in part] != pattern:
                raise Unmapped(self._unexpected_layers(mine, side, pattern), part[0][1].first)
            layers.append(
                Layer([Sublayer(name, unit) for name, (_, unit) in zip(names, part, strict=True)])
            )
        return layers

    def _unexpected_layers(
        self, mine: list[tuple[str, Attention | Network]], side: str, pattern: list[str]
    ) -> str:
        found = ", ".join(kind.replace("network", "feed-forward") for kind, _ in mine[:12])
        stack = "encoder" if side == "source" else "decoder"
        wanted = ", ".join(pattern).replace("network", "feed-forward")
        return (
            f"The {stack}'s layers are not what was expected. Each should be: {wanted}; found in "
            f"this order: {found or 'nothing'}."
        )

    def _side(self, part: Attention | Network) -> str:
        if isinstance(part, Attention):
            return part.side
        labels = self.graph.labels_of(part.inner.base)
        return "target" if labels[0] >= TARGET else "source"

    # --- residual connections and norms

    def _set_residuals_and_norms(self, layers: list[Layer]) -> Norm | None:
        """Set streams, residual connections and norms of one side; return the embedding's own norm.

        The residual sum tells the order: it adds the vector before a norm (pre-norm), or the
        normalised one (post-norm: the norm then belongs to the sub-layer before).
        """
        subs = [s for layer in layers for s in layer.sublayers]
        ahead: list[Norm | None] = []
        adds: list[str] = []
        for sub in subs:
            base = self._base(sub.part)
            norm = self.norms.after.get(base)
            sub.stream = base if norm is None else norm.before
            added = self._added(sub.part.end)
            sub.residual, sub.sum_event = added is not None, sub.part.end
            if added is None:  # some models compute x + norm(f(x))
                for norm_inside in self.norms.before.get(sub.part.end, []):
                    if self._added(norm_inside.after) is not None:
                        sub.residual, sub.sum_problem = True, "normalised"
            if added is not None:
                sub.sum_event, other = added
                sub.added_event = other
                adds.append("norm" if other == base else "stream" if other == sub.stream else "")
                sub.sum_problem = "" if adds[-1] else "other"
            else:
                adds.append("none")
            ahead.append(norm)
        first = ahead[0]
        pre = any(n is not None and a == "stream" for n, a in zip(ahead, adds, strict=True))
        pre = pre or (first is not None and "norm" not in adds)
        after = not pre and first is not None
        if after and first is not None and not self._belongs(first, subs):
            after = False
        else:
            first = None
        few = pre and 0 < adds.count("norm") < adds.count("stream")
        for sub, norm, add in zip(subs, ahead, adds, strict=True):
            sub.after = sub.sum_event
            if pre or after:
                sub.norm, sub.placement = norm, "none" if norm is None else "pre"
                if norm is not None and (after or (few and add == "norm")):
                    sub.placement = "after"
            elif following := self.norms.before.get(sub.sum_event, []):
                sub.norm, sub.placement = self._read_one(following), "post"
                sub.after = sub.norm.after
            if not (pre or after):
                base = self._base(sub.part)
                sub.stream = base
        return first

    def _belongs(self, norm: Norm, subs: list[Sublayer]) -> bool:
        """Whether a norm right after the embedding belongs to the first sub-layer.

        The function may be the same either way. It belongs to it if no norm follows the last
        sub-layer, or if by their names both have their parameters in the same layer.
        """
        if not self.norms.before.get(subs[-1].sum_event):
            return True
        part = subs[0].part
        assert isinstance(part, Attention)
        assert part.query is not None
        theirs = [self._owner(leaf) for leaf in part.query.parameters]
        own = [self._owner(leaf) for leaf in norm.parameters]
        return bool(own and theirs) and own[0].startswith(theirs[0])

    def _owner(self, leaf: int) -> str:
        """The layer that a parameter belongs to: its name up to the first number."""
        parts = self.events[leaf].name.split(".")
        numbers = [place for place, part in enumerate(parts) if part.isdecimal()]
        return ".".join(parts[: numbers[0] + 1]) if numbers else ".".join(parts)

    def _base(self, part: Attention | Network) -> int:
        if isinstance(part, Network):
            return part.inner.event
        return part.query.event if part.query is not None else 0

    def _read_one(self, norms: list[Norm]) -> Norm:
        """Of the norms found on one vector (without gain, with gain, with bias): the one that a
        linear map reads, or else the last."""
        last = max(norms, key=lambda norm: norm.after)
        for norm in norms:
            users = self.graph.consumers.get(norm.after, [])
            if any(self.graph.is_linear(self.events[u]) for u in users):
                return norm
        return last

    def _added(self, end: int) -> tuple[int, int] | None:
        """The residual addition of a sub-layer's output: its event, and the other operand's."""
        for user in self.graph.consumers.get(end, ()):
            event = self.events[user]
            full = self.graph.full_size_operands(event)
            if event.op not in ("add", "add_") or len(full) != 2:
                continue
            behind = [self.graph.events_of(read) for read in full]
            if behind == [[end], [end]] or any(len(numbers) != 1 for numbers in behind):
                continue
            other = [numbers[0] for numbers in behind if numbers != [end]]
            if other:
                return user, other[0]
        return None

    def _last_norms(self, layers: list[Layer]) -> None:
        """If only the end of a stack is normalised, that norm belongs to the stack."""
        *others, last = [s for layer in layers for s in layer.sublayers]
        if last.placement == "post" and others and all(s.placement == "none" for s in others):
            last.placement, last.norm, last.after = "none", None, last.sum_event

    def _memory(self, encoder: list[Layer], decoder: list[Layer]) -> Norm | None:
        """The norm after the encoder, if cross-attention reads one."""
        end = encoder[-1].sublayers[-1].after
        for layer in decoder:
            cross = layer.sublayers[1].part
            assert isinstance(cross, Attention)
            assert cross.key is not None
            norm = self.norms.after.get(cross.key.event)
            if norm is not None and norm.before == end:
                return norm
        return None
