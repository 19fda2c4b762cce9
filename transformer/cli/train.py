"""The commands on runs: train, pause, stop, save, list and check them; and survey pairs.

Torch is imported only when a command needs it, so that the command line starts quickly.
"""

import argparse
import json
import os
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import MISSING, asdict, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

from transformer.cli.terminal import boolean, note, note_share, say
from transformer.config import DataConfig, TrainingConfig, TransformerConfig
from transformer.errors import RunError, UserError, explaining
from transformer.runs import queue
from transformer.runs.creation import About, create_run
from transformer.runs.directory import ENDED, ROOT, Run, list_runs
from transformer.runs.health import read_health
from transformer.runs.resume import train_on
from transformer.runs.verdict import Verdict, verdict_of
from transformer.tasks import TASKS
from transformer.tasks.own_pairs.encodings import NAMES
from transformer.tasks.own_pairs.layout import Choices
from transformer.tasks.own_pairs.task import read_pairs, write_pairs
from transformer.tasks.presets import PRESETS, prepare
from transformer.vocabulary.vocabulary import visible

FORBIDDEN_FLAGS = {"source_vocab_size", "target_vocab_size", "task"}
"""Fields without a generated flag: they follow from the data, or have their own flag."""


def add_commands(commands: Any) -> None:
    """``train``, ``pause``, ``stop``, ``save``, ``runs``, ``health`` and ``pairs``."""
    _add_train(commands.add_parser("train", help="train a model into a run directory, or resume"))
    _add_run_commands(commands)
    _add_health(commands.add_parser("health", help="check a run: model, overfit check, curve"))
    _add_pairs(commands.add_parser("pairs", help="describe a file of pairs"))


