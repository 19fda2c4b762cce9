"""Reads an uploaded vocabulary; a large one in a separate process.

    python -m transformer.interop.files.large_vocabularies NAME MOST < FILE

A parsed file takes many times its bytes, and parsing JSON blocks all other threads. The server
receives only the tokens.
"""

import json
import sys
from collections.abc import Mapping
from typing import Any

from transformer.checkpoint.header import MAX_HEADER_BYTES
from transformer.errors import UserError, VocabularyError
from transformer.interop.files import header_check
from transformer.interop.files.confinement import confine, limit
from transformer.interop.foreign_vocabulary import (
    MAX_BYTES,
    ForeignVocabulary,
    Sides,
    Special,
    read_vocabularies,
)
from transformer.vocabulary.vocabulary import printable

SMALL_BYTES = 300_000
"""Largest file that is read in the calling process, in a few milliseconds."""


def read_in_own_process(content: bytes, name: str, most: int) -> Sides:
    """Like :func:`read_vocabularies`, but without blocking other threads, in little memory.

    Args:
        most: largest number of tokens: rows of the embedding.

    Raises:
        VocabularyError: the file is no vocabulary, or too large.
    """
    if len(content) <= SMALL_BYTES or len(content) > MAX_BYTES:
        return read_vocabularies(content, name)
    said = header_check.in_own_process(__name__, content, name, str(most))
    if said is None:
        raise VocabularyError(
            f"The vocabulary {printable(name)} takes too long or too much memory to read; it is "
            "very large, damaged or forged."
        )
    plain = json.loads(said.decode("utf-8", "surrogatepass"))
    if "problem" in plain:
        raise VocabularyError(plain["problem"])
    source, *other = map(_made, plain["sides"])
    return source, other[0] if other else source


def _made(plain: Mapping[str, Any]) -> ForeignVocabulary:
    return ForeignVocabulary(
        tuple(plain["tokens"]),
        Special(**plain["special"]),
        plain["kind"],
        tuple((left, right) for left, right in plain["merges"]),
    )


def _told(content: bytes, name: str, most: int) -> dict[str, Any]:
    source, target = read_vocabularies(content, name)
    for side in (source, target):
        if len(side.tokens) > most:
            raise VocabularyError(
                f"The vocabulary {printable(name)} has {len(side.tokens):,} tokens, but the "
                f"embedding has {most:,} rows; expected one token for each row."
            )
        texts = [*side.tokens, *(part for merge in side.merges for part in merge)]
        if sum(map(len, texts)) > MAX_HEADER_BYTES:
            raise VocabularyError(
                f"The tokens of the vocabulary {printable(name)} have more than the "
                f"{MAX_HEADER_BYTES:,} characters that a checkpoint has room for."
            )
    sides = [source] if source is target else [source, target]
    return {
        "sides": [
            {
                "tokens": side.tokens,
                "special": vars(side.special),
                "kind": side.kind,
                "merges": side.merges,
            }
            for side in sides
        ]
    }


def main() -> None:
    content = sys.stdin.buffer.read()
    limit(header_check.SECONDS, header_check.MEMORY_BYTES, 0)
    confine()
    try:
        said = _told(content, sys.argv[1], int(sys.argv[2]))
    except UserError as error:
        said = {"problem": str(error)}
    plain = json.dumps(said, ensure_ascii=False)
    sys.stdout.buffer.write(plain.encode("utf-8", "surrogatepass"))


if __name__ == "__main__":
    main()
