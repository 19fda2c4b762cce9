"""What the commands share: reading a flag, and words for a person's terminal."""

import argparse
import sys

from transformer.vocabulary.vocabulary import visible


def boolean(text: str) -> bool:
    """The value of a flag that is true or false."""
    if text not in ("true", "false"):
        raise argparse.ArgumentTypeError("must be true or false")
    return text == "true"


def note(text: str) -> None:
    """Say something on standard error, at once: standard output is for results."""
    print(escaped(text), file=sys.stderr, flush=True)


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
