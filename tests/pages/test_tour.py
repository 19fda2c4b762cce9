"""The tour can be left at every step, and leads back to its page from any other."""

import pytest

from pages.components.shell.tour import STEP, STEPS
from tests.support.opened_pages import open_page

pytestmark = pytest.mark.usefixtures("own_folder")


@pytest.mark.parametrize("number", range(1, len(STEPS) + 1))
def test_it_can_be_left_at_every_step(number: int) -> None:
    app = open_page("runs")
    app.session_state[STEP] = number
    app.run()
    assert [one.label for one in app.button if one.key == "tour there"] == ["Go there"]
    app.button(key="tour leave").click().run()
    assert STEP not in app.session_state
    assert not [one for one in app.button if one.key and one.key.startswith("tour")]
