"""Examines a model, or a capture of one, and returns a report."""

from collections.abc import Callable, Sequence
from pathlib import Path

from torch import Tensor, nn

from transformer.doctor.capture import CaptureError, capture
from transformer.doctor.diagnosis import diagnose
from transformer.doctor.recording import Recording
from transformer.doctor.report import Report, digest_of
from transformer.errors import UserError, reading

Call = Callable[[nn.Module, Tensor, Tensor], Tensor]


def doctor(
    model: nn.Module,
    *,
    call: Call | None = None,
    pad_id: int | None = None,
    loss: Callable[..., Tensor] | None = None,
    optimizer: Callable[[nn.Module], object] | None = None,
    greedy: Callable[..., object] | None = None,
    accept: Sequence[str] = (),
) -> Report:
    """Run and record a model in this process, and compare it with the paper.

    Args:
        call: takes the model, ids [batch, source] and [batch, target], and returns logits
            [batch, target, vocabulary]; by default usual signatures are tried.
        pad_id: the padding id; by default taken from the model.
        loss: takes (model, source, target_in, target_out, pad_id), returns one number.
        optimizer: takes (model), returns a PyTorch optimizer.
        greedy: takes (model, source [1, n], bos_id, eos_id, max_length), returns the ids written.
        accept: names of faults that are intended.

    Raises:
        UserError: the model cannot be called, or is too large.
    """
    try:
        content = capture(
            model, call=call, pad_id=pad_id, loss=loss, optimizer=optimizer, greedy=greedy
        )
    except CaptureError as error:
        raise UserError(str(error)) from None
    return examine(content, accept)


def examine(source: Path | bytes, accept: Sequence[str] = ()) -> Report:
    """Read a capture and compare it with the paper; nothing in it is executed.

    Raises:
        CheckpointError: the file is not a capture, or is damaged.
    """
    if isinstance(source, Path):
        with reading(source):
            source = source.read_bytes()
    return Report(diagnose(Recording(source)), digest_of(source), tuple(accept))
