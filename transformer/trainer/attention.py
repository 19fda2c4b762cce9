"""Records how attention forms while a model trains, for :mod:`runs.attention` to read."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from transformer.config import TransformerConfig
from transformer.files import write_atomic
from transformer.hooks import record
from transformer.model import Transformer
from transformer.runs.attention import (
    CANDIDATES,
    EXAMPLES,
    FILE_BYTES,
    HEADER,
    RECORD_BYTES,
    RECORDS,
    Example,
    Shape,
    lengths_of,
)
from transformer.tasks import Pair, Task
from transformer.training.batches import collate, encode


class AttentionRecorder:
    """Appends records to a run directory. Draws no random number and changes no weight.

    If the model is too large, or examples are too long, fewer examples are recorded; if none,
    the header has a sentence that says why.

    Args:
        folder: the run directory.
        config: of the model that will be recorded.
        task: where the held-out examples come from.
    """

    def __init__(self, folder: Path, config: TransformerConfig, task: Task) -> None:
        self.folder = folder
        shape = Shape(config.num_encoder_layers, config.num_decoder_layers, config.num_heads)
        self.pairs = _choose(shape, task, config)
        self.examples = [_example(task, pair, config) for pair in self.pairs]
        self.dtype = shape.record(lengths_of(self.examples))
        self.task = task
        note = ""
        if not self.pairs:
            note = (
                "This model's attention is not recorded while it trains: the maps of one example "
                f"would take more than {RECORD_BYTES // 1000} kB at each moment."
            )
        header = {
            "version": 1,
            "shape": asdict(shape),
            "examples": [asdict(example) for example in self.examples],
            "note": note,
        }
        content = json.dumps(header, ensure_ascii=False).encode("utf-8", "replace")
        if not (folder / HEADER).exists():
            write_atomic(folder / HEADER, content)
        elif (folder / HEADER).read_bytes() != content:
            self.pairs = []  # records of other examples or another version: never mixed with ours

    def record(self, step: int, model: Transformer) -> None:
        """Append the model's attention as it is after ``step`` updates.

        A step that is already in the file is skipped: a resumed run would record the same again.

        Raises:
            OSError: the file cannot be written; earlier records are intact.
        """
        if not self.pairs:
            return
        with (self.folder / RECORDS).open("a+b") as file:
            size = file.seek(0, 2)
            size -= size % self.dtype.itemsize
            file.truncate(size)  # remove an incomplete record
            if size:
                file.seek(size - self.dtype.itemsize)
                if step <= int.from_bytes(file.read(8), "little"):
                    return
            if size + self.dtype.itemsize <= FILE_BYTES:
                file.write(self._measure(step, model).tobytes())

    def _measure(self, step: int, model: Transformer) -> NDArray[np.void]:
        found = np.zeros((), self.dtype)
        found["step"] = step
        batch = collate(encode(self.task, self.pairs), model.config)
        device = next(model.parameters()).device
        was_training = model.training
        model.eval()
        try:
            with torch.inference_mode(), record(model) as trace:
                on_device = batch.to(device)
                logits = model(on_device.source, on_device.target_in).float().cpu()
        finally:
            model.train(was_training)
        with torch.inference_mode():
            log_probs = logits.log_softmax(dim=-1)
            true = log_probs.gather(-1, batch.target_out[..., None]).squeeze(-1)
            right = logits.argmax(dim=-1) == batch.target_out
            probability = _in_255ths(true.exp())
            layers = {
                "encoder": ("encoder", "self_attention"),
                "decoder": ("decoder", "self_attention"),
                "cross": ("decoder", "cross_attention"),
            }
            maps = {kind: _weights(trace, *place) for kind, place in layers.items()}
            for i, (source, target) in enumerate(lengths_of(self.examples)):
                found[f"loss {i}"] = -true[i, :target].mean().item()
                found[f"probability {i}"] = probability[i, :target]
                found[f"right {i}"] = right[i, :target].numpy()
                found[f"encoder {i}"] = maps["encoder"][i, :, :, :source, :source]
                found[f"decoder {i}"] = maps["decoder"][i, :, :, :target, :target]
                found[f"cross {i}"] = maps["cross"][i, :, :, :target, :source]
        return found


def _choose(shape: Shape, task: Task, config: TransformerConfig) -> list[Pair]:
    """The longest candidates that fit, since they show most, in their original order."""

    def lengths(pair: Pair) -> tuple[int, int]:
        source, target = task.source_vocabulary, task.target_vocabulary
        return len(config.framed(source.encode(pair.source))), len(target.encode(pair.target)) + 1

    candidates = task.held_out(CANDIDATES)
    room = RECORD_BYTES - 8
    chosen: list[int] = []
    for i in sorted(range(len(candidates)), key=lambda i: -sum(lengths(candidates[i]))):
        size = shape.bytes_of(*lengths(candidates[i]))
        if len(chosen) < EXAMPLES and size <= room:
            chosen.append(i)
            room -= size
    return [candidates[i] for i in sorted(chosen)]


def _example(task: Task, pair: Pair, config: TransformerConfig) -> Example:
    target_tokens = task.target_vocabulary.tokens
    source = config.framed(task.source_vocabulary.encode(pair.source))
    target = task.target_vocabulary.tokens_of(task.target_vocabulary.encode(pair.target))
    return Example(
        pair.source,
        tuple(task.source_vocabulary.tokens[number] for number in source),
        (target_tokens[config.decoder_start_id], *target),
        (*target, target_tokens[config.eos_id]),
    )


def _weights(trace: Mapping[str, Tensor], stack: str, kind: str) -> NDArray[np.uint8]:
    """[batch, layer, head, query, key] in 255ths."""
    layers: list[Tensor] = []
    while (name := f"{stack}.layers.{len(layers)}.{kind}.weights") in trace:
        layers.append(trace[name])
    return _in_255ths(torch.stack(layers, dim=1).cpu())


def _in_255ths(share: Tensor) -> NDArray[np.uint8]:
    """Numbers from 0 to 1 as bytes; NaN, as in a diverged model, becomes 0."""
    found: NDArray[np.uint8] = share.float().nan_to_num().mul(255).round().to(torch.uint8).numpy()
    return found
