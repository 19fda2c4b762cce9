"""The command line: train, decode, verify, evaluate and more; ``--help`` lists all commands.

Exit status: 0 done, 1 failed, 2 wrong use. Progress and messages go to standard error;
with ``--json``, standard output carries nothing but JSON.
"""

import argparse
import io
import os
import sys

from transformer.cli import checkpoints, doctor, experiments, faults, interop, report, train
from transformer.cli.terminal import note
from transformer.errors import UserError
from transformer.files import remedy

GROUPS = (train, checkpoints, interop, faults, doctor, experiments, report)
"""The modules that define the commands."""


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m transformer", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for group in GROUPS:
        group.add_commands(commands)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.encoding.lower() != "utf-8":
            stream.reconfigure(encoding="utf-8")  # so that any text can be printed
    options = parser.parse_args(arguments)
    try:
        return int(options.run(options))
    except UserError as error:
        note(f"error: {error}")
        return 1
    except BrokenPipeError:  # the reader closed the pipe, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        where = "" if error.filename is None else f"{error.filename}: "
        note(f"error: {where}{error.strerror or error}. {remedy(error)}.")
        return 1


if __name__ == "__main__":
    sys.exit(main())
