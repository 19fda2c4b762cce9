"""What the commands share: reading a flag, and speaking on standard error."""

import argparse
import sys


def boolean(text: str) -> bool:
    """The value of a flag that is true or false."""
    if text not in ("true", "false"):
        raise argparse.ArgumentTypeError("must be true or false")
    return text == "true"


def note(text: str) -> None:
    """Say something on standard error, at once: standard output is for results."""
    print(text, file=sys.stderr, flush=True)


def note_share(share: float) -> None:
    """Say how much of the work is done."""
    note(f"{share:.0%}")
