"""Whole numbers below a million as words in German, French and English, and back."""

from collections.abc import Callable
from functools import cache

LIMIT = 1_000_000


def _words(text: str) -> list[str]:
    return text.split()


_GERMAN = _words(
    "null ein zwei drei vier fünf sechs sieben acht neun zehn elf zwölf dreizehn vierzehn "
    "fünfzehn sechzehn siebzehn achtzehn neunzehn"
)
_GERMAN_TENS = _words("zwanzig dreißig vierzig fünfzig sechzig siebzig achtzig neunzig")
_FRENCH = _words(
    "zéro un deux trois quatre cinq six sept huit neuf dix onze douze treize quatorze quinze "
    "seize dix-sept dix-huit dix-neuf"
)
_FRENCH_TENS = _words("vingt trente quarante cinquante soixante")
_ENGLISH = _words(
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen "
    "fifteen sixteen seventeen eighteen nineteen"
)
_ENGLISH_TENS = _words("twenty thirty forty fifty sixty seventy eighty ninety")


def german(number: int) -> str:
    """One word, with the ones before the tens: zweiundvierzigtausendeinhundertsieben."""
    thousands, rest = divmod(number, 1000)
    head = f"{_german_below_thousand(thousands)}tausend" if thousands else ""
    if rest or not thousands:
        head += _german_below_thousand(rest)
        # One is "ein" before another part (einundvierzig, eintausend), and "eins" at the end.
        head += "s" * (rest % 100 == 1)
    return head


def _german_below_thousand(number: int) -> str:
    hundreds, rest = divmod(number, 100)
    head = f"{_GERMAN[hundreds]}hundert" if hundreds else ""
    if not rest and hundreds:
        return head
    if rest < 20:
        return head + _GERMAN[rest]
    tens, ones = divmod(rest, 10)
    return head + (f"{_GERMAN[ones]}und" if ones else "") + _GERMAN_TENS[tens - 2]


def french(number: int) -> str:
    """Counted by twenties from 70 on: quatre-vingt-dix-sept is 97."""
    thousands, rest = divmod(number, 1000)
    if not thousands:
        return _french_below_thousand(rest)
    head = _french_below_thousand(thousands)
    if head.endswith(("cents", "vingts")):  # no plural before mille: deux cents, deux cent mille
        head = head[:-1]
    head = "mille" if thousands == 1 else f"{head} mille"
    return f"{head} {_french_below_thousand(rest)}" if rest else head


def _french_below_thousand(number: int) -> str:
    hundreds, rest = divmod(number, 100)
    if not hundreds:
        return _french_below_hundred(rest)
    head = "cent" if hundreds == 1 else f"{_FRENCH[hundreds]} cent"
    if rest:
        return f"{head} {_french_below_hundred(rest)}"
    return head if hundreds == 1 else f"{head}s"


def _french_below_hundred(number: int) -> str:
    if number < 20:
        return _FRENCH[number]
    if number >= 80:
        return f"quatre-vingt-{_FRENCH[number - 80]}" if number > 80 else "quatre-vingts"
    tens = min(number // 10, 6)
    ones, head = number - 10 * tens, _FRENCH_TENS[tens - 2]
    if not ones:
        return head
    return f"{head} et {_FRENCH[ones]}" if ones in (1, 11) else f"{head}-{_FRENCH[ones]}"


def english(number: int) -> str:
    """With the British "and": one thousand, two hundred and thirty-four."""
    thousands, rest = divmod(number, 1000)
    if not thousands:
        return _english_below_thousand(rest)
    head = f"{_english_below_thousand(thousands)} thousand"
    if not rest:
        return head
    return f"{head}{', ' if rest >= 100 else ' and '}{_english_below_thousand(rest)}"


def _english_below_thousand(number: int) -> str:
    hundreds, rest = divmod(number, 100)
    head = f"{_ENGLISH[hundreds]} hundred" if hundreds else ""
    if not rest and hundreds:
        return head
    tens, ones = divmod(rest, 10)
    if rest < 20:
        tail = _ENGLISH[rest]
    else:
        tail = _ENGLISH_TENS[tens - 2] + (f"-{_ENGLISH[ones]}" if ones else "")
    return f"{head} and {tail}" if head else tail


LANGUAGES: dict[str, tuple[Callable[[int], str], str]] = {
    "German": (german, "tausend"),
    "French": (french, "mille"),
    "English": (english, "thousand"),
}
"""Language -> the function that writes a number, and the word for a thousand."""


@cache
def _parts(language: str) -> tuple[dict[str, int], dict[str, int], dict[str, int]]:
    """Words -> number: below a thousand; for whole thousands; and for what may follow these."""
    write, _ = LANGUAGES[language]
    start = len(write(1000))
    return (
        {write(number): number for number in range(1000)},
        {write(1000 * number): 1000 * number for number in range(1, 1000)},
        {write(1000 + number)[start:]: number for number in range(1000)},
    )


def read_number(text: str) -> int:
    """The number that a text stands for in one of the languages.

    Raises:
        ValueError: it is not a number as this module writes it.
    """
    for language, (_, thousand) in LANGUAGES.items():
        small, thousands, rests = _parts(language)
        if text in small:
            return small[text]
        head, found, rest = text.partition(thousand)
        if found and head + thousand in thousands and rest in rests:
            return thousands[head + thousand] + rests[rest]
    raise ValueError(f"{text[:80]!r} is no number below a million in words.")


def longest() -> int:
    """Characters of the longest number; any thousands may be followed by any rest."""
    return max(
        max(map(len, thousands)) + max(map(len, rests))
        for _, thousands, rests in map(_parts, LANGUAGES)
    )
