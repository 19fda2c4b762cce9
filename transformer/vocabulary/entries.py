"""A vocabulary as a table to search: each token's id, printable form and kind."""

from collections.abc import Sequence
from typing import NamedTuple

from transformer.vocabulary.vocabulary import SPACE_MARK, Vocabulary, printable


class Entry(NamedTuple):
    """One token. shown: with codes for invisible characters; kind: in one to three words."""

    id: int
    shown: str
    kind: str


def entries(vocabulary: Vocabulary) -> list[Entry]:
    """All tokens in the order of their ids."""
    special = set(vocabulary.special)
    return [
        Entry(
            number,
            printable(token),
            "special" if number in special else _kind(token, vocabulary.kind),
        )
        for number, token in enumerate(vocabulary.tokens)
    ]


def _kind(token: str, vocabulary: str) -> str:
    if vocabulary not in ("characters", "words"):
        if token.startswith(SPACE_MARK):
            return "starts a word"
        return "within a word" if any(map(str.isalnum, token)) else "sign"
    if token.isspace():
        return "space"
    if token.isalpha():
        return "letter" if vocabulary == "characters" else "word"
    if token.isdigit():
        return "digit" if len(token) == 1 else "number"
    if not token.isprintable():
        return "invisible"
    return "word" if any(map(str.isalnum, token)) else "sign"


def search(found: Sequence[Entry], text: str) -> list[Entry]:
    """Entries whose token contains the text, in any case, or whose id or kind equals it.

    Exact matches come first, then tokens that begin with the text.
    """
    wanted = text.strip().casefold()
    if not wanted:
        return list(found)

    def rank(entry: Entry) -> int:
        token = entry.shown.casefold().removeprefix(SPACE_MARK)
        if wanted in (str(entry.id), token):
            return 0
        return 1 if token.startswith(wanted) else 2

    hits = [
        entry
        for entry in found
        if wanted in entry.shown.casefold() or wanted in (str(entry.id), entry.kind)
    ]
    return sorted(hits, key=rank)
