"""New browsers per network address are limited: clearing cookies gains no extra runs."""

import pytest

from pages.components.shell import browser
from tests.support.trainers import tiny
from transformer.errors import RunError
from transformer.runs.creation import About, create_run

pytestmark = pytest.mark.usefixtures("own_folder")


@pytest.fixture(autouse=True)
def _a_class(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKBENCH_MODE", "class")
    monkeypatch.setenv("WORKBENCH_BROWSERS_PER_ADDRESS", "3")
    browser._new_browsers.clear()


def admit(name: str, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(browser, "owner", lambda: name)
    return browser.admit_owner()


def test_new_browsers_of_one_address_are_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    create_run(tiny(), about=About(owner="from before"))
    for name in ("a", "b", "c", "a"):
        assert admit(name, monkeypatch) == name
    with pytest.raises(RunError, match="3 new browsers have started runs from this network"):
        admit("d", monkeypatch)
    # A browser with a run is not new; an hour later, new ones are admitted again.
    assert admit("from before", monkeypatch) == "from before"
    monkeypatch.setattr(browser, "NEW_BROWSER_SECONDS", 0.0)
    assert admit("d", monkeypatch) == "d"


def test_one_person_is_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKBENCH_MODE", "personal")
    assert [admit(name, monkeypatch) for name in "abcdef"] == list("abcdef")
