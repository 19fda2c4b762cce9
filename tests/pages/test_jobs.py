"""Work in a thread of its own, as pages start it."""

import time
from collections.abc import Iterator

import pytest

from pages.components.shell import browser, jobs


def endless() -> Iterator[object]:
    while True:
        time.sleep(0.01)
        yield 0.5


def finished(one: jobs.Study, within: float) -> bool:
    deadline = time.monotonic() + within
    while one.running and time.monotonic() < deadline:
        time.sleep(0.01)
    return not one.running


def test_a_study_that_nobody_follows_gives_way_to_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """As when its tab is closed: two of them would keep all others waiting for good."""
    left = [jobs.start(number, endless) for number in range(jobs.AT_ONCE)]
    waiting = jobs.start("waiting", lambda: iter([1.0, "found"]))
    assert not finished(waiting, 0.2)
    monkeypatch.setattr(jobs, "UNWATCHED", 0.05)
    assert all(finished(one, 10) for one in left)
    assert all(one.cancelled for one in left)
    monkeypatch.undo()
    assert finished(jobs.start("next", lambda: iter([1.0, "found"])), 10)


def test_a_study_that_is_followed_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "UNWATCHED", 0.3)
    one = jobs.start("followed", endless)
    for _ in range(10):
        one.watched = time.monotonic()  # what each look of a page does
        time.sleep(0.1)
    assert one.running
    one.cancelled = True
    assert finished(one, 10)


def test_an_address_that_is_passed_on_does_not_take_a_study_along(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In a class, what a person brought to be decoded is theirs."""
    monkeypatch.setenv("WORKBENCH_MODE", "class")
    monkeypatch.setattr(browser, "owner", lambda: "mine")
    one = jobs.Study("kept")
    jobs.keep(one)
    assert jobs.recall(one.token) is one
    assert jobs.recall("another") is None
    monkeypatch.setattr(browser, "owner", lambda: "another's")
    assert jobs.recall(one.token) is None


def test_the_oldest_studies_are_forgotten() -> None:
    first = jobs.Study("first")
    for one in (first, *(jobs.Study(number) for number in range(jobs.KEPT))):
        jobs.keep(one)
    assert jobs.recall(first.token) is None
    assert jobs.recall(one.token) is one
