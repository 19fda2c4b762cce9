"""The formats of probabilities, sentences and shortened names on the pages."""

import pytest

from pages.components.shell.text import full_stop, probability, told_apart


@pytest.mark.parametrize(
    ("share", "shown"),
    [
        (0.0, "0.00 %"),
        (1e-12, "< 0.01 %"),
        (0.00012, "0.01 %"),
        (0.45678, "45.68 %"),
        (0.9998, "99.98 %"),
        (0.99994, "99.99 %"),
        (0.99997, "> 99.99 %"),
        (1.0, "100.00 %"),
    ],
)
def test_only_what_is_certain_shows_as_all_or_nothing(share: float, shown: str) -> None:
    assert probability(share) == shown


@pytest.mark.parametrize(
    ("text", "end"), [("cba", "."), ("", "."), ("verließ.", ""), ("Wer? ", ""), ("a.b", ".")]
)
def test_a_sentence_has_one_full_stop(text: str, end: str) -> None:
    assert full_stop(text) == end


def test_names_that_differ_beyond_the_cut_still_do() -> None:
    names = [
        "Reverse letters (small, learning rate 0.02)",
        "Reverse letters (small, learning rate 0.01)",
        "Reverse letters (small, learning rate 0.01, warm-up 0)",
        "Sort letters (small, with a very long note about what it is for)",
        "short",
    ]
    shown = told_apart(names, 26)
    assert shown[:3] == [
        "Reverse…learning rate 0.02)",
        "Reverse…learning rate 0.01)",
        "Reverse…learning rate 0.01, warm-up 0)",
    ]
    assert shown[3:] == names[3:]  # the first words tell them apart
    assert told_apart(["x" * 60, "x" * 60 + "y"], 26) == ["xxxxxxx…x", "xxxxxxx…y"]
    assert told_apart([names[0]] * 2, 26) == [names[0]] * 2  # equal names stay equal
