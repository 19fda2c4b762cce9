"""The health check of a run: its newest model, its batches, its overfit check and its curve."""

import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict

import torch

from transformer.checkpoint import Checkpoint
from transformer.config import RunConfig, TransformerConfig
from transformer.decoding.strategies import Greedy, decode
from transformer.errors import CheckpointError
from transformer.faults import CORRECT, TrainingPractice, plant_of_run, practice_of
from transformer.health.curves import Curve, check_curve, check_first_loss, check_overfit
from transformer.health.finding import Finding, percent
from transformer.health.invariants import (
    NOT_FINITE,
    check_attention,
    check_model,
    check_targets,
)
from transformer.health.learning import (
    check_generation,
    check_gradients,
    check_loss,
    check_moved,
    check_zeroed,
)
from transformer.hooks import record
from transformer.model import Transformer
from transformer.runs.directory import Run
from transformer.runs.goals import add_evidence, read_goals
from transformer.runs.health import write_health
from transformer.runs.metrics import Record, by_step
from transformer.tasks import Pair, Task, build_task
from transformer.tasks.baselines import unigram_loss
from transformer.trainer.overfit import run_overfit_check
from transformer.training.batches import Batch, Share, collate, encode
from transformer.training.loop import Training, evaluate_loss, training_loss

PAIRS = 32
"""Number of held-out pairs that the model is asked to write."""
FEW = 8
"""Number of pairs in the batch for the invariants."""
LARGE, LARGE_PAIRS, LARGE_FEW = 20_000_000, 8, 4
"""Number of parameters from which a model is large, and its :data:`PAIRS` and :data:`FEW`: the
check must not take long."""
LONG = 48
"""Most tokens of a source or target; longer pairs are left out if there are enough others."""
DRIFT = 0.25
"""Difference between present and recorded token accuracy that chance cannot explain."""

LEAKS = ("Targets shifted right", "Softmax over the keys", "No look into the future")
"""Names of the findings that say whether the decoder sees what it has to predict."""

Progress = Callable[[str], None]


def check_and_keep(
    run: Run, progress: Progress = lambda _: None, *, patient: bool = True
) -> list[Finding]:
    """:func:`check_run`, and write the findings into the run's directory."""
    step = run.last_step()
    findings = check_run(run, progress, patient=patient)
    with suppress(OSError):  # a read-only run can be checked, too
        write_health(run.path, step, [asdict(finding) for finding in findings])
    return findings


def check_run(
    run: Run, progress: Progress = lambda _: None, *, patient: bool = True
) -> list[Finding]:
    """All findings on a run, in the order in which to look for a cause; takes a few seconds.

    The model is that of the newest checkpoint, or the untrained one if there is none yet, with
    the present code.

    Args:
        progress: called with what is being checked.
        patient: whether to repeat an overfit check that was cut short.

    Raises:
        RunError, TaskError: the run's config or its pairs cannot be read.
    """
    progress("Reading the run")
    config = run.config()
    task = build_task(config.data, run.data_file)
    records = run.metrics()
    try:
        model, step = _model(run, config)
    except CheckpointError as error:
        return [
            Finding(
                "Checkpoint", "problem", str(error), "Start the run again, or use an older one."
            )
        ]
    findings = []
    progress("Trying the invariants of the model")
    pairs = _pairs(task, config.model)
    few = FEW if config.model.num_parameters < LARGE else LARGE_FEW
    practice = practice_of(config.training.fault)
    batch = collate(encode(task, pairs[:few]), model.config, practice)
    findings += check_parts(model, batch, practice)
    progress("Trying one update")
    findings += _learning(model, task, config, batch, step)
    progress("Letting the model write")
    if not any(finding.name == NOT_FINITE for finding in findings):
        leaks = any(finding.alarm and finding.name in LEAKS for finding in findings)
        findings += _generation(model, task, pairs, step, records, practice, leaks)
    overfit = read_goals(run.path).overfit
    if overfit is None or (overfit.cut_short and patient):
        progress("Training a small copy on eight pairs")
        overfit = run_overfit_check(config, task)
        with suppress(OSError):
            add_evidence(run.path, "twin", overfit.to_dict())
    findings.append(check_overfit(overfit))
    progress("Reading the curve")
    held_out = task.held_out(config.training.eval_examples)
    guesses = (unigram_loss(task, held_out, ends_known=known) for known in (False, True))
    curve = Curve.of(records, *guesses)
    findings.append(check_first_loss(curve.untrained, config.model))
    findings += check_curve(curve, config, run.status().state)
    return findings


def check_parts(
    model: Transformer, batch: Batch, practice: TrainingPractice = CORRECT
) -> list[Finding]:
    """Checks of one of our own models on a batch, of that batch, and of the loss."""
    config = model.config
    model.eval()
    with torch.no_grad(), record(model) as trace:
        model(batch.source, batch.target_in)
    weights = {name: value for name, value in trace.items() if name.endswith(".weights")}
    attention = check_attention(
        {name.removesuffix(".weights"): value for name, value in weights.items()},
        {
            name.removesuffix(".weights"): _allowed(name, value.shape, batch, config.pad_id)
            for name, value in weights.items()
        },
    )
    with torch.enable_grad():
        model.requires_grad_(True)
        logits = model(batch.source, batch.target_in)
        loss = training_loss(logits, batch.target_out, config.pad_id, practice)
        gradients = check_gradients(model, loss)
    return [
        check_targets(batch.target_in, batch.target_out, config.pad_id, config.eos_id),
        *attention,
        *check_model(
            model,
            batch.source,
            batch.target_in,
            config.pad_id,
            room=config.max_length,
            softmax=attention[0],
            masked=attention[1],
        ),
        gradients,
        check_loss(
            lambda logits, asked: training_loss(logits, asked, config.pad_id, practice),
            config.target_vocab_size,
            config.pad_id,
        ),
    ]


