"""Which word of a number written in words gives which of its digits."""

import re
from functools import cache

from transformer.tasks.number_words import LANGUAGES, read_number

_HUNDRED = {"German": "hundert", "French": "cents?", "English": "hundred"}
_EIGHTIES = "quatre-vingts?"


@cache
def _pattern(language: str) -> re.Pattern[str]:
    """A pattern with a group per kind of word: digit, teen (ten to nineteen), tens, hundred,
    thousand."""
    write, thousand = LANGUAGES[language]
    tens = [write(number) for number in range(20, 70 if language == "French" else 100, 10)]
    kinds = {
        "tens": [*([_EIGHTIES] if language == "French" else []), *tens],
        "teen": sorted((write(number) for number in range(10, 20)), key=len, reverse=True),
        "hundred": [_HUNDRED[language]],
        "thousand": [thousand],
        "digit": [*map(write, range(1, 10)), *(["ein"] if language == "German" else [])],
    }
    return re.compile("|".join(f"(?P<{kind}>{'|'.join(words)})" for kind, words in kinds.items()))


def digit_places(text: str) -> dict[int, list[int]] | None:
    """Power of ten -> positions of the characters of the words that name its digit.

    In zweiundvierzig, "vierzig" names the tens (power 1), "zwei" the ones (power 0). A word such
    as "elf" names both. None if the text is not a number.
    """
    try:
        number = read_number(text)
    except ValueError:
        return None
    language = next(name for name, (write, _) in LANGUAGES.items() if write(number) == text)
    words = list(_pattern(language).finditer(text))
    found: dict[int, list[int]] = {}
    base = 3 if any(word.lastgroup == "thousand" for word in words) else 0
    for i, word in enumerate(words):
        kind, after = word.lastgroup, words[i + 1].lastgroup if i + 1 < len(words) else None
        before = words[i - 1].lastgroup if i else None
        powers = {"tens": [1], "teen": [0, 1], "digit": [0]}.get(kind or "", [])
        if kind == "digit" and after == "hundred":
            powers = [2]
        if kind == "hundred" and before != "digit":  # cent alone is one hundred
            powers = [2]
        if kind == "thousand" and not i:  # and mille one thousand
            powers = [0]
        for power in powers:
            found.setdefault(base + power, []).extend(range(*word.span()))
        if kind == "thousand":
            base = 0
    return found
