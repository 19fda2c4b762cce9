"""One family of errors for everything a person can get wrong."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class UserError(ValueError):
    """Something a person gave us is wrong. The message says what, and what to do.

    Pages and the command line show the message as it is, so it is one or two plain
    sentences, never a traceback and never a library's own text.
    """


class ConfigError(UserError):
    """A configuration field has a value it cannot have. Names field, value and remedy."""


class VocabularyError(UserError):
    """A text has tokens that the vocabulary lacks, or a vocabulary is malformed."""


class TaskError(UserError):
    """A task cannot be made from what was given (its pairs, its options)."""


class CheckpointError(UserError):
    """A file is not a checkpoint we can trust. Says what was expected and what was found."""


class RunError(UserError):
    """A run directory is missing, damaged, or in a state that forbids the request."""


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """While a file is read: what the system says of one that cannot be read, in a sentence.

    Raises:
        CheckpointError: the system refused to open the file, or to go on reading it.
    """
    try:
        yield
    except OSError as error:
        name = "".join(mark if mark.isprintable() else f"U+{ord(mark):04X}" for mark in path.name)
        raise CheckpointError(f"The file {name} could not be read: {error.strerror}.") from None
