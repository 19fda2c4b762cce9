"""The task of writing dates of 26 languages in ISO 8601."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from functools import cache, cached_property
from random import Random
from string import digits

from transformer.config import DataConfig
from transformer.tasks.base import GeneratedTask, Pair, Places, few_updates
from transformer.tasks.shipped import DATA
from transformer.vocabulary import Vocabulary

FORMATS = DATA / "dates" / "dates.json"
"""Written by make_dates.py in its folder, from the CLDR through Babel; licence: LICENSE there."""
FIRST, LAST = date(1600, 1, 1), date(2399, 12, 31)
ISO = re.compile(r"(\d{4})-(\d\d)-(\d\d)")
GROUPS = {"{day:02}": r"(?P<day>\d\d)", "{day}": r"(?P<day>\d\d?)", "{year}": r"(?P<year>\d{4})"}


@dataclass(frozen=True)
class Format:
    """One date format of a language.

    template: for ``str.format``, with year, month, day and weekday.
    weekdays: from Monday; empty if the format has no weekday.
    """

    language: str
    length: str
    template: str
    months: tuple[str, ...]
    weekdays: tuple[str, ...] = ()

    def write(self, day: date) -> str:
        weekday = self.weekdays[day.weekday()] if self.weekdays else ""
        return self.template.format(
            year=day.year, month=self.months[day.month - 1], day=day.day, weekday=weekday
        )

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        def group(name: str, words: Sequence[str]) -> str:
            return f"(?P<{name}>{'|'.join(map(re.escape, words))})"

        groups = GROUPS | {
            "{month}": group("month", self.months),
            "{weekday}": group("weekday", self.weekdays),
        }
        parts = re.split(r"(\{.*?\})", self.template)
        return re.compile("".join(groups.get(part) or re.escape(part) for part in parts))

    def read(self, text: str) -> date | None:
        """The day that a text in this format stands for; None if it is not in this format."""
        found = self._pattern.fullmatch(text)
        if found is None:
            return None
        month = self.months.index(found["month"]) + 1
        try:
            day = date(int(found["year"]), month, int(found["day"]))
        except ValueError:  # the 30th of February
            return None
        return day if self.write(day) == text else None  # else the weekday is wrong

    def places(self, text: str) -> dict[str, range] | None:
        """Positions of year, month and day in a text; None if it is not in this format."""
        found = self._pattern.fullmatch(text)
        if found is None or self.read(text) is None:
            return None
        return {name: range(*found.span(name)) for name in ("year", "month", "day")}

    @property
    def longest(self) -> int:
        """Characters of the longest date: month, weekday and number of digits are independent."""
        names = {"month": max(self.months, key=len), "weekday": max(["", *self.weekdays], key=len)}
        return len(self.template.format(year=2000, day=10, **names))


@cache
def formats() -> tuple[Format, ...]:
    """All formats, three per language."""
    return tuple(
        Format(
            language["name"],
            one["length"],
            one["template"],
            tuple(one["months"]),
            tuple(one.get("weekdays", ())),
        )
        for language in json.loads(FORMATS.read_text("utf-8"))
        for one in language["formats"]
    )


def places(text: str) -> dict[str, range] | None:
    """Positions of year, month and day in a text; None if it is not a date in any language."""
    return next((found for one in formats() if (found := one.places(text)) is not None), None)


def _letters() -> list[str]:
    texts = [re.sub(r"\{.*?\}", "", one.template) for one in formats()]
    texts += [word for one in formats() for word in (*one.months, *one.weekdays)]
    return sorted({*digits, *"".join(texts)})


class Dates(GeneratedTask):
    """Days of eight centuries, each language and each of its three formats equally likely.

    The split is by the day: a held-out day is held out in every language.
    """

    name = "dates"
    title = "Dates"
    description = "Write a date in 26 languages as year-month-day."
    look_for = (
        "Cross-attention of the last layer by field: each digit of the year looks at the same "
        "digit of the input, the two digits of the month at its name or number, the digits of "
        "the day at the day, wherever the language puts them. In the bundled model, one head of "
        "layer 2 has 95 % of its weight there."
    )
    example = Pair("lundi 8 mars 2021", "2021-03-08")
    default_preset = "small"
    data_fields = ()
    solved_by = "reads the field"
    default_training = few_updates(700, 3e-3, 48)
    target_vocabulary = Vocabulary("characters", digits + "-")

    def __init__(self, data: DataConfig) -> None:
        """``data`` names the task; there is nothing to choose."""
        self.source_vocabulary = Vocabulary("characters", _letters())

    def longest(self) -> tuple[int, int]:
        return max(one.longest for one in formats()), 10

    def draw_pair(self, random: Random) -> Pair:
        day = date.fromordinal(random.randint(FIRST.toordinal(), LAST.toordinal()))
        return Pair(random.choice(formats()).write(day), day.isoformat())

    def draw(self, random: Random) -> str:
        return self.draw_pair(random).source

    def answer(self, source: str) -> str:
        for one in formats():
            if (day := one.read(source)) is not None:
                return day.isoformat()
        raise ValueError(f"{source[:80]!r} is no date as one of the languages writes it.")

    def split_by(self, pair: Pair) -> str:
        return pair.target

    def trains_on(self, source: str) -> bool | None:
        """A text may be other days in other languages: False only if none of them is drawn."""
        days = {day for one in formats() if (day := one.read(source)) is not None}
        drawn = (
            FIRST <= day <= LAST and not self.is_held_out(Pair(source, day.isoformat()))
            for day in days
        )
        return None if any(drawn) else False

    @classmethod
    def ideal_places(cls, source: Sequence[str], written: Sequence[str]) -> Places | None:
        """The digit's own position if the field has as many digits, else the whole field, such as
        a month's name."""
        fields = places("".join(source))
        if fields is None:
            return None
        found: dict[int, Sequence[int]] = {}
        for name, rows in (("year", range(4)), ("month", range(5, 7)), ("day", range(8, 10))):
            field = fields[name]
            digits = len(field) == len(rows) and all(source[i].isdecimal() for i in field)
            for i, row in enumerate(rows):
                found[row] = [field[i]] if digits else field
        return [found.get(row, ()) for row in range(len(written))]

    def same_length_error(self, written: Sequence[str], wanted: Sequence[str]) -> str:
        found = ISO.fullmatch("".join(written))
        right = ISO.fullmatch("".join(wanted))
        if found is None or right is None:
            return "not in the form year-month-day"
        if found.groups() == (right[1], right[3], right[2]):
            return "day and month exchanged"
        fields = zip(("year", "month", "day"), found.groups(), right.groups(), strict=True)
        wrong = [name for name, one, other in fields if one != other]
        return f"{wrong[0]} wrong" if len(wrong) == 1 else "several fields wrong"
