"""``python -m transformer import`` and ``export``: models from and for other programs.

Torch is imported only when a command runs, so that the command line starts quickly.
"""

import argparse
import json
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transformer.cli.terminal import boolean, check_output, note
from transformer.config import TransformerConfig
from transformer.errors import UserError, reading
from transformer.interop.captured.format import CAPTURE
from transformer.interop.foreign_vocabulary import (
    SPECIAL,
    Given,
    Sides,
    completed,
    read_vocabularies,
)
from transformer.interop.formats import FORMATS, locate
from transformer.interop.nn_transformer.questions import QUESTIONS, options_of

if TYPE_CHECKING:
    from transformer.checkpoint import Checkpoint
    from transformer.interop.nn_transformer.convert import Choices, Survey

IMPORTED = [item for item in FORMATS if item.source_help]
EXPORTED = [item for item in FORMATS if item.write is not None]


def add_commands(commands: Any) -> None:
    """``import`` and ``export``."""
    _add_import(commands.add_parser("import", help="make a checkpoint of a model from elsewhere"))
    _add_export(commands.add_parser("export", help="write a checkpoint for use elsewhere"))


def _add_import(parser: argparse.ArgumentParser) -> None:
    config = {item.name: item.metadata for item in fields(TransformerConfig)}
    parser.add_argument(
        "source",
        type=Path,
        help="; or ".join(item.source_help for item in IMPORTED),
    )
    parser.add_argument(
        "out",
        type=Path,
        nargs="?",
        help="the .safetensors file to write; without it, prints what was found",
    )
    parser.add_argument("--num-heads", type=int, help=config["num_heads"]["help"])
    parser.add_argument("--norm-first", action="store_true", help=config["norm_first"]["help"])
    parser.add_argument("--activation", choices=config["activation"]["choices"])
    parser.add_argument(
        "--scale-embeddings",
        type=boolean,
        metavar="true|false",
        help=config["scale_embeddings"]["help"],
    )
    parser.add_argument(
        "--positions",
        choices=tuple(options_of("positions")),
        help="sines and cosines by the formula, the file's own table, or none at all",
    )
    parser.add_argument(
        "--source-frame",
        choices=config["source_frame"]["choices"],
        help=config["source_frame"]["help"],
    )
    parser.add_argument(
        "--check",
        type=Path,
        metavar="PAIRS",
        help="ids with your model's logits (.pt), to find and prove what a state dict does not say",
    )
    parser.add_argument("--max-length", type=int, help=config["max_length"]["help"])
    parser.add_argument("--layer-norm-eps", type=float, help=config["layer_norm_eps"]["help"])
    parser.add_argument(
        "--role",
        action="append",
        default=[],
        metavar="TENSOR=ROLE",
        help="what a tensor is for, such as fc.weight=output-projection or x.weight=left-out",
    )
    parser.add_argument(
        "--vocabulary",
        type=Path,
        help="vocabulary of both sides: JSON, or one token per line; without it, ids",
    )
    parser.add_argument(
        "--target-vocabulary", type=Path, help="vocabulary of the target, if it has its own"
    )
    for side in ("", "source-", "target-"):
        parser.add_argument(
            f"--{side}special",
            type=_special,
            default={},
            metavar="pad=1,bos=2,eos=3,unk=none",
            help=f"ids of the {side.strip('-') or 'both vocabularies'}'s special tokens",
        )
    parser.add_argument("--json", action="store_true", help="end with one JSON object")
    parser.set_defaults(run=import_model)


def _special(text: str) -> dict[str, int | None]:
    found: dict[str, int | None] = {}
    for part in text.split(","):
        name, _, number = part.partition("=")
        if name not in SPECIAL or not (number == "none" or number.isdecimal()):
            raise argparse.ArgumentTypeError("must be like pad=1,bos=2,eos=3,unk=none")
        found[name] = None if number == "none" else int(number[:9])
    return found


def import_model(options: argparse.Namespace) -> int:
    check_output(options.out)
    source, found = locate(str(options.source))
    if found.read is None:
        return _import_state_dict(source, options)
    if found is CAPTURE:
        from transformer.interop.captured.convert import Details, import_capture

        special = (_given("source", options), _given("target", options))
        frame = options.source_frame or Details.frame
        checkpoint = import_capture(source, Details(_both_read(options), special, frame))
    else:
        checkpoint = found.read(source)
    if options.out is None:
        note(f"{checkpoint.header.origin}. {checkpoint.header.notes}")
        return 0
    return _save(checkpoint, options)


