"""Background jobs in threads, as pages start them."""

import subprocess
import sys
import time
from collections.abc import Generator

import pytest
from streamlit.testing.v1 import AppTest

from pages.components.shell import browser, jobs


def endless() -> Generator[object, None, None]:
    while True:
        time.sleep(0.01)
        yield 0.5


def found() -> Generator[object, None, None]:
    yield 1.0
    yield ["found"]


def finished(one: jobs.Job, within: float) -> bool:
    deadline = time.monotonic() + within
    while one.running and time.monotonic() < deadline:
        time.sleep(0.01)
    return not one.running


def test_a_job_that_nobody_follows_gives_way_to_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """For example if its tab is closed: two such jobs would block all others for ever."""
    left = [jobs.start(number, endless) for number in range(jobs.STUDIES.at_once)]
    waiting = jobs.start("waiting", found)
    assert not finished(waiting, 0.2)
    monkeypatch.setattr(jobs, "UNWATCHED", 0.05)
    assert all(finished(one, 10) for one in left)
    assert all(one.cancelled for one in left)
    monkeypatch.undo()
    assert finished(jobs.start("next", found), 10)


def test_a_job_that_is_followed_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "UNWATCHED", 0.3)
    one = jobs.start("followed", endless)
    for _ in range(10):
        one.watched = time.monotonic()  # as each rerun of a page does
        time.sleep(0.1)
    assert one.running
    one.cancel()
    assert finished(one, 10)


def test_an_address_that_is_passed_on_does_not_take_a_job_along(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In class mode, the inputs that a user gave for decoding are private."""
    monkeypatch.setenv("WORKBENCH_MODE", "class")
    monkeypatch.setattr(browser, "owner", lambda: "mine")
    one = jobs.Job("kept")
    jobs.keep(one)
    assert jobs.recall(one.token) is one
    assert jobs.recall("another") is None
    monkeypatch.setattr(browser, "owner", lambda: "another's")
    assert jobs.recall(one.token) is None


def test_the_oldest_jobs_are_forgotten() -> None:
    first = jobs.Job("first")
    for one in (first, *(jobs.Job(number) for number in range(jobs.MAX_PRIVATE_JOBS))):
        jobs.keep(one)
    assert jobs.recall(first.token) is None
    assert jobs.recall(one.token) is one


def test_stopping_a_job_ends_its_process(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[subprocess.Popen[bytes]] = []

    class Watched(subprocess.Popen[bytes]):
        def __init__(self, *arguments: object, **options: object) -> None:
            endless = [sys.executable, "-c", "import time; time.sleep(600)"]
            super().__init__(endless, **options)  # type: ignore[call-overload]
            started.append(self)

    monkeypatch.setattr(subprocess, "Popen", Watched)

    def work() -> Generator[object, None, None]:
        yield (yield from jobs.command("health"))

    one = jobs.start("a process", work)
    deadline = time.monotonic() + 10
    while not started and time.monotonic() < deadline:
        time.sleep(0.01)
    assert one.running
    one.cancel()
    assert finished(one, 10)
    assert started[0].poll() is not None


def test_a_process_says_what_it_does_and_its_error_is_the_jobs_own() -> None:
    def work() -> Generator[object, None, None]:
        yield (yield from jobs.command("pairs", "no such file.tsv"))

    one = jobs.start("an error", work)
    assert finished(one, 60)
    assert one.result is None
    assert str(one.error).startswith("The file of pairs could not be read")


def test_a_shared_job_is_one_for_all_and_begins_again_once_it_is_forgotten() -> None:
    queue = jobs.Queue(1, "waiting for another")
    one = jobs.share("shared", endless, queue)
    assert jobs.share("shared", endless, queue) is one
    jobs.forget("shared")  # no effect while it runs
    assert jobs.shared("shared") is one
    waiting = jobs.share("another", found, queue)
    assert waiting.progress() == (0.0, "waiting for another")
    one.cancel()
    assert finished(waiting, 10)
    assert waiting.result == ["found"]
    jobs.forget("shared")
    assert jobs.shared("shared") is None


def test_a_shared_job_that_nobody_followed_begins_again_for_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(jobs, "UNWATCHED", 0.05)
    queue = jobs.Queue(1, "waiting for another")
    given_up = jobs.share("given up", endless, queue)
    assert finished(given_up, 10)
    assert jobs.shared("given up") is None
    assert jobs.share("given up", found, queue) is not given_up


@pytest.mark.parametrize("kind", ["shared", "own"])
def test_only_ones_own_job_can_be_stopped(kind: str) -> None:
    """Thirty users of the same file share one job: none of them may stop it for the others."""

    def page(kind: str) -> None:
        from pages.components.shell import jobs
        from tests.pages.test_jobs import endless

        queue = jobs.Queue(1, "waiting for another")
        job = jobs.share(f"page {kind}", endless, queue) if kind == "shared" else None
        jobs.show(job or jobs.start("page", endless, queue), "Working")

    app = AppTest.from_function(page, args=(kind,), default_timeout=20).run()
    assert not app.exception
    assert [button.label for button in app.button] == ([] if kind == "shared" else ["Stop"])
    jobs._remembered("name").clear()


def test_a_job_that_never_ends_is_given_up_and_that_is_said() -> None:
    queue = jobs.Queue(1, "waiting", most_seconds=0.2)
    one = jobs.start("endless", endless, queue)
    while finished(one, 0.05) is False and time.monotonic() - one.started < 10:
        one.watched = time.monotonic()
    assert not one.running
    assert "This was stopped after" in str(one.error)
    assert finished(jobs.start("next", found, queue), 10)


def test_who_waits_reads_what_runs_before_and_how_long_it_still_takes() -> None:
    queue = jobs.Queue(1, "waiting for another")
    first = jobs.share("first", endless, queue, "A leak")
    while first.share < 0.5:
        time.sleep(0.01)
    waiting = jobs.share("second", found, queue, "Positions")
    assert waiting.progress() == (0.0, "waiting for another: A leak, about 1 s left")
    first.cancel()
    assert finished(waiting, 10)
    assert not queue.at_work
