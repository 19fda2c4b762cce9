"""Checks the header of an uploaded checkpoint in a separate process.

    python -m transformer.interop.files.header_check < HEADER

The vocabularies become tokenizers of a library in Rust, where an error can end the process. So
they are first built, used and freed here, under limits; only then does the server read the header.
"""

import gc
import subprocess
import sys
import tempfile
from contextlib import suppress

from transformer.checkpoint.header import parse_header
from transformer.errors import CheckpointError, UserError, VocabularyError, explaining
from transformer.interop.files.confinement import confine, environment, limit

SECONDS = 30
"""CPU time; the largest accepted vocabularies need four seconds."""
EXTRA_WALL_SECONDS = 60
"""Extra seconds of wall time, for a busy machine."""
MEMORY_BYTES = 2_000_000_000
"""Enough for the largest tokenizers of both sides and the parsed JSON of the header."""
ENDS = (
    "The file's vocabularies cannot be used: reading them takes too long or too much memory, or "
    "breaks the library that cuts text into pieces. The file is damaged or forged."
)


def check_header(raw: bytes) -> None:
    """Check a header in a separate process.

    Args:
        raw: the JSON at the start of a checkpoint of ours.

    Raises:
        CheckpointError: the header is invalid, or reading it ended the process.
    """
    said = in_own_process(__name__, raw)
    if said is None:
        raise CheckpointError(ENDS)
    if said:
        raise CheckpointError(said.decode("utf-8", "replace")[:2_000])


def in_own_process(module: str, content: bytes, *words: str) -> bytes | None:
    """Run a module in a separate process on ``content``; returns its output.

    None: the process failed, or took too long.

    Raises:
        CheckpointError: the process could not be started.
    """
    checking = explaining("The file could not be checked", CheckpointError)
    try:
        with checking, tempfile.TemporaryDirectory(prefix="workbench-") as folder:
            done = subprocess.run(
                [sys.executable, "-P", "-m", module, *words],
                input=content,
                capture_output=True,
                timeout=SECONDS + EXTRA_WALL_SECONDS,
                cwd=folder,
                env=environment(),
                start_new_session=True,
            )
    except subprocess.TimeoutExpired:
        return None
    return None if done.returncode else done.stdout


def main() -> None:
    raw = sys.stdin.buffer.read()
    import tokenizers  # noqa: F401

    limit(SECONDS, MEMORY_BYTES, 0)
    confine()
    try:
        header, _ = parse_header(raw)
        for example in header.examples:
            with suppress(VocabularyError):  # the text may have unknown tokens
                header.source_vocabulary.encode(example.source)
    except UserError as error:
        sys.stdout.buffer.write(str(error).encode("utf-8", "replace"))
        return
    # Freeing a tokenizer is part of the check: that, too, can end the process.
    del header
    gc.collect()


if __name__ == "__main__":
    main()
