"""Writes dates.json: the date formats of 26 languages in the CLDR, read through Babel.

Run ``python transformer/tasks/data/dates/make_dates.py`` with the Babel version of
tests/requirements.txt: the same version gives the same bytes. The app does not need Babel.
"""

import json
import re
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from babel import Locale
from babel.dates import format_date

OUT = Path(__file__).with_name("dates.json")
LANGUAGES = (
    *("bg", "ca", "cs", "da", "de", "el", "en", "es", "fi", "fr", "hu", "id", "it", "ja", "ko"),
    *("nb", "nl", "pl", "pt", "ro", "ru", "sv", "tr", "uk", "vi", "zh"),
)
LENGTHS = ("medium", "long", "full")
"""Not "short": 08/03/21 is another day in another country."""
TOKENS = re.compile(r"'(?P<quoted>[^']*)'|(?P<field>([A-Za-z])\3*)|(?P<literal>[^A-Za-z'])")


def plain(text: str) -> str:
    """A text with the keyboard's space and apostrophe for the CLDR's narrow and curved ones."""
    return " ".join(text.split()).replace("’", "'")


def a_format(code: str, length: str) -> dict[str, Any]:
    """A format as a template for ``str.format``, and the names that it uses."""
    template, names = "", {}
    for found in TOKENS.finditer(Locale.parse(code).date_formats[length].pattern):
        field = found["field"]
        if not field:
            template += found["quoted"] or found["literal"] or ""
        elif field[0] == "y":
            template += "{year}"
        elif field[0] == "d":
            template += "{day:02}" if len(field) == 2 else "{day}"
        elif field[0] in "ML":
            template += "{month}"
            days = [date(2024, month, 1) for month in range(1, 13)]
            names["months"] = [plain(format_date(day, field, code)) for day in days]
        elif field[0] in "Ec":
            template += "{weekday}"
            days = [date(2024, 1, day) for day in range(1, 8)]  # the first was a Monday
            names["weekdays"] = [plain(format_date(day, field, code)) for day in days]
        else:
            raise ValueError(f"{code} {length}: the field {field} is not known here")
    return {"length": length, "template": plain(template), **names}


def content() -> str:
    """The content of dates.json."""
    languages = [
        {
            "code": code,
            "name": Locale.parse(code).get_display_name("en"),
            "formats": [a_format(code, length) for length in LENGTHS],
        }
        for code in LANGUAGES
    ]
    check(languages)
    # One line per language, so that a diff shows which languages a new CLDR has changed.
    lines = ",\n".join(json.dumps(language, ensure_ascii=False) for language in languages)
    return f"[\n{lines}\n]\n"


def check(languages: list[dict[str, Any]]) -> None:
    """Check that every day of two years is written as Babel itself writes it."""
    for language in languages:
        for one in language["formats"]:
            for number in range(731):
                day = date(2023, 1, 1) + timedelta(number)
                written = one["template"].format(
                    year=day.year,
                    month=one["months"][day.month - 1],
                    day=day.day,
                    weekday=one["weekdays"][day.weekday()] if "weekdays" in one else "",
                )
                wanted = plain(format_date(day, one["length"], language["code"]))
                if written != wanted:
                    raise ValueError(f"{language['code']}: {written!r} is not {wanted!r}")


if __name__ == "__main__":
    OUT.write_text(content(), "utf-8")
