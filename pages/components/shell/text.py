"""Text that came from a person or a file, made safe to show."""

import html
import re
from collections.abc import Sequence
from itertools import pairwise

from transformer.vocabulary.vocabulary import printable, visible

MARKDOWN = re.compile(r"([\\`*_{}\[\]()#+\-.!|<>~$:^=&@/\"'])")
# Streamlit turns addresses into links and `->` into an arrow even if each character is escaped; an
# invisible joiner between the characters prevents it.
JOINED = re.compile(r"(?<=[-<>=~])(?=[-<>=~])|(?<=:)(?=/)|(?<=www)(?=\.)|(?<=@)|(?<=:)(?=\w)", re.I)
JOINER = "\u2060"
BEGINNING, SETTING, DIFFERENCE = 7, 22, 6
"""Numbers of characters for shortening a long name: how much of its beginning is kept, how far
before the first difference a setting's name may start, and how much after it must be visible."""


def plain(text: str) -> str:
    """Escape text so that Markdown shows it exactly as it is, invisible characters as codes."""
    text = JOINED.sub(JOINER, visible(" ".join(text.split())))
    return MARKDOWN.sub(lambda match: f"&#{ord(match.group())};", text)


def verbatim(text: str) -> str:
    """Markdown that shows a model's or a user's text as code, exactly as it is."""
    if not text:
        return "(nothing)"
    fence = "`" * (max(map(len, re.findall("`+", text)), default=0) + 1)
    shown = visible(" ".join(text.split("\n")))
    return (
        f"{fence} {shown} {fence}" if "`" in shown or shown[0] == " " else f"{fence}{shown}{fence}"
    )


class Html(str):
    """Text that is already HTML and must not be escaped."""

    __slots__ = ()


def code(text: str) -> Html:
    """A token as HTML that shows it exactly as it is, invisible characters by their code."""
    return Html(html.escape(printable(text)))


def percent(share: float) -> str:
    """A share from 0 to 1 as a percentage; only exactly 1 gives 100 %."""
    if 0.9995 <= share < 1:
        return "99.9 %"
    return f"{share:.1%}".replace("%", " %")


def probability(share: float) -> str:
    """A token's probability as a percentage, the same all over the Decode page. Only exactly 0 and
    1 give 0 and 100 %; ``element.js`` formats it the same way."""
    if 0.99995 <= share < 1:
        return "> 99.99 %"
    if 0 < share < 0.00005:
        return "< 0.01 %"
    return f"{100 * share:.2f} %"


def told_apart(names: Sequence[str], most: int) -> list[str]:
    """Shorten names so that different ones still differ when cut to ``most`` characters.

    A name that differs from another only beyond the cut becomes its beginning and the words from
    the difference on.
    """
    ordered, shared = sorted(set(names)), dict.fromkeys(names, 0)
    for one, other in pairwise(ordered):
        pairs = enumerate(zip(one, other, strict=False))
        alike = next((place for place, (a, b) in pairs if a != b), min(len(one), len(other)))
        shared[one], shared[other] = max(shared[one], alike), max(shared[other], alike)

    def cut(name: str) -> str:
        differs = min(shared[name], len(name) - 1)
        if len(name) <= most or differs < most - DIFFERENCE:
            return name
        # From the name of the setting that differs, if there is one; else from the word.
        before = (name.rfind(mark, differs - SETTING, differs + 1) for mark in (", ", "(", " "))
        place = next((at + 1 for at in before if at >= 0), differs)
        return f"{name[:BEGINNING].rstrip()}…{name[place:].lstrip()}"

    return [cut(name) for name in names]


def full_stop(text: str) -> str:
    """The full stop after a sentence that ends with this text; empty if the text has its own."""
    return "" if text.rstrip().endswith((".", "!", "?", "…")) else "."


def as_file_name(words: str) -> str:
    """A file name, valid on every system, made from words; empty if no character is valid."""
    return re.sub(r"[^\w.]+", "-", words.lower()).strip("-.")[:80]


def number(value: float) -> str:
    """A loss, short: three significant digits; a whole number from 100."""
    return f"{value:#.3g}" if value < 100 else f"{value:,.0f}"


def decimal(value: float, form: str = ".4f") -> str:
    """A number with a true minus sign; ``element.js`` formats it the same way."""
    return f"{value:{form}}".replace("-", "−")


def compact(value: float) -> str:
    """A large count, short: 950, 12.3k, 4.56M."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= 0.9995 * size:
            return f"{value / size:.3g}{letter}"
    return f"{value:.0f}"


def seconds(value: float) -> str:
    """A duration in words: 42 s, 3 min 20 s, 2 h 5 min."""
    total = round(value)
    if total < 60:
        return f"{total} s"
    if total < 3600:
        return f"{total // 60} min {total % 60} s"
    return f"{total // 3600} h {total % 3600 // 60} min"
