"""Reads the header of a checkpoint that somebody brought, in a process that lives for nothing else.

    python -m transformer.interop.files.header_check < HEADER

Vocabularies become tokenizers of a library written in another language, where what goes wrong ends
the process. So each is built, used and taken down here first, under limits; only then does the
server read the same bytes.
"""

import gc
import subprocess
import sys
import tempfile
from contextlib import suppress

from transformer.checkpoint.header import parse_header
from transformer.errors import CheckpointError, UserError, VocabularyError, refusing
from transformer.interop.files.confinement import confine, environment, limit

SECONDS = 30
"""Of the processor's time; the largest vocabularies that are taken need four."""
PATIENCE = 60
"""Seconds more on the clock, on a busy machine."""
MEMORY_BYTES = 2_000_000_000
"""Both sides' largest tokenizers, and the header's JSON as Python holds it."""
ENDS = (
    "The file's vocabularies cannot be used: reading them takes too long or too much memory, or "
    "breaks the library that cuts text into pieces. The file is damaged or forged."
)


def check_header(raw: bytes) -> None:
    """
    Args:
        raw: the JSON at the start of a checkpoint of ours.

    Raises:
        CheckpointError: it cannot be read, or reading it ends a process.
    """
    said = in_own_process(__name__, raw)
    if said is None:
        raise CheckpointError(ENDS)
    if said:
        raise CheckpointError(said.decode("utf-8", "replace")[:2_000])


def in_own_process(module: str, content: bytes, *words: str) -> bytes | None:
    """What a module says of some content, run in a process of its own; None if that was ended.

    Raises:
        CheckpointError: the process could not be started.
    """
    checking = refusing("The file could not be checked", CheckpointError)
    try:
        with checking, tempfile.TemporaryDirectory(prefix="workbench-") as folder:
            done = subprocess.run(
                [sys.executable, "-P", "-m", module, *words],
                input=content,
                capture_output=True,
                timeout=SECONDS + PATIENCE,
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
            with suppress(VocabularyError):  # it may not know the text
                header.source_vocabulary.encode(example.source)
    except UserError as error:
        sys.stdout.buffer.write(str(error).encode("utf-8", "replace"))
        return
    # Taking a tokenizer down is part of the trial.
    del header
    gc.collect()


if __name__ == "__main__":
    main()
