"""Each box of a forward pass shows the values of the hook points and the code of the file."""

import re
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.support.checkpoint_files import make
from tests.support.places import ROOT, bundled_file
from transformer.anatomy.boxes import Box, boxes
from transformer.anatomy.code import MODEL, code_of, lines_of
from transformer.anatomy.drawing import anatomy_svg
from transformer.anatomy.forward_pass import ForwardPass, forward_pass
from transformer.anatomy.without import can_be_left_out, decode_without
from transformer.checkpoint import Checkpoint
from transformer.config import TransformerConfig
from transformer.decoding.steps import normalised
from transformer.decoding.strategies import Greedy, decode
from transformer.faults import plant
from transformer.hooks import Trace, hook_points, own_modules, record

SAMPLE = ("reverse", "pronunciation")
BUNDLED = [
    pytest.param(path.stem, marks=[pytest.mark.long] * (path.stem not in SAMPLE))
    for path in sorted((ROOT / "checkpoints").glob("*.safetensors"))
]
VARIANTS: dict[str, dict[str, Any]] = {
    "post-norm": {"norm_first": False, "final_norm": False, "num_decoder_layers": 2},
    "learned": {"position_layout": "learned", "activation": "swish", "num_heads": 4},
    "no positions": {"position_layout": "none", "norm_first": True},
    "unscaled": {"scale_embeddings": False, "output_bias": True, "num_encoder_layers": 2},
    "MarianMT's": {
        "norm_first": False,
        "final_norm": False,
        "position_layout": "halves",
        "activation": "swish",
        "share_embeddings": True,
        "tie_embeddings": True,
        "output_bias": True,
        "pad_in_output": "cut",
        "decoder_start_id": 0,
    },
    "norms elsewhere": {
        "norm_first": False,
        "final_norm": True,
        "final_norm_side": "decoder",
        "embedding_norm": True,
    },
}
POINTS = {
    "queries": "queries",
    "keys": "keys",
    "values": "values",
    "scores": "scores",
    "softmax": "weights",
    "mixing": "head_outputs",
}
"""Part of attention -> the hook point that has its value."""


def load(name: str) -> Checkpoint:
    return Checkpoint.load(bundled_file(name))


def close(found: Tensor, wanted: Tensor) -> None:
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4, equal_nan=True)


def assert_box_value(run: ForwardPass, box: Box, trace: Trace, logits: Tensor) -> None:
    """Check a box's value: that of a hook point, or related to one by the formula on its card."""
    value, model = run.value(box), run.checkpoint.model
    find: Any = model.get_submodule
    if box.stack == "output":
        likely = normalised(logits.clone(), run.checkpoint.config).exp()
        wanted = logits if box.part == "logits" else likely
        close(value, wanted)
        return
    stack = {"source": "encoder", "target": "decoder"}.get(box.stack, box.stack)
    if box.stack in ("source", "target"):
        embedding = find(f"{box.stack}_embedding")
        positions = embedding.positions[: len(value)]
        entered = run.value(Box(box.stack, None, "", "positions"))
        stream = trace[f"{stack}.layers.0.self_attention_residual.before"][0]
        close(find(f"{stack}.embedding_norm")(entered), stream)
        if box.part == "norm":
            close(value, stream)
            return
        scaled = entered - positions
        part = {"positions": scaled + positions, "scale": scaled}
        close(value, part.get(box.part, scaled / embedding.scale))
        return
    if box.layer is None:
        last = len(find(stack).layers) - 1
        close(
            value,
            find(f"{stack}.norm")(trace[f"{stack}.layers.{last}.feed_forward_residual.after"])[0],
        )
        return
    name = {"self": "self_attention", "cross": "cross_attention"}.get(box.sublayer, "feed_forward")
    path = f"{stack}.layers.{box.layer}.{name}"
    residual, module = find(f"{path}_residual"), find(path)
    before, after = (trace[f"{path}_residual.{name}"][0] for name in ("before", "after"))
    first = run.checkpoint.config.norm_first
    if box.part in POINTS:
        assert torch.equal(value, trace[f"{path}.{POINTS[box.part]}"][0])
    elif box.part == "products":
        close(
            value / value.new_tensor(run.checkpoint.config.d_k).sqrt(), trace[f"{path}.scores"][0]
        )
    elif box.part == "mask":
        hidden = trace[f"{path}.weights"][0] == 0
        close(value, trace[f"{path}.scores"][0].masked_fill(hidden, torch.nan))
    elif box.part == "norm":
        close(value, residual.norm(before) if first else after)
    elif box.part == "residual":
        close(value if first else residual.norm(value), after)
    elif box.part in ("projection", "outer"):
        close(before + value if first else residual.norm(before + value), after)
    else:
        assert box.part in ("inner", "activation")
        inner = module.inner(residual.norm(before) if first else before)
        close(value, inner if box.part == "inner" else module.activation(inner))


def assert_all_box_values(checkpoint: Checkpoint, text: str, step: int) -> None:
    source = checkpoint.encode(text)
    written = decode(checkpoint.model, source, Greedy(max_length=12))[0].tokens
    run = forward_pass(checkpoint, source, written[:step])
    with torch.inference_mode(), record(checkpoint.model) as trace:
        read = [checkpoint.config.decoder_start_id, *written[:step]]
        logits = checkpoint.model(source, torch.tensor([read]))[0, -1]
        for box in boxes(checkpoint.config):
            assert_box_value(run, box, Trace(trace), logits)
            pictures = run.pictures(box)
            value = run.value(box).numpy()
            if box.stack == "output":
                assert np.array_equal(pictures[0].numbers[0], -np.sort(-value)[:12])
            else:
                shown = np.stack([one.numbers for one in pictures])
                assert np.array_equal(shown, value.reshape(shown.shape), equal_nan=True)
                assert all(len(one.rows) == len(one.numbers) for one in pictures)
                assert all(len(one.columns) in (0, one.numbers.shape[1]) for one in pictures)
    best = pictures[0].columns[0]
    assert best == checkpoint.target_vocabulary.tokens[written[step]]


