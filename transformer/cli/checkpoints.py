"""The commands that score and average checkpoints, as :mod:`__main__` offers them."""

import argparse
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transformer.errors import UserError
from transformer.training.compute import DEVICES

if TYPE_CHECKING:
    from transformer.checkpoint.checkpoint import Checkpoint
    from transformer.evaluation.held_out import Evaluation

MAX_BEAM = 64
MAX_ALPHA = 10


def add_commands(commands: Any) -> None:
    """``evaluate`` and ``average``."""
    parser = commands.add_parser("evaluate", help="score a checkpoint on held-out pairs")
    parser.add_argument("checkpoint", type=Path)
    _add_scoring(parser)
    parser.add_argument("--beam", type=int, default=1, help="beam size; 1 is greedy (default)")
    parser.add_argument("--alpha", type=float, default=0.6, help="length penalty of the beam")
    parser.add_argument(
        "--test",
        action="store_true",
        help="on the test set of a published benchmark",
    )
    add_arithmetic(parser)
    parser.set_defaults(run=evaluate)
    parser = commands.add_parser("average", help="average the weights of several checkpoints")
    parser.add_argument("checkpoints", type=Path, nargs="+", metavar="CHECKPOINT")
    parser.add_argument("out", type=Path, metavar="OUT", help="the .safetensors file to write")
    _add_scoring(parser)
    parser.set_defaults(run=average)


def _add_scoring(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data", type=Path, help="for a model of your own pairs: their file; default: its run's"
    )
    parser.add_argument(
        "--examples", type=int, help="how many held-out pairs; default: all of the task"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object")


def add_arithmetic(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--int8", action="store_true", help="with linear layers in 8 bits")
    parser.add_argument(
        "--device",
        choices=("auto", "cpu", "cuda"),
        default="auto",
        help="auto (default) takes a graphics card for many inputs, where PyTorch finds one",
    )


def loaded(options: argparse.Namespace, many: bool = True) -> "Checkpoint":
    """The checkpoint that a command names, as :func:`add_arithmetic` lets a person have it.

    Args:
        many: whether it is to read many inputs, or one.

    Raises:
        UserError: what is asked for cannot be had together, or not here.
    """
    if options.int8 and options.device == "cuda":
        raise UserError("--int8 is for the processor: leave it out, or --device cuda.")
    from transformer.checkpoint.checkpoint import Checkpoint

    checkpoint = Checkpoint.load(options.checkpoint)
    if options.int8:
        from transformer.decoding.engines.int8 import int8_twin

        return int8_twin(checkpoint)
    from transformer.checkpoint.placement import has_card, on_card

    wanted = options.device == "cuda" or (options.device == "auto" and many and has_card())
    return on_card(checkpoint) if wanted else checkpoint


def evaluate(options: argparse.Namespace) -> int:
    _check(options)
    if not 1 <= options.beam <= MAX_BEAM:
        raise UserError(f"--beam {options.beam}: must be between 1 and {MAX_BEAM}.")
    if not 0 <= options.alpha <= MAX_ALPHA:
        raise UserError(f"--alpha {options.alpha}: must be between 0 and {MAX_ALPHA}.")
    from transformer.evaluation import held_out

    checkpoint = loaded(options)
    device = next(checkpoint.model.parameters()).device.type
    task = held_out.task_of(checkpoint, options.data or held_out.own_pairs(options.checkpoint))
    if options.test:
        pairs = held_out.test_pairs(task)[: options.examples]
    else:
        pairs = held_out.held_out(checkpoint, task, options.examples)
    found: Evaluation = _drain(
        held_out.evaluating(checkpoint, task, pairs, beam_size=options.beam, alpha=options.alpha)
    )
    if options.json:
        said = {"checkpoint": str(options.checkpoint), "task": task.name, "test": options.test}
        print(json.dumps({**said, "device": device, **_told(found)}))
    else:
        where = f" on {DEVICES[device]}"
        print(f"{options.checkpoint}: {_words(found, 'test' if options.test else '')}{where}")
    return 0


def average(options: argparse.Namespace) -> int:
    _check(options)
    from transformer.checkpoint.checkpoint import Checkpoint
    from transformer.errors import TaskError
    from transformer.evaluation import averaging, held_out

    checkpoints = [Checkpoint.load(path) for path in options.checkpoints]
    averaging.check(checkpoints)
    last = checkpoints[-1]
    data = options.data or held_out.own_pairs(options.checkpoints[-1])
    try:
        task = held_out.task_of(last, data)
    except TaskError as error:
        if options.data is not None:
            raise
        print(f"{error} The average is written without scores.", file=sys.stderr)
        averaging.mean_weights(checkpoints).save(options.out)
        result: dict[str, Any] = {"average": None, "members": [], "verdict": ""}
    else:
        pairs = held_out.held_out(last, task, options.examples)
        made: averaging.Averaged = _drain(averaging.averaging(checkpoints, task, pairs))
        made.checkpoint.save(options.out)
        for path, member in zip(options.checkpoints, made.members, strict=True):
            print(f"{path}: {_words(member)}", file=sys.stderr)
        print(f"{options.out}: {_words(made.average)}", file=sys.stderr)
        print(made.verdict, file=sys.stderr)
        result = {
            "average": _told(made.average),
            "members": [_told(member) for member in made.members],
            "verdict": made.verdict,
        }
    print(json.dumps({"checkpoint": str(options.out), **result}) if options.json else options.out)
    return 0


def _check(options: argparse.Namespace) -> None:
    """What is wrong with the flags is said before the seconds that torch takes."""
    # Threads that wait spin otherwise, and keep each other from the little there is to do.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if options.examples is not None and options.examples < 1:
        raise UserError(f"--examples {options.examples}: must be at least 1.")


def _drain(steps: Iterator[Any]) -> Any:
    """The last of what a study yields; what share is done goes to standard error."""
    told, last = -1, None
    for last in steps:
        if isinstance(last, float) and int(20 * last) > told:
            told = int(20 * last)
            print(f"{last:.0%}", file=sys.stderr, flush=True)
    return last


def _told(found: "Evaluation") -> dict[str, Any]:
    plain = asdict(found)
    del plain["right"]
    return plain


def _words(found: "Evaluation", kind: str = "") -> str:
    kind = kind or ("training" if found.on_training_pairs else "held-out")
    search = "greedy" if found.beam == 1 else f"beam {found.beam}"
    return (
        f"exact match {found.exact_match:.2%} of {found.examples:,} {kind} pairs ({search}), "
        f"loss {found.loss:.4g}, tokens right {found.token_accuracy:.2%}, {found.seconds:.1f} s"
    )
