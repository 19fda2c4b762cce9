"""Functions that the commands share: reading flags, and printing text that is safe to show."""

import argparse
import sys
from pathlib import Path

from transformer.errors import UserError
from transformer.vocabulary.vocabulary import visible


def boolean(text: str) -> bool:
    """The value of a flag that is true or false."""
    if text not in ("true", "false"):
        raise argparse.ArgumentTypeError("must be true or false")
    return text == "true"


def note(text: str) -> None:
    """Print to standard error, unbuffered: standard output is for results."""
    print(escaped(text), file=sys.stderr, flush=True)


def check_output(named: Path | None) -> None:
    """Check, before minutes of work, that a command's output file can be written.

    Raises:
        UserError: its folder does not exist, or it is itself a folder.
    """
    if named is None:
        return
    if not named.absolute().parent.is_dir():
        raise UserError(
            f"{named} cannot be written: there is no folder {named.parent}. "
            "Make it, or name another place."
        )
    if named.is_dir():
        raise UserError(f"{named} cannot be written: it is a folder. Name a file.")


def say(text: str) -> None:
    """Print a result in words, to standard output."""
    print(escaped(text))


def escaped(text: str) -> str:
    """Text that is safe to print in a terminal.

    Names and notes come from other people. An escape sequence, a carriage return or a mark that
    changes the direction of writing could change other text on the screen.
    """
    return "\n".join(visible(line) for line in text.split("\n"))


def note_share(share: float) -> None:
    """Print the share of the work that is done."""
    note(f"{share:.0%}")
