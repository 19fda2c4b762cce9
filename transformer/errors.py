"""Errors for everything a user can get wrong, all of them a :class:`UserError`."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path


class UserError(ValueError):
    """Something the user supplied is wrong. The message says what, and what to do.

    Pages and the command line show the message as it is, so it is one or two plain
    sentences, never a traceback and never a library's own text.
    """


class ConfigError(UserError):
    """A configuration field has an invalid value. The message names field, value and remedy."""


class VocabularyError(UserError):
    """A text has tokens that the vocabulary lacks, or a vocabulary is malformed."""


class TaskError(UserError):
    """A task cannot be built from the given pairs or options."""


class CheckpointError(UserError):
    """A file is not a checkpoint we can trust. The message says what was expected and found."""


class RunError(UserError):
    """A run directory is missing, damaged, or in a state that forbids the request."""


@contextmanager
def explaining(what: str, kind: type[UserError] = UserError) -> Iterator[None]:
    """Turn an ``OSError`` inside the block into one of our errors, with a one-sentence message.

    Args:
        what: the beginning of the sentence: what could not be done.
        kind: the class of the error raised instead.
    """
    try:
        yield
    except OSError as error:
        raise kind(f"{what}: {error.strerror}.") from None


def reading(path: Path) -> AbstractContextManager[None]:
    """Turn an ``OSError`` while a file is read into a one-sentence error.

    Raises:
        CheckpointError: the file could not be opened, or not be read to the end.
    """
    name = "".join(mark if mark.isprintable() else f"U+{ord(mark):04X}" for mark in path.name)
    return explaining(f"The file {name} could not be read", CheckpointError)
