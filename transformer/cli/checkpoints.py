"""The commands on checkpoint files: decode, verify, evaluate, average and bundle.

Torch is imported only when a command runs, so that the command line starts quickly.
"""

import argparse
import codecs
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transformer.cli.terminal import check_output, note, note_share, say
from transformer.errors import UserError
from transformer.tasks import out_of_form
from transformer.tasks.own_pairs.task import as_stored
from transformer.training.compute import DEVICES

if TYPE_CHECKING:
    from transformer.checkpoint import Answer, Checkpoint
    from transformer.evaluation.scoring import Evaluation

MAX_BEAM = 64
MAX_ALPHA = 10
ANSWER = ("output", "tokens", "log_prob", "complete", "unknown")
"""The fields of an output in ``decode --json``."""


def add_commands(commands: Any) -> None:
    """``decode``, ``verify``, ``evaluate``, ``average`` and ``bundle``."""
    _add_decode(commands.add_parser("decode", help="write a checkpoint's outputs for texts"))
    _add_verify(commands.add_parser("verify", help="check that a checkpoint behaves as saved"))
    _add_evaluate(commands.add_parser("evaluate", help="score a checkpoint on held-out pairs"))
    _add_average(commands.add_parser("average", help="average the weights of several checkpoints"))
    _add_bundle(commands.add_parser("bundle", help="write a checkpoint to give to others"))