def _add_train(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--task", choices=TASKS, help="what to learn")
    parser.add_argument(
        "--data",
        type=Path,
        nargs="+",
        help="for the task 'pairs': a file of pairs, or one of sources and one of targets",
    )
    _add_reading(parser)
    parser.add_argument("--preset", choices=tuple(PRESETS), help="default: the task's own")
    parser.add_argument(
        "--run-dir",
        type=Path,
        help="where the run is kept; default: runs/<id>. With no other flag, a run that was "
        "interrupted, paused or failed goes on from the last point it saved",
    )
    parser.add_argument(
        "--parent", type=Path, help="a run to continue in a new run, with --steps more updates"
    )
    parser.add_argument(
        "--wait",
        action="store_true",
        help="load everything, then read the run's directory from standard input",
    )
    parser.add_argument("--name", default="", help="a name for the run")
    parser.add_argument("--json", action="store_true", help="end with one JSON object")
    for config in (DataConfig, TransformerConfig, TrainingConfig):
        group = parser.add_argument_group(config.__name__)
        for item in fields(config):
            if item.name in FORBIDDEN_FLAGS or item.name.endswith("_id"):
                continue
            default = "" if item.default is MISSING else f" (default {item.default})"
            group.add_argument(
                "--" + item.name.replace("_", "-"),
                type=boolean if item.type is bool else item.type,
                choices=item.metadata["choices"] or None,
                help=item.metadata["help"].replace("%", "%%") + default,
                dest=f"{config.__name__}.{item.name}",
                metavar=item.name.upper() if not item.metadata["choices"] else None,
            )
    parser.set_defaults(run=train)


def _add_run_commands(commands: Any) -> None:
    for word, text in (
        ("pause", "save a run and end it; train --run-dir resumes it"),
        ("stop", "end a run and keep what it learned"),
        ("save", "save a point from which a run can go on"),
    ):
        parser = commands.add_parser(word, help=text)
        parser.add_argument("run_dir", type=Path)
        parser.set_defaults(run=partial(command, word))
    parser = commands.add_parser("runs", help="list the runs in a folder")
    parser.add_argument("folder", type=Path, nargs="?", default=ROOT)
    parser.add_argument("--json", action="store_true", help="print one JSON object per run")
    parser.set_defaults(run=list_all)


def _add_health(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "run_dir",
        type=Path,
        help="a run's directory, such as runs/my-reverse; or a loss curve: CSV, JSON, numbers",
    )
    parser.add_argument(
        "--vocabulary", type=int, help="for a curve: number of tokens in the target vocabulary"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object")
    parser.set_defaults(run=health)


def _add_reading(parser: argparse.ArgumentParser) -> None:
    """Flags for what is otherwise detected in a file of pairs."""
    for side in ("source", "target"):
        parser.add_argument(
            f"--{side}-column",
            metavar="COLUMN",
            help=f"column of the {side}s: its number, from 1, or name",
        )
    parser.add_argument("--header", type=boolean, help="whether the first line names the columns")
    parser.add_argument("--encoding", choices=NAMES, help="of the file", default="")


def _reading(options: argparse.Namespace) -> Choices:
    return Choices(options.encoding, options.source_column, options.target_column, options.header)


def _one_or_two(paths: list[Path]) -> tuple[Path, Path | None]:
    if len(paths) > 2:
        raise UserError(
            f"There are {len(paths)} files of pairs; give one, or that of the sources and that of "
            "the targets."
        )
    return paths[0], paths[1] if len(paths) == 2 else None


def _add_pairs(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "file",
        type=Path,
        nargs="+",
        help="a file of pairs; or two files, of sources and of targets, line by line",
    )
    _add_reading(parser)
    parser.add_argument("--bpe-size", type=int, help="maximum number of byte-pair tokens")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    parser.add_argument("--into", type=Path, help="write data.tsv and survey.json there instead")
    parser.set_defaults(run=pairs)


def _changed_fields(options: argparse.Namespace, config: type[Any]) -> dict[str, Any]:
    """The fields of a config that were given as flags."""
    prefix = f"{config.__name__}."
    given = {name: value for name, value in vars(options).items() if value is not None}
    return {name.removeprefix(prefix): given[name] for name in given if name.startswith(prefix)}


def train(options: argparse.Namespace) -> int:
    # Before torch is imported: threads that spin while they wait would slow down other trainers.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if options.wait:
        from transformer.trainer import server

        options.run_dir = server.wait_for_run()
        if options.run_dir is None:
            return 0
    # Errors in the flags are reported before the seconds in which torch is imported.
    run = _open_run(options) if os.environ.get("WORLD_SIZE", "1") == "1" else None
    from transformer.trainer import trainer
    from transformer.training import distributed

    with distributed.join() as world:
        run = run or _meet(options, world)
        trainer.Trainer(run, trainer.to_stderr if world.is_main else _silent, world).train()
        if not world.is_main:
            return 0
        _check_health(run, trainer.to_stderr)
        result = trainer.result(run)
    trainer.to_stderr(str(verdict_of(run)))
    if options.json:
        print(json.dumps(result))
    return 0 if result["state"] in ("finished", "stopped", "paused") else 1


def _check_health(run: Run, progress: Callable[[str], None]) -> None:
    """Check a run at its end; an error in the check must not make the run a failure."""
    known = read_health(run.path)
    if run.status().state not in ENDED or (known and known.step >= run.last_step()):
        return
    try:
        from transformer.health import check_and_keep

        check_and_keep(run, patient=False)
    except Exception as error:  # the disk may be full, or the run deleted by now
        progress(f"The health check could not be made: {error}")
    else:
        checked = read_health(run.path)
        progress(f"Health check: {checked.summary}." if checked else "The check was not kept.")


def _meet(options: argparse.Namespace, world: Any) -> Run:
    """The run, which the main of several processes makes or opens; the others get its path."""
    if not world.is_main:
        path = world.broadcast("")
        if not path:
            raise SystemExit(1)  # the main process has reported why
        return Run(Path(path))
    try:
        run = _open_run(options)
    except UserError:
        world.broadcast("")
        raise
    world.broadcast(str(run.path))
    return run


def _silent(message: str) -> None:
    """Print nothing: of several processes that train together, only the main one reports."""


def _open_run(options: argparse.Namespace) -> Run:
    """The run that the flags describe, new or existing."""
    changes = [_changed_fields(options, c) for c in (DataConfig, TransformerConfig, TrainingConfig)]
    if options.parent is not None:
        return _train_on(options, changes)
    exists = options.run_dir is not None and (options.run_dir / "config.json").exists()
    if exists and not any((options.task, options.preset, options.data, options.name, *changes)):
        return Run(options.run_dir)
    if not options.task:
        raise UserError("Nothing to train: give --task, or --run-dir of an existing run.")
    if not options.data:
        return _made(options, changes, None)
    source, targets = _one_or_two(options.data)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "data.tsv")
        read = read_pairs(source, targets, _reading(options))
        for sentence in read.interpretation.sentences():
            note(sentence)
        for line, reason in read.refused[:10]:
            note(f"line {line} left out: {reason}")
        file.write_text(write_pairs(read.pairs), "utf-8")
        return _made(options, changes, file)


def _made(options: argparse.Namespace, changes: list[dict[str, Any]], pairs: Path | None) -> Run:
    """The run with these settings: an existing one, or a new one."""
    data, model, training = changes
    _, config = prepare(
        options.task, options.preset, pairs=pairs, data=data, model=model, training=training
    )
    if options.run_dir is None or not (options.run_dir / "config.json").exists():
        return create_run(config, About(options.name), pairs=pairs, path=options.run_dir)
    # The command that made a run also resumes it, since a cluster restarts jobs that way.
    known = Run(options.run_dir).config()
    if not config.training.threads:  # older runs, without a trial of threads, have a number
        config = replace(config, training=config.training.replace(threads=known.training.threads))
    if known == config:
        return Run(options.run_dir)
    raise UserError(
        f"{options.run_dir} already holds a run with other settings. Give only --run-dir to "
        "resume it or see its result, or another directory."
    )


def _train_on(options: argparse.Namespace, changes: list[dict[str, Any]]) -> Run:
    """A new run that continues the one that --parent names."""
    data, model, training = changes
    steps, rate = training.pop("steps", None), training.pop("learning_rate", None)
    if steps is None or data or model or training or options.task or options.preset:
        raise UserError(
            "--parent needs --steps, the number of updates to add; the only other flags allowed "
            "are --learning-rate, --name and --run-dir."
        )
    return train_on(
        Run(options.parent),
        steps,
        learning_rate=rate,
        name=options.name,
        path=options.run_dir,
    )


def command(word: str, options: argparse.Namespace) -> int:
    queue.command(Run(options.run_dir), word)
    return 0


def list_all(options: argparse.Namespace) -> int:
    for run in list_runs(options.folder):
        status, name = run.status(), run.about()["name"]
        if options.json:
            found = _verdict(run)
            said = {"run": str(run.path), "name": name, **asdict(status)}
            print(json.dumps(said | {"verdict": found.to_dict() if found else None}))
        else:
            say(f"{run.path}  {status.state:<11} step {status.step:>9,}  {visible(name)}")
            if found := _verdict(run):
                say(f"    {visible(str(found))}")
    return 0


def _verdict(run: Run) -> Verdict | None:
    """The verdict on a run; None for a damaged one, which is listed all the same."""
    with suppress(RunError):
        return verdict_of(run)
    return None


def health(options: argparse.Namespace) -> int:
    suspects: tuple[str, ...] | None = None
    findings: Sequence[Any]
    if options.run_dir.is_file():
        findings, suspects = _curve(options.run_dir, options.vocabulary)
    else:
        run = Run(options.run_dir)
        run.config()  # before torch is imported, to report a mistyped path at once
        from transformer.health import check_and_keep

        findings = check_and_keep(run, note)
    ok = not any(finding.alarm for finding in findings)
    if options.json:
        found = {"ok": ok, "findings": [asdict(finding) for finding in findings]}
        print(json.dumps(found if suspects is None else found | {"suspects": suspects}))
    else:
        for finding in findings:
            say(f"{finding.state:8}{finding.name}: {finding.sentence} {finding.advice}".rstrip())
        if suspects:
            say(f"Suspects, the likeliest first: {', '.join(suspects)}")
    return 0 if ok else 1


def _curve(path: Path, size: int | None) -> tuple[Sequence[Any], tuple[str, ...]]:
    """The findings on a file with a loss curve, and names of faults to suspect."""
    if size is not None and size < 2:
        raise UserError(f"--vocabulary {size}: a vocabulary has at least 2 tokens.")
    from transformer.doctor.loss_file import read_loss
    from transformer.doctor.loss_reading import read_curve

    with explaining(f"{path.name} cannot be read"):
        content = path.read_bytes()
    reading = read_curve(read_loss(content), size)
    return reading.findings, reading.suspects


def pairs(options: argparse.Namespace) -> int:
    from transformer.tasks.own_pairs.survey import limit_memory, survey, survey_into, words

    limit_memory()
    (source, targets), choices = _one_or_two(options.file), _reading(options)
    if options.into is not None:
        survey_into(
            options.into, source, options.bpe_size, note_share, targets=targets, choices=choices
        )
        return 0
    with tempfile.TemporaryDirectory() as folder:
        found = survey(
            source,
            Path(folder, "data.tsv"),
            targets=targets,
            choices=choices,
            bpe_size=options.bpe_size,
            progress=note_share,
        )
    if options.json:
        print(json.dumps(asdict(found)))
    else:
        say(words(found))
    return 0