@pytest.mark.parametrize("name", BUNDLED)
def test_every_value_shown_is_that_of_the_hook_points(name: str) -> None:
    checkpoint = load(name)
    assert_all_box_values(checkpoint, checkpoint.header.examples[0].source, step=2)


@pytest.mark.parametrize("name", VARIANTS)
def test_other_architectures_have_their_own_boxes(name: str) -> None:
    checkpoint = make(3, **VARIANTS[name])
    assert_all_box_values(checkpoint, "abcd", step=1)
    config = checkpoint.config
    parts = [box.part for box in boxes(config)]
    assert ("scale" in parts) == config.scale_embeddings
    assert ("positions" in parts) == (config.position_layout != "none")
    first = [box.part for box in boxes(config) if box.stack == "encoder" and box.layer == 0]
    assert first[0] == ("norm" if config.norm_first else "queries")
    outside = {box.stack for box in boxes(config) if box.part == "norm" and box.layer is None}
    entries = {"source", "target"} if config.embedding_norm else set()
    assert outside == entries | {s for s in ("encoder", "decoder") if config.norm_after(s)}


def test_a_pass_leaves_nothing_behind() -> None:
    checkpoint = load("reverse")
    forward_pass(checkpoint, checkpoint.encode("abc"), [])
    model = checkpoint.model
    assert not any(point.hooks for point in hook_points(model).values())
    assert not any(module._forward_hooks for module in model.modules())


# --- lines ----------------------------------------------------------------------------------


def test_every_line_shown_stands_in_the_file_under_its_number() -> None:
    """Fails if a box names code that no longer exists."""
    every = {name for box in boxes(load("sort").config) for name in box.about.code}
    for name in sorted(every):
        for found in code_of([name]):
            module = name.rpartition("::")[0] or MODEL
            path = ROOT / f"{module.replace('.', '/')}.py"
            whole = path.read_text("utf-8").splitlines()[found.first - 1 : found.last]
            lines = [line.strip() for line in whole]
            wanted = [line.strip() for line in found.text.splitlines()]
            assert found.file == path.name
            assert wanted[0] == lines[0]
            assert wanted[-1] == lines[-1]
            assert all(line in lines for line in wanted)
            assert '"""' not in found.text


def test_lines_are_found_by_name_and_what_is_not_there_is_named() -> None:
    [weights] = lines_of("MultiHeadAttention.forward:weights")
    assert weights.text == "weights = self.weights(attention_weights(scores, mask))"
    [attend] = lines_of("EncoderLayer.forward.attend")
    assert attend.text.startswith("def attend(x: Tensor)")
    for gone in ("attention_score", "MultiHeadAttention.forward:weight", "Encoder.forward.attend"):
        with pytest.raises(LookupError, match=re.escape(gone)):
            lines_of(gone)


# --- the map --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["paper", *VARIANTS])
def test_the_map_has_each_box_once(name: str) -> None:
    paper = TransformerConfig(source_vocab_size=9, target_vocab_size=9)
    config = paper if name == "paper" else make(0, **VARIANTS[name]).config
    svg = anatomy_svg(config)
    places = re.findall(r'data-place="([^"]+)"', svg)
    assert len(places) == len(set(places))
    assert set(places) == {box.place for box in boxes(config)}
    layers = config.num_encoder_layers + config.num_decoder_layers
    assert svg.count('class="layer"') == layers
    assert len({box.id for box in boxes(config)}) == len(boxes(config))


# --- a part left out ------------------------------------------------------------------------


def test_what_is_taken_out_is_the_planted_fault_and_nothing_stays_changed() -> None:
    checkpoint = load("reverse")
    model, source = checkpoint.model, checkpoint.encode("workbench")
    written = decode(model, source)[0].tokens
    changed = {}
    for box in boxes(checkpoint.config):
        if not can_be_left_out(model, box):
            assert box.part == "logits"
            continue
        found = decode_without(model, source, box, written, 2)
        changed[box.id] = found.changed
        if box.about.fault:
            faulty = own_modules(model)
            plant(faulty, box.about.fault)
            greedy = Greedy(max_length=2 * len(written) + 10, cached=False)
            assert found.tokens == decode(faulty, source, greedy)[0].tokens
        if found.changed is None:
            assert found.tokens == written
        else:
            assert found.tokens[: found.changed] == written[: found.changed]
            assert found.tokens[: found.changed + 1] != written[: found.changed + 1]
    assert decode(model, source)[0].tokens == written
    # A single sentence has no padding, and softmax keeps the order of the logits.
    for name in ("encoder.0.self.mask", "decoder.0.cross.mask", "output.probabilities"):
        assert changed[name] is None
    assert changed["output.next"] == 2
    for name in ("source.positions", "decoder.0.cross.values", "encoder.0.self.softmax"):
        assert changed[name] is not None


def test_queries_keys_and_scores_of_zero_are_the_same_even_attention() -> None:
    checkpoint = load("sort")
    model, source = checkpoint.model, checkpoint.encode("workbench")
    written = decode(model, source)[0].tokens
    found = {
        decode_without(model, source, Box("decoder", 1, "cross", part), written, 0).tokens
        for part in ("queries", "keys", "products")
    }
    assert len(found) == 1