def _import_state_dict(source: Path, options: argparse.Namespace) -> int:
    """Import a state dict; the flags answer the questions that it leaves open."""
    from transformer.interop.files.state_dicts import read_state_dict
    from transformer.interop.nn_transformer.convert import convert, survey

    tensors = read_state_dict(source)
    found = survey(tensors)
    choices = _choices(found, options)
    _report(found, choices)
    if options.out is None:
        return 0
    if options.out.suffix != ".safetensors":
        raise UserError(f"{options.out}: a checkpoint's name must end in .safetensors.")
    sides = _vocabularies(found, choices, options)
    origin = f"Imported from {source.name}, the state dict of a torch.nn.Transformer."
    if options.check is None:
        note("Not compared with its original: --check pairs.pt does that (docs say how).")
        return _save(convert(tensors, choices, sides, origin=origin), options)
    from transformer.interop.nn_transformer.check import import_checked, read_pairs

    pairs = read_pairs(options.check)
    return _save(import_checked(tensors, choices, sides, pairs, origin), options)


def _choices(found: "Survey", options: argparse.Namespace) -> "Choices":
    """The survey's guesses, except where flags were given."""
    guesses = found.guesses
    given = {
        item.name: value
        for item in fields(guesses)
        if (value := getattr(options, item.name, None)) not in (None, False)
        or (item.name == "scale_embeddings" and value is not None)
    }
    roles = dict(guesses.roles)
    for text in options.role:
        name, _, role = text.rpartition("=")
        if name not in roles:
            raise UserError(
                f"--role {text}: no tensor outside the encoder and the decoder is named {name!r}."
            )
        roles[name] = role.replace("-", " ")
    return replace(guesses, **given, roles=roles)


def _report(found: "Survey", choices: "Choices") -> None:
    """Print what was found and what is guessed, to standard error."""
    note(found.sentence)
    for row in found.rows:
        role = choices.roles[row.name]
        why = f"{row.sure}: {row.why}" if role == row.role else "as you said"
        note(f"  {row.name} {list(row.shape)}: {role} ({why})")
    asked = [question.field for question in QUESTIONS]
    for name in (*asked, "max_length", "layer_norm_eps"):
        value, guess = getattr(choices, name), getattr(found.guesses, name)
        why = f"guessed: {found.reasons[name]}" if value == guess else "as you said"
        note(f"  {name} = {value} ({why})")


def _vocabularies(found: "Survey", choices: "Choices", options: argparse.Namespace) -> Sides:
    sizes = found.sizes(choices.roles)
    read = _both_read(options)
    made = []
    for side, vocabulary, size in zip(
        ("source", "target"), read, (sizes.source_vocab_size, sizes.target_vocab_size), strict=True
    ):
        given = _given(side, options)
        if vocabulary is None and not given:
            note(f"  {side} special ids: {found.special} (guessed: {found.reasons['special']})")
        made.append(completed(vocabulary, size, found.special, given))
    return made[0], made[1]


def _given(side: str, options: argparse.Namespace) -> Mapping[str, int | None]:
    """The special ids of a side that flags give."""
    return {**options.special, **getattr(options, f"{side}_special")}


def _both_read(options: argparse.Namespace) -> Given:
    """The vocabularies of both sides; None without a file."""
    source, target = (None, None) if options.vocabulary is None else _read(options.vocabulary)
    if options.target_vocabulary is not None:
        target = _read(options.target_vocabulary)[1]
    return source, target


def _read(path: Path) -> Sides:
    with reading(path):
        return read_vocabularies(path.read_bytes(), path.name)


def _save(checkpoint: "Checkpoint", options: argparse.Namespace) -> int:
    checkpoint.save(options.out)
    header = checkpoint.header
    if options.json:
        plain = {"out": str(options.out), "config": header.config.to_dict(), "notes": header.notes}
        print(json.dumps(plain, ensure_ascii=False))
        return 0
    if header.notes:
        note(header.notes)
    note(f"{options.out}: {header.config.num_parameters:,} parameters.")
    return 0


def _add_export(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("out", type=Path, help="; ".join(item.target_help for item in EXPORTED))
    parser.add_argument("--format", choices=[item.name for item in EXPORTED], required=True)
    parser.add_argument("--json", action="store_true", help="one JSON object: the files written")
    parser.set_defaults(run=export_model)


def export_model(options: argparse.Namespace) -> int:
    from transformer.checkpoint import Checkpoint

    found = next(item for item in EXPORTED if item.name == options.format)
    assert found.write is not None
    if not found.writes_folder:
        check_output(options.out)
    written = found.write(Checkpoint.load(options.checkpoint), options.out)
    if options.json:
        print(json.dumps({"files": [str(path) for path in written]}))
    else:
        for path in written:
            print(path)
    return 0
