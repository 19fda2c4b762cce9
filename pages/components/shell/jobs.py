"""Work of seconds to minutes in a thread of its own: progress, an estimate, a way to stop it.

The thread never touches Streamlit. A page keeps the study in its session state and draws it
in a fragment that looks again every half second.
"""

import logging
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial

import streamlit as st

from pages.components.shell import browser
from pages.components.shell.frame import errors_shown, problem
from pages.components.shell.text import seconds
from transformer.errors import UserError

AT_ONCE = 2
"""Studies that may run at the same time; others wait, as all share one processor."""
KEPT = 30
"""Studies that the server remembers for those who reload a page; the oldest are forgotten first."""
UNWATCHED = 150.0
"""Seconds after which a study that no page follows gives way to others. A page in the background
is let look once a minute by its browser."""

Work = Callable[[], Iterator[object]]
"""Yields floats, the share done from 0 to 1, and last its result."""


@st.cache_resource
def _turns() -> threading.Semaphore:
    return threading.Semaphore(AT_ONCE)


@dataclass
class Study:
    """A study under way or done.

    name: what it studies; a page shows it only while that is still what is asked for.
    result: None until it has ended well; error: what a person is told if it did not.
    watched: when a page last followed it, by the monotonic clock.
    token: what leads back to it, not to be guessed.
    owner: the browser that it was kept for.
    """

    name: object
    share: float = 0.0
    started: float = 0.0
    running: bool = True
    cancelled: bool = False
    result: object = None
    error: UserError | None = None
    failed: bool = False
    watched: float = field(default_factory=time.monotonic)
    token: str = field(default_factory=partial(secrets.token_urlsafe, 12))
    owner: str = ""

    @property
    def unwanted(self) -> bool:
        """Whether it was stopped, or nobody has followed it for long."""
        return self.cancelled or time.monotonic() - self.watched > UNWATCHED

    def left(self) -> str:
        """How long it may still take, in words."""
        if not self.started:
            return "waiting for another study to end"
        if self.share < 0.02:
            return "starting"
        passed = time.monotonic() - self.started
        return f"about {seconds(max(passed / self.share - passed, 1))} left"


def start(name: object, work: Work) -> Study:
    """Begin a study."""
    study = Study(name)
    turns = _turns()

    def run() -> None:
        try:
            with turns:
                study.started = time.monotonic()
                for step in work():
                    if study.unwanted:
                        study.cancelled = True
                        return
                    if isinstance(step, float):
                        study.share = step
                    else:
                        study.result = step
        except UserError as error:
            study.error = error
        except Exception:
            logging.getLogger(__name__).exception("A study failed")
            study.failed = True
        finally:
            study.running = False

    threading.Thread(target=run, name="study", daemon=True).start()
    return study


@st.cache_resource
def _kept() -> dict[str, Study]:
    return {}


def keep(study: Study) -> None:
    """Remember it beyond its session, for this browser: an address is soon passed on."""
    kept = _kept()
    study.owner = browser.owner()
    kept[study.token] = study
    for oldest in list(kept)[:-KEPT]:
        kept.pop(oldest, None)


def recall(token: str) -> Study | None:
    """The study with this token, if it was kept for this browser and still is."""
    found = _kept().get(token)
    return found if found is not None and browser.owns(found.owner) else None


def show(key: str, title: str) -> object:
    """Draw the study kept under this key in session state; its result once there is one."""
    study: Study | None = st.session_state.get(key)
    if study is None:
        return None
    if study.running:
        _follow(key, title)
        return None
    if study.error is not None:
        problem(study.error)
    elif study.failed:
        st.error("The study failed, and it is our fault. The terminal says more.")
    elif study.cancelled:
        st.info("Stopped before it was done.")
    return study.result


@st.fragment(run_every=0.5)
def _follow(key: str, title: str) -> None:
    with errors_shown():
        study: Study = st.session_state[key]
        study.watched = time.monotonic()
        if not study.running:
            st.rerun(scope="app")
        with st.container(horizontal=True, vertical_alignment="center"):
            st.progress(min(study.share, 1.0), text=f"{title}: {study.share:.0%}, {study.left()}")
            if st.button("Stop", key=f"stop {key}"):
                study.cancelled = True
