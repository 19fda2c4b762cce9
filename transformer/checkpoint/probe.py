"""Probes: logits, and where they were computed, to prove that a model still behaves the same."""

import base64
import platform
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor

from transformer.checkpoint.header import Probe
from transformer.config import TransformerConfig
from transformer.errors import CheckpointError
from transformer.model import Transformer

PROBE_NUMBERS = 16_384
"""Most logits in a probe: enough to prove equality, few enough for the header."""


def make_probe(model: Transformer, source: list[int], target: Sequence[int]) -> Probe:
    """A probe from one source, as the encoder reads it, and the start of one target."""
    config = model.config
    read = [config.decoder_start_id, *target]
    read = read[: min(config.max_length, max(1, PROBE_NUMBERS // config.target_vocab_size))]
    with one_thread():
        numbers = logits(model, source, read).numpy().astype("<f4").tobytes()
        return Probe(source, read, base64.b64encode(numbers).decode(), environment())


def any_ids(config: TransformerConfig) -> tuple[list[int], list[int]]:
    """Some ids of each side, to probe a model that comes without examples."""
    special = {config.pad_id, config.bos_id, config.eos_id, config.unk_id}
    source, target = (
        [number for number in range(min(size, 16)) if number not in special][:8]
        for size in (config.source_vocab_size, config.target_vocab_size)
    )
    return config.framed(source[: config.max_length - 2]) or [config.eos_id], target


@torch.inference_mode()
def logits(model: Transformer, source: Sequence[int], target: Sequence[int]) -> Tensor:
    """The model's logits for one source and one decoder input, [target, vocabulary]."""
    return model(torch.tensor([source]), torch.tensor([target]))[0]


def saved_logits(probe: Probe, config: TransformerConfig) -> Tensor:
    """The logits stored in a probe, [target, vocabulary].

    Raises:
        CheckpointError: they are damaged, or of another size.
    """
    try:
        content = base64.b64decode(probe.logits, validate=True)
        numbers = torch.frombuffer(bytearray(content), dtype=torch.float32)
        return numbers.view(len(probe.target), config.target_vocab_size)
    except (ValueError, RuntimeError):
        raise CheckpointError("The checkpoint's probe does not fit its configuration.") from None


@contextmanager
def one_thread() -> Iterator[None]:
    """Run the block on one thread, since the number of threads can change the logits' bits."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def environment() -> dict[str, str]:
    """What the bits of the logits may depend on: version of torch, CPU, threads."""
    return {
        "torch": torch.__version__,
        "cpu": f"{_processor()} with {torch.backends.cpu.get_cpu_capability()}",
        "threads": str(torch.get_num_threads()),
    }


def _processor() -> str:
    """The CPU's model: another one may have other instructions, which round differently."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").split("\n\n")[0].splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    facts = dict(line.replace("\t", "").split(":", 1) for line in lines if ":" in line)
    named = (
        facts.get(key, "").strip() for key in ("model name", "cpu family", "model", "stepping")
    )
    return " ".join(filter(None, named)) or platform.machine()
