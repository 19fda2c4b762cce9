"""Work of seconds to minutes beside the pages: progress, an estimate, a way to stop it.

A job is a generator in a thread of its own, which never touches Streamlit. What needs memory of its
own, or would hold up the server, runs in a process that the generator starts by :func:`command`. A
page draws a job by :func:`show`, in a fragment that looks again every half second.
"""

import logging
import os
import secrets
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Generator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import psutil
import streamlit as st

from pages.components.shell import browser
from pages.components.shell.frame import errors_shown, problem
from pages.components.shell.text import percent, plain, seconds
from transformer.errors import UserError, refusing

ROOT = Path(__file__).resolve().parents[3]
KEPT, SHARED = 30, 100
"""Jobs that the server remembers for those who reload a page, and for all who look at the same
thing; the oldest are forgotten first."""
UNWATCHED = 150.0
"""Seconds after which a job that no page follows is stopped. A browser lets a page in the
background look once a minute."""
MOST_SECONDS = 1800.0
POLL_SECONDS = 0.05

Work = Callable[[], Generator[object, None, None]]
"""Yields numbers, the share done from 0 to 1; texts, what it is about to do; and its result, which
is neither."""


class Queue:
    """Jobs that wait for each other.

    at_once: how many run at the same time; others wait, as all share one machine.
    waiting: why a job waits, in words.
    usual_seconds: how long a job takes that cannot say what share is done; 0 where it can.
    most_seconds: after which a job is given up, so that none keeps its place for ever.
    """

    def __init__(
        self,
        at_once: int,
        waiting: str,
        usual_seconds: float = 0.0,
        most_seconds: float = MOST_SECONDS,
    ) -> None:
        self.at_once, self.waiting, self.usual_seconds = at_once, waiting, usual_seconds
        self.most_seconds = most_seconds
        self.places = threading.Semaphore(at_once)
        self.at_work: list[Job] = []


STUDIES = Queue(2, "waiting for another study to end")


@dataclass(eq=False)
class Job:
    """A job that waits, is under way, or is done.

    name: what it is about; a page shows it only while that is still what is asked for.
    share, stage: how much is done, and what it is doing, as far as it says so.
    result: None until it has ended well; error: what a person is told if it did not.
    abandoned: whether it was stopped since no page followed it, not by a person.
    watched: when a page last followed it, by the monotonic clock.
    token: what leads back to it, not to be guessed.
    owner: the browser that it was kept for.
    shared: whether it is one for all sessions that ask for its name.
    title: what those who wait for it may read; empty: nothing.
    """

    name: object
    queue: Queue = STUDIES
    share: float = 0.0
    stage: str = ""
    started: float = 0.0
    cancelled: bool = False
    abandoned: bool = False
    result: object = None
    error: UserError | None = None
    watched: float = field(default_factory=time.monotonic)
    token: str = field(default_factory=partial(secrets.token_urlsafe, 12))
    owner: str = ""
    shared: bool = False
    title: str = ""
    ended: threading.Event = field(default_factory=threading.Event)

    @property
    def running(self) -> bool:
        return not self.ended.is_set()

    def cancel(self) -> None:
        """Stop it at its next step, and its process with it."""
        self.cancelled = True

    def unwanted(self) -> bool:
        """Whether it was stopped, or nobody has followed it for long."""
        if not self.cancelled and time.monotonic() - self.watched > UNWATCHED:
            self.cancelled = self.abandoned = True
        return self.cancelled

    def progress(self) -> tuple[float, str]:
        """The share that is done, and how long it may still take, in words."""
        if not self.started:
            before = [
                f"{plain(job.title)}, {job.progress()[1]}"
                for job in list(self.queue.at_work)
                if job.title
            ]
            return 0.0, self.queue.waiting + (f": {'; '.join(before)}" if before else "")
        spent, usual = time.monotonic() - self.started, self.queue.usual_seconds
        if usual:
            left = usual - spent
            words = (
                f"about {seconds(left)} left"
                if left > 0
                else "longer than usual: the machine is busy"
            )
            return min(spent / usual, 0.95), words
        if self.share < 0.02:
            return self.share, "starting"
        left = spent / self.share - spent
        return min(self.share, 1.0), f"about {seconds(max(left, 1))} left"


# --- Starting ----------------------------------------------------------------------------


def start(name: object, work: Work, queue: Queue = STUDIES) -> Job:
    """Begin a job."""
    job = Job(name, queue)
    _launch(job, work)
    return job


def _launch(job: Job, work: Work) -> None:
    def run() -> None:
        try:
            while not job.queue.places.acquire(timeout=0.2):
                if job.unwanted():
                    return
            try:
                job.started = time.monotonic()
                job.queue.at_work.append(job)
                _drain(job, work)
            finally:
                job.queue.at_work.remove(job)
                job.queue.places.release()
        except UserError as error:
            job.error = error
        except Exception:
            logging.getLogger(__name__).exception("A job failed")
            job.error = UserError("This failed, and it is our fault. The terminal says more.")
        finally:
            job.ended.set()

    threading.Thread(target=run, name="job", daemon=True).start()


