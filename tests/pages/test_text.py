"""What a number or a sentence of the pages looks like, by its own rule."""

import pytest

from pages.components.shell.text import full_stop, probability


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
