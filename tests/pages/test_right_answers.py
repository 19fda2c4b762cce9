"""What the pages say of an output (right or wrong) and of its input (trained on or not)."""

import pytest
from streamlit.testing.v1 import AppTest

from tests.support.opened_pages import open_page
from tests.support.places import bundled_file
from transformer.checkpoint import Checkpoint
from transformer.config import DataConfig
from transformer.tasks import in_training, longest_trained, out_of_form, right_answer
from transformer.tasks.pronunciation import dictionary

PRONUNCIATION = DataConfig(task="pronunciation")


def texts(app: AppTest) -> str:
    return "\n".join(one.value for one in app.markdown)


def test_of_several_answers_the_one_that_was_written() -> None:
    first, second = dictionary()["read"][:2]
    assert right_answer(PRONUNCIATION, "read") == first
    assert right_answer(PRONUNCIATION, "read", second) == second
    assert right_answer(PRONUNCIATION, "read", "R EH") == first
    assert right_answer(DataConfig(task="reverse"), "abc", "abc") == "cba"


def test_what_was_trained_on_may_be_shorter_than_what_is_tested() -> None:
    assert longest_trained(DataConfig(task="scan-length")) == (9, 22)
    assert longest_trained(DataConfig(task="scan-simple")) == (9, 48)
    assert longest_trained(DataConfig(task="pairs")) is None


@pytest.mark.parametrize(
    ("sum", "said"),
    [
        ("7+5", ""),
        ("0+10", ""),
        ("007+05", "try 7+5"),
        ("00+1", "try 0+1"),
        ("1+2+3", "two numbers with one +"),
        ("12", "two numbers with one +"),
    ],
)
def test_a_sum_written_as_none_that_it_has_seen(sum: str, said: str) -> None:
    for task in ("addition", "addition-reversed"):
        sentence = out_of_form(DataConfig(task=task), sum)
        assert said in sentence if said else not sentence
    assert not out_of_form(DataConfig(task="pairs"), sum)


@pytest.mark.usefixtures("own_folder")
def test_a_second_pronunciation_is_right_on_both_pages() -> None:
    """Any of a word's pronunciations counts as right, not only the dictionary's first."""
    model = Checkpoint.load(bundled_file("pronunciation"))
    words = [word for word, variants in dictionary().items() if len(variants) > 1][:100]
    answers = [answer.output for answer in model.answers(words)]
    word, answer = next(
        (word, answer)
        for word, answer in zip(words, answers, strict=True)
        if answer in dictionary()[word][1:]
    )
    for page in ("decode", "attention"):
        app = open_page(page, checkpoint="pronunciation", input=word)
        assert answer in texts(app)
        assert "which is right" in texts(app)
        assert ("A training pair." in texts(app)) is in_training(PRONUNCIATION, word)
        assert ("Not seen in training." in texts(app)) is not in_training(PRONUNCIATION, word)
        assert not app.error


@pytest.mark.usefixtures("own_folder")
def test_the_maps_of_a_wrong_answer_are_called_that() -> None:
    letters = "abcdefghijklmnopqrstuvwxyz"
    said = texts(open_page("attention", checkpoint="reverse", input=letters))
    assert "which is **wrong**: right is" in said
    assert letters[::-1] in said
    assert "its training inputs had at most 12" in said


@pytest.mark.usefixtures("own_folder")
@pytest.mark.parametrize(
    ("model", "text", "said"),
    [
        ("reverse", "abc", "Perhaps in training, which draws at random."),
        ("reverse", "abcdefghijklm", "Not seen in training."),
        ("addition-plain", "1280+1", "Not seen in training."),
    ],
)
def test_each_page_says_of_every_input_whether_it_was_trained_on(
    model: str, text: str, said: str
) -> None:
    for page in ("decode", "attention"):
        assert said in texts(open_page(page, checkpoint=model, input=text))
