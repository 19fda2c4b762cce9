"""Characters that look alike: those of a word processor, and the plain ones of a keyboard."""

import unicodedata

LOOKALIKES = {
    **dict.fromkeys("\u2018\u2019\u201a\u2032\u00b4`", "'"),
    **dict.fromkeys("\u201c\u201d\u201e\u00ab\u00bb\u2033", '"'),
    **dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2212", "-"),
    "\u2026": "...",
    "\u00d7": "*",
}
"""Character from a keyboard or a word processor -> the plain one."""


def plain_sign(token: str) -> str:
    """The token in plain characters: by ``LOOKALIKES``, by Unicode's NFKC (full-width digits), or
    without accents; the same token if nothing changes."""
    plain = LOOKALIKES.get(token) or unicodedata.normalize("NFKC", token)
    if plain != token:
        return plain
    marks = unicodedata.normalize("NFD", token)
    return "".join(mark for mark in marks if not unicodedata.combining(mark)) or token
