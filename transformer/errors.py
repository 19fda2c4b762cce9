"""One family of errors for everything a person can get wrong."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
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
def refusing(what: str, kind: type[UserError] = UserError) -> Iterator[None]:
    """While the system is asked for something: why it refuses, in a sentence.

    Args:
        what: how the sentence begins: what could not be done.
        kind: what is raised then.
    """
    try:
        yield
    except OSError as error:
        raise kind(f"{what}: {error.strerror}.") from None


def reading(path: Path) -> AbstractContextManager[None]:
    """While a file is read: what the system says of one that cannot be read, in a sentence.

    Raises:
        CheckpointError: the system refused to open the file, or to go on reading it.
    """
    name = "".join(mark if mark.isprintable() else f"U+{ord(mark):04X}" for mark in path.name)
    return refusing(f"The file {name} could not be read", CheckpointError)
