"""Dates and number words: checked with Babel, datetime and num2words; split by meaning."""

import re
from datetime import date, timedelta
from itertools import product
from random import Random

import pytest
from babel.dates import format_date
from hypothesis import given
from hypothesis import strategies as st
from num2words import num2words

from transformer.config import DataConfig
from transformer.tasks import Pair, build_task, right_answer
from transformer.tasks.base import GeneratedTask
from transformer.tasks.data.dates import make_dates
from transformer.tasks.dates import FIRST, LAST, Dates, Format, formats
from transformer.tasks.number_places import digit_places
from transformer.tasks.number_words import LANGUAGES, LIMIT, german, longest, read_number

DATES, NUMBERS = DataConfig(task="dates"), DataConfig(task="numbers")
CODES = {"German": "de", "French": "fr", "English": "en"}
days = st.dates(FIRST, LAST)


def built(name: str) -> GeneratedTask:
    task = build_task(DataConfig(task=name))
    assert isinstance(task, GeneratedTask)
    return task


# --- Dates -----------------------------------------------------------------------------------


def test_the_file_of_formats_is_what_its_script_makes() -> None:
    """With this version of Babel the script makes the same bytes every time."""
    assert make_dates.OUT.read_bytes() == make_dates.content().encode()


def test_there_are_26_languages_with_three_formats_each() -> None:
    found = {(one.language, one.length) for one in formats()}
    assert len(found) == len(formats()) == 3 * 26
    assert len({one.language for one in formats()}) == 26


@given(days, st.sampled_from(list(product(make_dates.LANGUAGES, make_dates.LENGTHS))))
def test_a_date_is_written_as_babel_writes_it(day: date, which: tuple[str, str]) -> None:
    code, length = which
    place = 3 * make_dates.LANGUAGES.index(code) + make_dates.LENGTHS.index(length)
    text = formats()[place].write(day)
    # Only spaces and apostrophes differ: ours are those of a keyboard.
    assert text == re.sub(r"\s", " ", format_date(day, length, code)).replace("’", "'")
    task = built("dates")
    assert task.answer(text) == day.isoformat()
    assert len(task.source_vocabulary.encode(text)) <= task.longest()[0]


def test_no_text_means_two_days() -> None:
    """All years have four digits, so two years, one of them a leap year, cover every case."""
    meant: dict[str, date] = {}
    for number in range(731):
        day = date(2023, 1, 1) + timedelta(number)
        for one in formats():
            assert meant.setdefault(one.write(day), day) == day
    assert max(map(len, meant)) == built("dates").longest()[0] == 38


@pytest.mark.parametrize(
    "text",
    [
        *("", "2021", "8 mars", "2021-13-01", "30 février 2021", "31.06.2021", "8.3.21"),
        "Montag, 9. März 2021",  # it was a Tuesday
        "Tuesday, 9 March 2021",  # our English dates have another order
        "8 Mars 2021",
    ],
)
def test_what_no_language_writes_so_has_no_answer(text: str) -> None:
    assert right_answer(DATES, text) is None


def test_dates_that_people_know() -> None:
    for text in ("14 juillet 1789", "July 14, 1789", "14. Juli 1789", "14 июля 1789 г."):
        assert right_answer(DATES, text) == "1789-07-14"
    assert right_answer(DATES, "2021年3月8日月曜日") == "2021-03-08"


# --- Number words ----------------------------------------------------------------------------


def wanted(number: int, language: str) -> str:
    """The text of num2words, with one error corrected: a one before "tausend" has no s."""
    text = num2words(number, lang=CODES[language])
    return text.replace("einstausend", "eintausend") if language == "German" else text


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_part_of_a_number_is_written_as_num2words_writes_it(language: str) -> None:
    """Covers numbers below 1,200, whole thousands, and random larger numbers."""
    write, random = LANGUAGES[language][0], Random(language)
    numbers = [*range(1200), *random.sample(range(1200, LIMIT), 600)]
    for number in [*numbers, *range(2000, LIMIT, 7000), 1_000, 2_000, LIMIT - 1]:
        text = write(number)
        assert text == wanted(number, language)
        assert read_number(text) == number
        assert len(text) <= longest()


@pytest.mark.long
@pytest.mark.parametrize("language", LANGUAGES)
def test_every_number_is_written_as_num2words_writes_it(language: str) -> None:
    write = LANGUAGES[language][0]
    lengths = set()
    for number in range(LIMIT):
        text = write(number)
        assert text == wanted(number, language)
        assert read_number(text) == number
        lengths.add(len(text))
    assert max(lengths) <= longest()


def test_where_num2words_slips_it_still_does() -> None:
    """Once num2words is right, ``wanted`` needs no correction."""
    assert num2words(101_000, lang="de") == "einhunderteinstausend"
    assert german(101_000) == "einhunderteintausend"


def test_no_text_means_two_numbers() -> None:
    """Numbers below 1,000 suffice: each language has its own word for 1,000 ("six" is in two)."""
    meant: dict[str, int] = {}
    for number in range(1000):
        for write, _ in LANGUAGES.values():
            assert meant.setdefault(write(number), number) == number
    assert all(thousand not in text for _, thousand in LANGUAGES.values() for text in meant)