def _drain(job: Job, work: Work) -> None:
    with closing(work()) as steps:
        for step in steps:
            if job.unwanted():
                return
            if time.monotonic() - job.started > job.queue.most_seconds:
                raise UserError(
                    f"This was stopped after {seconds(job.queue.most_seconds)}, "
                    f"{percent(job.share)} done, since the server has other users. Ask for less, "
                    "or use the command line, which has no such limit."
                )
            if isinstance(step, float):
                job.share = step
            elif isinstance(step, str):
                job.stage = step or job.stage
            else:
                job.result = step


def command(*words: str, limit_seconds: float = float("inf")) -> Generator[str, None, str]:
    """Run ``python -m transformer WORDS`` in a process of its own, of low priority.

    Yields the last line that it has written to standard error, again and again until it ends;
    returns its standard output. Closing the generator ends the process, and so does the limit.

    Raises:
        UserError: it cannot be started, or it ended with such an error.
    """
    environment = os.environ | {
        "OMP_NUM_THREADS": "1",
        "OMP_WAIT_POLICY": "PASSIVE",
        "PYTHONIOENCODING": "utf-8",
        "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])),
    }
    refused = "The process could not be started"
    with refusing(refused):
        temporary = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
    with temporary as folder:
        output, errors = Path(folder, "output"), Path(folder, "errors")

        def last_line() -> str:
            return errors.read_text("utf-8", "replace").rstrip().rpartition("\n")[2].strip()

        with refusing(refused), output.open("wb") as out, errors.open("wb") as err:
            process = subprocess.Popen(
                [sys.executable, "-m", "transformer", *words],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                env=environment,
            )
        try:
            if os.name == "posix":
                with suppress(psutil.Error):
                    psutil.Process(process.pid).nice(5)
            end = time.monotonic() + limit_seconds
            while process.poll() is None and time.monotonic() < end:
                yield last_line()
                with suppress(subprocess.TimeoutExpired):
                    process.wait(POLL_SECONDS)
        finally:
            process.kill()
            process.wait()
        if last_line().startswith("error: "):
            raise UserError(last_line().removeprefix("error: "))
        return output.read_text("utf-8", "replace")


# --- Finding again -----------------------------------------------------------------------


def current(key: str, name: object) -> Job | None:
    """The job that this tab has under a key, if it has this name; another is stopped and
    forgotten."""
    job: Job | None = st.session_state.get(key)
    if job is not None and job.name != name:
        job.cancel()
        del st.session_state[key]
        return None
    return job


@st.cache_resource
def _remembered(by: str) -> dict[object, Job]:
    """The jobs that outlive a session, by their "token" or their "name"."""
    return {}


def keep(job: Job) -> None:
    """Remember it beyond its session, for this browser: an address is soon passed on."""
    kept = _remembered("token")
    job.owner = browser.owner()
    kept[job.token] = job
    for oldest in list(kept)[:-KEPT]:
        kept.pop(oldest, None)


def recall(token: str) -> Job | None:
    """The job with this token, if it was kept for this browser and still is."""
    found = _remembered("token").get(token)
    return found if found is not None and browser.owns(found.owner) else None


def share(name: object, work: Work, queue: Queue, title: str = "") -> Job:
    """The one job of this name for all sessions, begun if there is none.

    Args:
        title: what others read who wait for it; empty where it is not for them.
    """
    shared(name)
    known = _remembered("name")
    new = Job(name, queue, shared=True, title=title)
    job = known.setdefault(name, new)
    if job is new:
        _launch(job, work)
        for oldest in list(known)[:-SHARED]:
            forget(oldest)
    return job


def shared(name: object) -> Job | None:
    """The one job of this name, if any session has begun it; one that was given up is forgotten."""
    known = _remembered("name")
    if (job := known.get(name)) is not None and job.abandoned:
        forget(name)
    return known.get(name)


def forget(name: object) -> None:
    """Let the next who shares a job of this name begin again; not while it is under way."""
    known = _remembered("name")
    if name in known and not known[name].running:
        known.pop(name, None)


# --- Drawing -----------------------------------------------------------------------------


def show(job: Job | None, title: str = "") -> object:
    """Draw a job; its result once there is one.

    Args:
        title: what it is doing, where it does not say so itself.
    """
    if job is None:
        return None
    if job.running:
        _follow(job, title)
        return None
    if job.error is not None:
        problem(job.error)
    elif job.cancelled:
        st.info("Stopped before it was done.")
    return job.result


@st.fragment(run_every=0.5)
def _follow(job: Job, title: str) -> None:
    with errors_shown():
        job.watched = time.monotonic()
        if not job.running:
            st.rerun(scope="app")
        share, left = job.progress()
        with st.container(horizontal=True, vertical_alignment="center"):
            st.progress(share, text=f"{plain(job.stage) or title}: {100 * share:.0f} %, {left}")
            # What others wait for too is not for one of them to stop.
            if not job.shared and st.button("Stop", key=f"stop {job.token}"):
                job.cancel()
