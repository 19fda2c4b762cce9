"""The Learn page without a browser: experiments are predicted, run in a process, and compared."""

import time

import pytest
from streamlit.testing.v1 import AppTest
from streamlit.testing.v1.element_tree import Button

from pages.components.shell import browser, jobs
from tests.support.opened_pages import messages, open_page
from transformer.experiments.registry import EXPERIMENTS


def everything(app: AppTest) -> str:
    return " ".join(one.value for one in (*app.markdown, *app.caption))


def run_button(app: AppTest) -> Button:
    return next(button for button in app.button if button.label.startswith("Run it"))


pytestmark = pytest.mark.usefixtures("own_folder")


def test_a_finding_is_predicted_run_and_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(browser, "owner", lambda: "a" * 64)
    scale = EXPERIMENTS["scale"]
    app = open_page("learn", learn="experiments", experiment="scale")
    assert not messages(app)
    assert scale.published in everything(app)
    assert "What came out here" not in everything(app)
    assert run_button(app).disabled  # predict first
    app.radio[0].set_value("0").run()
    assert not run_button(app).disabled
    run_button(app).click().run()
    assert "the result stays here" in everything(app)
    job = jobs.shared(("experiment", "scale"))
    assert job is not None
    assert job.title == f"{scale.title} (about 3 s in all)"
    end = time.monotonic() + 90
    while "What came out here" not in everything(app) and time.monotonic() < end:
        time.sleep(0.5)
        app.run()
    assert app.success[0].value == "**Reproduced.**"
    assert f"**You predicted** {scale.options[0]}; **it is** {scale.options[2]}." in everything(app)
    # The prediction is kept for other sessions of the same browser.
    again = open_page("learn", learn="experiments", experiment="scale")
    assert f"**You predicted** {scale.options[0]}" in everything(again)
    monkeypatch.setattr(browser, "owner", lambda: "b" * 64)
    # Another user must predict before the result is shown.
    other = open_page("learn", learn="experiments", experiment="scale")
    assert "What came out here" not in everything(other)
    other.radio[0].set_value("2").run()
    assert f"**You predicted it:** {scale.options[2]}." in everything(other)


def test_an_experiment_that_is_not_there_is_named() -> None:
    app = open_page("learn", learn="experiments", experiment="nonsense")
    assert "nonsense" in app.warning[0].value


def test_the_picture_of_a_box_that_is_taken_out_is_said_to_show_it_in_place() -> None:
    place = {"checkpoint": "sort", "input": "abc", "box": "encoder.0.self.softmax"}
    said = "The picture shows the box in its place"
    assert said not in everything(open_page("learn", **place))
    app = open_page("learn", **place, absent="yes")
    assert not messages(app)
    assert said in everything(app)
