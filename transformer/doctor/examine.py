"""From a model, or from a capture of one, to the report."""

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
    """Watch a model at work, here and now, and compare it with the paper.

    Args:
        call: takes the model, ids [batch, source] and [batch, target], and returns logits
            [batch, target, vocabulary]; without it, how to call the model is found out.
        pad_id: the padding id, if the model does not say it.
        loss: of (model, source, target_in, target_out, pad_id), one number.
        optimizer: of (model), an optimizer of PyTorch.
        greedy: of (model, source [1, n], bos_id, eos_id, max_length), the ids it writes.
        accept: names of faults that are meant to be there.

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
    """Read a capture and compare what it holds with the paper; none of its code runs.

    Raises:
        CheckpointError: the file is not a capture, or not a sound one.
    """
    if isinstance(source, Path):
        with reading(source):
            source = source.read_bytes()
    return Report(diagnose(Recording(source)), digest_of(source), tuple(accept))
