"""What the commands share: reading a flag, and words for a person's terminal."""

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
    """Say something on standard error, at once: standard output is for results."""
    print(escaped(text), file=sys.stderr, flush=True)


def check_output(named: Path | None) -> None:
    """Before minutes of work: the file that a command is to write has a place.

    Raises:
        UserError: there is no folder for it, or a folder of its name is there.
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
    """Say a result in words, on standard output."""
    print(escaped(text))


def escaped(text: str) -> str:
    """Lines that a terminal shows as they are.

    Names and notes come from other people. An escape sequence, a carriage return or a mark that
    turns the direction of writing could rewrite what else stands on the screen.
    """
    return "\n".join(visible(line) for line in text.split("\n"))


def note_share(share: float) -> None:
    """Say how much of the work is done."""
    note(f"{share:.0%}")