@pytest.mark.parametrize("text", ["", "zwei und vierzig", "eintausendtausend", "forty two", "und"])
def test_what_is_no_number_has_no_answer(text: str) -> None:
    assert right_answer(NUMBERS, text) is None


def test_numbers_that_people_know() -> None:
    assert right_answer(NUMBERS, "zweiundvierzig") == "42"
    assert right_answer(NUMBERS, "quatre-vingt-dix-sept") == "97"
    assert right_answer(NUMBERS, "one thousand, nine hundred and eighty-four") == "1984"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("zweiundvierzig", {1: "vierzig", 0: "zwei"}),
        ("einhundertelf", {2: "ein", 1: "elf", 0: "elf"}),
        ("siebzehntausendfünfhundertacht", {4: "siebzehn", 3: "siebzehn", 2: "fünf", 0: "acht"}),
        ("quatre-vingt-dix-sept", {1: "quatre-vingtdix-sept", 0: "dix-sept"}),
        ("deux cent mille cent un", {5: "deux", 2: "cent", 0: "un"}),
        ("mille neuf cents", {3: "mille", 2: "neuf"}),
        ("soixante et onze", {1: "soixanteonze", 0: "onze"}),
        (
            "thirty-four thousand and sixty",
            {4: "thirty", 3: "four", 1: "sixty"},
        ),
    ],
)
def test_which_word_gives_which_digit(text: str, words: dict[int, str]) -> None:
    places = digit_places(text)
    assert places is not None
    assert {power: "".join(text[i] for i in where) for power, where in places.items()} == words


@given(st.integers(1, LIMIT - 1), st.sampled_from(list(LANGUAGES)))
def test_every_digit_but_a_zero_has_a_word(number: int, language: str) -> None:
    places = digit_places(LANGUAGES[language][0](number))
    assert places is not None
    spoken = {power for power in range(6) if number // 10**power % 10}
    # A word such as "ten" gives its zero too.
    assert spoken <= places.keys() <= {power for power in range(6) if number >= 10**power}
    # A word for the hundreds gives no other digit.
    for power in (2, 5):
        others = {i for other, where in places.items() if other != power for i in where}
        assert not others & set(places.get(power, ()))


# --- Both ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["dates", "numbers"])
def test_what_is_held_out_is_held_out_in_every_language(name: str) -> None:
    task = built(name)
    held_out = {pair.target for pair in task.held_out(3000)}
    seen = {pair.target for number in range(3) for pair in task.epoch(1, number, 128)}
    assert len(seen) > 3000
    assert not held_out & seen
    # Held out by meaning: a number in every language, a day in every format.
    for target in list(held_out)[:20]:
        if name == "dates":
            texts = [one.write(date.fromisoformat(target)) for one in formats()]
        else:
            texts = [write(int(target)) for write, _ in LANGUAGES.values()]
        assert all(task.is_held_out(Pair(text, target)) for text in texts)


def test_every_language_and_format_is_learned_and_tested() -> None:
    task, known = Dates(DATES), formats()

    def kinds(pairs: list[Pair]) -> set[Format]:
        meant = [(pair.source, date.fromisoformat(pair.target)) for pair in pairs]
        return {one for text, day in meant for one in known if one.write(day) == text}

    assert kinds(task.epoch(1, 0, 128)) == kinds(task.held_out(1500)) == set(known)


def test_every_length_of_a_number_is_learned_and_tested() -> None:
    task = built("numbers")
    for pairs in (task.epoch(1, 0, 128), task.held_out(1000)):
        assert {len(pair.target) for pair in pairs} == {1, 2, 3, 4, 5, 6}
        for write, _ in LANGUAGES.values():
            share = sum(write(int(pair.target)) == pair.source for pair in pairs) / len(pairs)
            assert 0.25 < share < 0.45


def test_a_sum_is_held_out_in_either_order() -> None:
    for name in ("addition", "addition-reversed"):
        task = built(name)
        held_out = {tuple(sorted(pair.source.split("+"))) for pair in task.held_out(1000)}
        seen = {tuple(sorted(pair.source.split("+"))) for pair in task.epoch(1, 0, 128)}
        assert len(held_out) > 800  # small numbers come in both orders
        assert not held_out & seen


@pytest.mark.parametrize(
    ("name", "pair", "outputs"),
    [
        (
            "dates",
            Pair("8. März 2021", "2021-03-08"),
            {
                "": "nothing written",
                "2021-03-8": "too short",
                "2021-03-081": "too long",
                "2012-03-08": "year wrong",
                "2021-04-08": "month wrong",
                "2021-03-09": "day wrong",
                "2021-08-03": "day and month exchanged",
                "2020-03-09": "several fields wrong",
                "08-03-2021": "not in the form year-month-day",
            },
        ),
        (
            "numbers",
            Pair("zweiundvierzig", "42"),
            {
                "": "nothing written",
                "4": "too short",
                "402": "too long",
                "24": "right digits, wrong order",
                "43": "ones wrong",
                "52": "tens wrong",
                "53": "several digits wrong",
            },
        ),
    ],
)
def test_errors_are_told_apart(name: str, pair: Pair, outputs: dict[str, str]) -> None:
    task = built(name)
    assert task.error_kind(pair, pair.target) == ""
    assert {output: task.error_kind(pair, output) for output in outputs} == outputs