def _add_decode(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("text", help="one input; '-' reads one per line from standard input")
    parser.add_argument("--beam", type=int, default=1, help="beam size; 1 is greedy (default)")
    parser.add_argument(
        "--alpha",
        type=float,
        help="length penalty of the beam; default 0.6, the paper's, or 1.0, "
        "generate's, for a MarianMT model",
    )
    _add_placement(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object per input")
    parser.set_defaults(run=decode)


def _add_verify(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--json", action="store_true", help="one JSON object")
    parser.add_argument(
        "--report", type=Path, help="write the evidence to this file: .html or .json"
    )
    parser.set_defaults(run=verify)


def _add_bundle(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("out", type=Path, help="the file to write")
    parser.add_argument("--licence", required=True, help="licence of the weights and of their data")
    parser.add_argument("--notes", default="", help="what else users should know")
    parser.add_argument("--precision", choices=("float32", "float16"), default="float32")
    parser.add_argument(
        "--example",
        action="append",
        default=[],
        metavar="TEXT",
        help="a held-out input to put first among the file's examples; may be repeated",
    )
    parser.add_argument("--data", type=Path, help="for a model of your own pairs: their file")
    parser.set_defaults(run=bundle)


def _add_evaluate(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("checkpoint", type=Path)
    _add_scoring(parser)
    parser.add_argument("--beam", type=int, default=1, help="beam size; 1 is greedy (default)")
    parser.add_argument("--alpha", type=float, default=0.6, help="length penalty of the beam")
    parser.add_argument(
        "--test",
        action="store_true",
        help="score on the test set of a published benchmark",
    )
    _add_placement(parser)
    parser.set_defaults(run=evaluate)


def _add_average(parser: argparse.ArgumentParser) -> None:
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


def _add_placement(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--int8", action="store_true", help="compute linear layers in 8 bits")
    parser.add_argument(
        "--device",
        choices=("auto", "cpu", "cuda"),
        default="auto",
        help="auto (default) takes a graphics card for many inputs, where PyTorch finds one",
    )


def _loaded(options: argparse.Namespace, many: bool = True) -> "Checkpoint":
    """A command's checkpoint, in 8 bits or on a device as the flags of :func:`_add_placement` say.

    Args:
        many: whether it will read many inputs, or one.

    Raises:
        UserError: the flags exclude each other, or ask for a device that is missing.
    """
    if options.int8 and options.device == "cuda":
        raise UserError("--int8 is for the processor: leave it out, or --device cuda.")
    from transformer.checkpoint import Checkpoint
    from transformer.checkpoint.placement import has_card, in_8_bits, on_card

    checkpoint = Checkpoint.load(options.checkpoint)
    if options.int8:
        return in_8_bits(checkpoint)
    wanted = options.device == "cuda" or (options.device == "auto" and many and has_card())
    return on_card(checkpoint) if wanted else checkpoint


def decode(options: argparse.Namespace) -> int:
    _check_search(options)
    from transformer.decoding.strategies import by_beam_size

    checkpoint = _loaded(options, many=options.text == "-")
    usual = 1.0 if checkpoint.config.length_penalty == "length" else 0.6
    alpha = usual if options.alpha is None else options.alpha
    strategy = by_beam_size(options.beam, alpha)
    texts = _inputs(options.text)
    found: dict[int, Answer] = {}
    for progress in checkpoint.answering(texts, strategy, margins=False):
        found.update(progress.new)
    failed = False
    for place, text in enumerate(texts):
        answer, where = found[place], f"line {place + 1}: " if options.text == "-" else ""
        empty = where != "" and not text.strip()
        failed = failed or bool(answer.error and not empty)
        if options.json:
            fields = ("source", "error") if answer.error else ("source", *ANSWER)
            plain = {name: getattr(answer, name) for name in fields}
            print(json.dumps(plain, ensure_ascii=False))
            continue
        # One line of output for each line of input, so that both can be put side by side.
        print("" if answer.error else answer.output)
        if empty:
            note(f"{where}it is empty")
        elif answer.error:
            note(f"error: {where}{answer.error}")
        elif answer.unknown:
            token = checkpoint.source_vocabulary.tokens[checkpoint.source_vocabulary.special.unk]
            note(
                f"{where}the model does not know {', '.join(answer.unknown[:5])}, and reads {token}"
            )
        if not empty and (unusual := out_of_form(checkpoint.header.data, text)):
            note(f"{where}{unusual}")
        if not answer.error and not answer.complete:
            note(f"{where}the output was cut: it found no end")
    return int(failed)


def _inputs(text: str) -> list[str]:
    """The text; for "-", the lines of standard input, in UTF-8 or UTF-16 as the shell writes them.

    Other bytes become U+FFFD, an unknown token in its own line.
    """
    if text != "-":
        return [text]
    content = sys.stdin.buffer.read()
    wide = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    lines = content.decode("utf-16" if wide else "utf-8-sig", "replace").split("\n")
    return [line.rstrip("\r") for line in (lines if lines[-1] else lines[:-1])]


def verify(options: argparse.Namespace) -> int:
    from transformer.checkpoint import verification
    from transformer.report import evidence

    if options.report is not None:
        evidence.check_name(options.report)
        check_output(options.report)
    checks = verification.verify(options.checkpoint)
    ok = all(check.ok for check in checks)
    if options.report is not None:
        evidence.save(evidence.report(options.checkpoint, checks), options.report)
    if options.json:
        print(json.dumps({"ok": ok, "checks": [check.verdict() for check in checks]}))
    else:
        for check in checks:
            say(f"{'ok    ' if check.ok else 'FAILED'} {check.name}: {check.detail}")
    return 0 if ok else 1


def bundle(options: argparse.Namespace) -> int:
    from transformer.evaluation.bundling import bundle

    check_output(options.out)
    with as_stored(options.data) as data:
        bundled = bundle(
            options.checkpoint,
            options.out,
            licence=options.licence,
            notes=options.notes,
            precision=options.precision,
            examples=options.example,
            data=data,
        )
    if bundled.before is not None and (after := bundled.checkpoint.summary):
        note(
            f"with {options.precision} weights: exact match {after.exact_match:.2%} of "
            f"{after.examples:,} (before {bundled.before.exact_match:.2%} of "
            f"{bundled.before.examples:,}), loss {after.loss:.3g} (before "
            f"{bundled.before.loss:.3g})"
        )
    print(options.out)
    return 0


def evaluate(options: argparse.Namespace) -> int:
    _check_scoring(options)
    _check_search(options)
    from transformer.decoding.strategies import by_beam_size
    from transformer.evaluation import held_out
    from transformer.evaluation.scoring import evaluating

    checkpoint = _loaded(options)
    device = next(checkpoint.model.parameters()).device.type
    with as_stored(options.data) as data:
        task = held_out.task_of(checkpoint, data or held_out.own_pairs(options.checkpoint))
    if options.test:
        pairs = held_out.test_pairs(task)[: options.examples]
    else:
        pairs = held_out.held_out(checkpoint, task, options.examples)
    search = by_beam_size(options.beam, options.alpha)
    found: Evaluation = _drain(evaluating(checkpoint, task, pairs, search))
    if options.json:
        about = {"checkpoint": str(options.checkpoint), "task": task.name, "test": options.test}
        print(json.dumps({**about, "device": device, **_plain(found)}))
    else:
        where = f" on {DEVICES[device]}"
        say(f"{options.checkpoint}: {_words(found, 'test' if options.test else '')}{where}")
    return 0


def average(options: argparse.Namespace) -> int:
    _check_scoring(options)
    from transformer.checkpoint import Checkpoint
    from transformer.errors import TaskError
    from transformer.evaluation import averaging, held_out

    check_output(options.out)
    checkpoints = [Checkpoint.load(path) for path in options.checkpoints]
    averaging.check(checkpoints)
    last = checkpoints[-1]
    try:
        with as_stored(options.data) as data:
            task = held_out.task_of(last, data or held_out.own_pairs(options.checkpoints[-1]))
    except TaskError as error:
        if options.data is not None:
            raise
        note(f"{error} The average is written without scores.")
        averaging.mean_weights(checkpoints).save(options.out)
        result: dict[str, Any] = {"average": None, "members": [], "verdict": ""}
    else:
        pairs = held_out.held_out(last, task, options.examples)
        made: averaging.Averaged = _drain(averaging.averaging(checkpoints, task, pairs))
        made.checkpoint.save(options.out)
        for path, member in zip(options.checkpoints, made.members, strict=True):
            note(f"{path}: {_words(member)}")
        note(f"{options.out}: {_words(made.average)}")
        note(made.verdict)
        result = {
            "average": _plain(made.average),
            "members": [_plain(member) for member in made.members],
            "verdict": made.verdict,
        }
    print(json.dumps({"checkpoint": str(options.out), **result}) if options.json else options.out)
    return 0


def _check_search(options: argparse.Namespace) -> None:
    if not 1 <= options.beam <= MAX_BEAM:
        raise UserError(f"--beam {options.beam}: must be between 1 and {MAX_BEAM}.")
    if options.alpha is not None and not 0 <= options.alpha <= MAX_ALPHA:
        raise UserError(f"--alpha {options.alpha}: must be between 0 and {MAX_ALPHA}.")


def _check_scoring(options: argparse.Namespace) -> None:
    """Report errors in the flags before the seconds in which torch is imported."""
    # Threads that spin while they wait would slow each other down.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if options.examples is not None and options.examples < 1:
        raise UserError(f"--examples {options.examples}: must be at least 1.")


def _drain(steps: Iterator[Any]) -> Any:
    """The last item of an iterator; shares of progress before it are printed to standard error."""
    shown, last = -1, None
    for last in steps:
        if isinstance(last, float) and int(20 * last) > shown:
            shown = int(20 * last)
            note_share(last)
    return last


def _plain(found: "Evaluation") -> dict[str, Any]:
    fields = asdict(found)
    del fields["right"]
    return fields


def _words(found: "Evaluation", kind: str = "") -> str:
    kind = kind or ("training" if found.on_training_pairs else "held-out")
    search = "greedy" if found.beam == 1 else f"beam {found.beam}"
    return (
        f"exact match {found.exact_match:.2%} of {found.examples:,} {kind} pairs ({search}), "
        f"loss {found.loss:.4g}, tokens right {found.token_accuracy:.2%}, {found.seconds:.1f} s"
    )
