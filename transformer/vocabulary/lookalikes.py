"""Signs that look like others: what a word processor writes in place of what a keyboard has."""

import unicodedata

LOOKALIKES = {
    **dict.fromkeys("\u2018\u2019\u201a\u2032\u00b4`", "'"),
    **dict.fromkeys("\u201c\u201d\u201e\u00ab\u00bb\u2033", '"'),
    **dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2212", "-"),
    "\u2026": "...",
    "\u00d7": "*",
}
"""What a keyboard or a word processor puts in place of plain signs."""


def plain_sign(token: str) -> str:
    """The plain sign for one that looks alike, a digit for one of full width, or letters without
    their accents; else the same."""
    plain = LOOKALIKES.get(token) or unicodedata.normalize("NFKC", token)
    if plain != token:
        return plain
    marks = unicodedata.normalize("NFD", token)
    return "".join(mark for mark in marks if not unicodedata.combining(mark)) or token
