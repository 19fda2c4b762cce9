"""The lab on the Debug page: a user's guesses about a run are saved with the run."""

import pytest
from streamlit.testing.v1 import AppTest

from pages.components.debug.lab_runs import PREFIX, Pair
from tests.support.opened_pages import open_page
from transformer.config.faults import hide
from transformer.config.limits import Limits
from transformer.faults import FAULTS
from transformer.runs.creation import About, create_run
from transformer.runs.directory import Run, Status
from transformer.runs.lab import FILE, HIDDEN_FAULTS, OUTCOMES, Guesses, recipe
from transformer.runs.table import summarise

pytestmark = pytest.mark.usefixtures("own_folder")
FAULT, UPDATES = "no-residual", 20


def made(name: str, fault: str, **more: object) -> Run:
    """A lab run that has ended without measurements."""
    threads = Limits.from_environment().threads
    config = recipe(fault, threads=threads, steps=UPDATES, **more)  # type: ignore[arg-type]
    run = create_run(config, about=About(f"{PREFIX}{name}"))
    run.set_status(Status("stopped"))
    return run


def pair() -> Run:
    made("healthy", FAULT, healthy=True)
    return made(FAULT, FAULT)


def shows_results(app: AppTest) -> bool:
    return any("What the health check says" in one.value for one in app.markdown)


def test_prediction_and_updates_stand_in_the_address() -> None:
    app = open_page("debug", debug="lab", fault=FAULT)
    app.radio(key="predict").set_value("less").run()
    app.number_input(key="lab steps").set_value(UPDATES).run()
    assert app.query_params["predict"] == "less"
    assert app.query_params["updates"] == str(UPDATES)
    app.selectbox(key="fault").set_value("no-positions").run()
    assert app.radio(key="predict").value is None  # each fault has its own prediction
    app.selectbox(key="fault").set_value(FAULT).run()
    assert app.radio(key="predict").value == "less"
    again = open_page("debug", debug="lab", fault=FAULT, predict="less", updates=str(UPDATES))
    assert again.radio(key="predict").value == "less"
    assert again.number_input(key="lab steps").value == UPDATES


def test_what_was_predicted_of_a_run_is_there_without_any_address() -> None:
    run = pair()
    app = open_page("debug", debug="lab")  # opens on the last fault shown
    assert app.selectbox(key="fault").value == FAULT
    assert not shows_results(app)
    app.radio(key="predict").set_value("not-at-all").run()
    assert shows_results(app)
    assert Guesses.of(run.path).predicted == "not-at-all"
    other = open_page("debug", debug="lab")
    assert other.radio(key="predict").value == "not-at-all"
    assert shows_results(other)
    assert Pair.of(FAULT, UPDATES).faulty is not None


def test_a_damaged_note_of_what_was_said_is_none() -> None:
    run = pair()
    for content in ("[]", '{"predicted": 3, "wrong": "ab", "ended": "now", "found": 1}', "\0"):
        (run.path / FILE).write_text(content)
        assert Guesses.of(run.path) == Guesses()
    whole = Guesses("less", ("no-positions",), True, 12.5)
    whole.keep(run.path)
    assert Guesses.of(run.path) == whole
    assert summarise(run).state == "stopped"


@pytest.mark.parametrize("way", ["find", "blind"])
def test_a_hunt_goes_on_where_it_was_left(way: str) -> None:
    run = made("to be found, 1 of 1", FAULT, hidden_as=hide(FAULT, "abc123.1"))
    app = open_page("debug", debug="lab", lab=way)  # its salt is not in the address
    next(one for one in app.button if one.label == "Answer").click().run()
    assert any("Choose a fault" in one.value for one in app.info)
    [form] = [one for one in app.button if one.label == "Answer"]
    field = next(one for one in app.selectbox if one.label == "What is wrong with it?")
    wrong = next(one for one in field.options if "position" in one.lower())
    field.set_value(wrong)
    form.click().run()
    assert any("Not that" in one.value for one in app.warning)
    again = open_page("debug", debug="lab", lab=way)
    assert any("Not that" in one.value for one in again.warning)
    next(one for one in again.button if one.label == "Give up").click().run()
    assert any("after 1 wrong" in one.value for one in again.info)
    assert Guesses.of(run.path).ended > 0
    over = open_page("debug", debug="lab", lab=way, hunt1="abc123")
    assert any("Given up" in one.value for one in over.info)
    assert any(one.label == "Plant one" for one in open_page("debug", debug="lab", lab=way).button)


def answered(app: AppTest, title: str = "") -> AppTest:
    """Answer with this fault's title, or give up without one; returns the page afterwards."""
    if title:
        field = next(one for one in app.selectbox if one.label == "What is wrong with it?")
        field.set_value(title)
    label = "Answer" if title else "Give up"
    return next(one for one in app.button if one.label == label).click().run()


def test_four_are_found_one_after_the_other() -> None:
    names = HIDDEN_FAULTS[:4]
    runs = [
        made(f"to be found, {number} of 4", name, hidden_as=hide(name, f"abc124.{number}"))
        for number, name in enumerate(names, 1)
    ]
    titles = [FAULTS[name].title for name in names]
    app = open_page("debug", debug="lab", lab="find-four")
    assert any("Model 1 of 4" in one.value for one in app.markdown)
    app = answered(app, titles[0])
    assert any("Found in" in one.value and titles[0] in one.value for one in app.success)
    assert any("Model 2 of 4" in one.value for one in app.markdown)
    app = answered(app, titles[0])  # the fault of the model before
    assert any("Not that" in one.value for one in app.warning)
    app = answered(app, titles[1])
    assert any("after 1 wrong" in one.value for one in app.success)
    app = open_page("debug", debug="lab", lab="find-four")  # another tab goes on at the third
    assert any("Model 3 of 4" in one.value for one in app.markdown)
    app = answered(app)
    assert any("Given up" in one.value and titles[2] in one.value for one in app.info)
    app = answered(app, titles[3])
    assert any(one.value.startswith("**3 of 4 found, in ") for one in app.markdown)
    assert [Guesses.of(run.path).found for run in runs] == [True, True, False, True]
    told = [one.value for one in (*app.success, *app.info)]
    assert all(any(title in one for one in told) for title in titles)
    next(one for one in app.button if one.label == "Another").click().run()
    assert any(one.label == "Plant four" for one in app.button)


def test_outcomes_have_names() -> None:
    app = open_page("debug", debug="lab", predict="of another version")
    assert app.radio(key="predict").value is None
    assert app.radio(key="predict").options == list(OUTCOMES)
