"""The command that compares the user's own implementation with the paper."""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from transformer.cli.terminal import check_output, note, say
from transformer.errors import UserError, explaining


def add_commands(commands: Any) -> None:
    """``doctor``."""
    parser = commands.add_parser(
        "doctor",
        help="compare your own implementation with the paper, and name the line where it departs",
    )
    parser.add_argument(
        "model", help="a file and a function that builds it, my_model.py:build; or a capture"
    )
    parser.add_argument(
        "--call", help="a function that calls the model, if the doctor cannot: my_model.py:call"
    )
    parser.add_argument(
        "--pad-id", type=int, help="the model's padding id, if its code does not give it"
    )
    parser.add_argument(
        "--part", help="the part, if build() returns only a part: attention, encoder, ..."
    )
    parser.add_argument("--width", type=int, help="d_model of a part, if it is not found")
    parser.add_argument("--python", help="a Python interpreter that has the packages of your model")
    parser.add_argument(
        "--hint",
        type=int,
        choices=(1, 2, 3),
        default=3,
        help="how much to say; 1: the section to read again; 2: what is seen and where; 3: cause "
        "and remedy",
    )
    parser.add_argument(
        "--accept",
        action="append",
        default=[],
        metavar="FAULT",
        help="a departure from the paper that you intended; may be repeated",
    )
    parser.add_argument("--json", action="store_true", help="one JSON object")
    parser.add_argument("--report", type=Path, help="an HTML file to keep, or to hand in")
    parser.set_defaults(run=run_doctor)


def run_doctor(options: argparse.Namespace) -> int:
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    check_output(options.report)
    from transformer.doctor.examine import examine
    from transformer.faults import find_fault

    for name in options.accept:
        find_fault(name)
    if options.model.endswith(".safetensors"):
        report = examine(Path(options.model), options.accept)
    else:
        with tempfile.TemporaryDirectory(prefix="doctor-") as folder:
            out = Path(folder) / "capture.safetensors"
            _capture(options, out)
            report = examine(out, options.accept)
    if options.report is not None:
        options.report.write_text(report.html(options.hint), "utf-8")
    if options.json:
        print(json.dumps(report.to_dict(options.hint), ensure_ascii=False))
    else:
        say(report.text(options.hint))
    return 0 if report.passed else 1


def _capture(options: argparse.Namespace, out: Path) -> None:
    """Record the model in a separate process: none of its code is imported here."""
    script = Path(__file__).parents[1] / "doctor" / "capture.py"
    command = [options.python or sys.executable, "-B", str(script), options.model, str(out)]
    if options.call:
        command += ["--call", options.call]
    if options.pad_id is not None:
        command += ["--pad-id", str(options.pad_id)]
    if options.part:
        command += ["--part", options.part]
    if options.width is not None:
        command += ["--width", str(options.width)]
    note(f"Watching {options.model} at work…")
    # Threads that spin while they wait would slow down everything else on the machine.
    waiting = {"OMP_WAIT_POLICY": "PASSIVE"} | os.environ
    with explaining(f"{command[0]} cannot be started"):
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=waiting)
    if done.returncode or not out.exists():
        last = "\n".join(done.stderr.strip().splitlines()[-12:])
        said = last.removeprefix("error: ") or f"it ended with status {done.returncode}"
        raise UserError(f"Your model could not be watched. {said}")