def _learning(
    model: Transformer, task: Task, config: RunConfig, batch: Batch, step: int
) -> list[Finding]:
    """Checks of updates: whether gradients start from zero, and every parameter has moved."""
    found = []
    if config.model.num_parameters < LARGE:
        training = Training(model, task, config.training.replace(device="cpu", precision="fp32"))
        real = int((batch.target_out != model.config.pad_id).sum())
        with torch.enable_grad(), torch.random.fork_rng(devices=[]):
            norms = []
            for _ in range(2):
                torch.manual_seed(0)  # the same dropout both times
                norms.append(training.differentiate(Share(batch, real, 0))[1].item())
        model.zero_grad(set_to_none=True)
        model.eval()
        if all(map(math.isfinite, norms)):
            found.append(check_zeroed(*norms))
    if step:
        before, after = (dict(one.named_parameters()) for one in (_initial(config), model))
        found.append(check_moved(before, after))
    return found


def _allowed(name: str, shape: torch.Size, batch: Batch, pad_id: int) -> torch.Tensor:
    """Where this attention may look: [1, 1, query, key] or [batch, 1, 1, key].

    Written again here and not taken from the model, whose masks are being checked.
    """
    if name.startswith("decoder") and ".self_attention." in name:
        position = torch.arange(shape[-1])
        return (position[None, :] <= position[:, None])[None, None]
    return (batch.source != pad_id)[:, None, None, :]


def _model(run: Run, config: RunConfig) -> tuple[Transformer, int]:
    """The newest saved model and its step, or the run's initial model and 0."""
    checkpoints = run.checkpoints()
    if checkpoints:
        checkpoint = Checkpoint.load(checkpoints[-1])
        return checkpoint.model, int(checkpoints[-1].stem.removeprefix("step-"))
    return _initial(config), 0


def _initial(config: RunConfig) -> Transformer:
    """The run's model before its first update."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.training.seed)
        model = Transformer(config.model).eval()
    plant_of_run(model, config.training.fault)
    return model


def _pairs(task: Task, config: TransformerConfig) -> list[Pair]:
    """Held-out pairs with different sources that fit the model with room to spare.

    The short ones, or if there are fewer than two, the shortest.
    """
    count = PAIRS if config.num_parameters < LARGE else LARGE_PAIRS
    distinct = {pair.source: pair for pair in task.held_out(4 * PAIRS)}
    pairs = list(distinct.values())
    lengths = {
        pair: max(len(source), len(target))
        for pair, (source, target) in zip(pairs, encode(task, pairs), strict=True)
    }
    limit = min(LONG, config.max_length - 4)
    short = [pair for pair in pairs if lengths[pair] <= limit][:count]
    found = short if len(short) >= 2 else sorted(pairs, key=lengths.__getitem__)[:FEW]
    return found * 2 if len(found) == 1 else found


def _generation(
    model: Transformer,
    task: Task,
    pairs: Sequence[Pair],
    step: int,
    records: Sequence[Record],
    practice: TrainingPractice,
    leaks: bool,
) -> list[Finding]:
    """Compare teacher forcing with free running, and the model with the trainer's record."""
    encoded = encode(task, pairs)
    batch = collate(encoded, model.config, practice)
    longest = max(len(target) for _, target in encoded)
    with torch.no_grad():
        logits = model(batch.source, batch.target_in)
    try:
        written = decode(model, batch.source, Greedy(max_length=longest + 2))
    except CheckpointError as error:
        return [Finding("Teacher forcing against free running", "problem", str(error))]
    found = check_generation(
        logits,
        batch.target_out,
        [list(h.tokens) for h in written],
        model.config.pad_id,
        leaks=leaks,
    )
    recorded = by_step(records, "eval").get(step)
    if recorded is None or recorded.token_accuracy is None:
        return [found]
    return [found, _drift(model, task, step, recorded.token_accuracy, practice)]


def _drift(
    model: Transformer, task: Task, step: int, recorded: float, practice: TrainingPractice
) -> Finding:
    name = "The model is as it was recorded"
    now = evaluate_loss(model, task, task.held_out(PAIRS), step, practice).token_accuracy
    said = (
        f"Given the true tokens, the model of step {step:,} predicts {percent(now)} of them now; "
        f"the trainer recorded {percent(recorded)}"
    )
    if abs(now - recorded) > DRIFT:
        return Finding(
            name,
            "problem",
            f"The model was trained by other code. {said}. In training it saw the token it has to "
            "predict, or the model has changed since.",
            "If the code was changed after this run began, train it again.",
        )
    return Finding(name, "ok", f"{said}.")
