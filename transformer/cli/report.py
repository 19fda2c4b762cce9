"""The command that writes a report on a run as one page, to keep or to hand in."""

import argparse
import json
from pathlib import Path
from typing import Any

from transformer.cli.terminal import check_output, say
from transformer.errors import UserError
from transformer.files import write_atomic
from transformer.runs.directory import Run


def add_commands(commands: Any) -> None:
    """``report``."""
    parser = commands.add_parser("report", help="write a report on a run, as one HTML page")
    parser.add_argument("run_dir", type=Path, help="a run's directory, such as runs/my-reverse")
    parser.add_argument("out", type=Path, help="the page, such as report.html")
    parser.add_argument("--author", default="", help="who hands it in")
    parser.add_argument(
        "--sentences", type=Path, help="a text file of your own words, put under the curves"
    )
    parser.add_argument(
        "--results", type=Path, help="also write results.json for Gradescope or Otter-Grader"
    )
    parser.set_defaults(run=write_report)


def write_report(options: argparse.Namespace) -> int:
    from transformer.report.contents import report_on
    from transformer.report.grading import results
    from transformer.report.page import page_of

    for named in (options.out, options.results):
        check_output(named)
    sentences = []
    if options.sentences is not None:
        try:
            sentences.append(("In a few sentences", options.sentences.read_text("utf-8")))
        except UnicodeDecodeError:
            named = options.sentences
            raise UserError(f"{named} is not a text in UTF-8: save it as such.") from None
    report = report_on(Run(options.run_dir), author=options.author, sentences=sentences)
    write_atomic(options.out, page_of(report))
    if options.results is not None:
        write_atomic(options.results, json.dumps(results(report), indent=1).encode())
    say(f"{options.out}: {report.verdict}")
    return 0
