"""The newer input wins: the one in the address, or the one the user has just typed."""

import pytest
from streamlit.testing.v1 import AppTest

from tests.support.opened_pages import open_page
from tests.support.places import bundled_file
from transformer.checkpoint.header import read_header

SORT = read_header(bundled_file("sort"))[0]

pytestmark = pytest.mark.usefixtures("own_folder")


def read(app: AppTest) -> str:
    """The value of the input field, which the address must have too."""
    assert not app.exception
    text = app.text_input(key="input").value
    assert text is not None
    assert app.query_params["input"] in (text, [text])
    return text


@pytest.fixture
def app() -> AppTest:
    opened = open_page("decode", checkpoint="reverse", input="abc")
    assert read(opened) == "abc"
    return opened


def test_what_was_just_typed_wins_over_an_older_address(app: AppTest) -> None:
    """A browser may send an old address before it receives the one the server wrote last."""
    app.query_params["input"] = "older"
    assert read(app.text_input(key="input").set_value("typed").run()) == "typed"
    assert read(app.run()) == "typed"


def test_an_address_that_was_gone_back_to_counts(app: AppTest) -> None:
    assert read(app.text_input(key="input").set_value("typed").run()) == "typed"
    app.query_params["input"] = "abc"
    assert read(app.run()) == "abc"


def test_an_address_of_another_checkpoint_brings_its_input(app: AppTest) -> None:
    app.query_params["checkpoint"] = "sort"
    app.query_params["input"] = "zyx"
    assert read(app.run()) == "zyx"


def test_another_checkpoint_that_was_chosen_brings_its_example(app: AppTest) -> None:
    assert read(app.selectbox(key="checkpoint").set_value("sort").run()) == SORT.examples[0].source
