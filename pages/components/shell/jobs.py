"""Background jobs of seconds to minutes: progress, a time estimate, a way to stop them.

A job is a generator in its own thread, which never calls Streamlit. Work that needs separate memory
or would slow down the server runs in a process that the generator starts with :func:`command`. A
page draws a job with :func:`show`, in a fragment that reruns every half second.
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
from transformer.errors import UserError, explaining

ROOT = Path(__file__).resolve().parents[3]
MAX_PRIVATE_JOBS, MAX_SHARED_JOBS = 30, 100
"""Maximum numbers of jobs that the server remembers: private ones, for a reload of their page, and
shared ones, for all who open the same view; the oldest are forgotten first."""
UNWATCHED = 150.0
"""Seconds after which a job that no page follows is stopped. Browsers run the timers of background
tabs only once a minute."""
MOST_SECONDS = 1800.0
POLL_SECONDS = 0.05

Work = Callable[[], Generator[object, None, None]]
"""Yields floats, the share done from 0 to 1; strings, the stage that begins; and its result, which
is neither."""


class Queue:
    """A queue of jobs.

    at_once: how many run at the same time; others wait, as all share one machine.
    waiting: why a job waits, in words.
    usual_seconds: usual duration of jobs that cannot report the share done; 0 if they can.
    most_seconds: limit after which a job is stopped, so that none blocks the queue for ever.
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
    """A job that waits, runs, or has ended.

    name: what it computes; a page shows it only while the page still asks for this name.
    share, stage: the share done, and the current stage, as far as the job reports them.
    result: None unless it has succeeded; error: the message for the user if it failed.
    abandoned: whether it was stopped because no page followed it, not by the user.
    watched: when a page last followed it, by the monotonic clock.
    token: unguessable id by which a reloaded page finds it.
    owner: the browser that it was kept for.
    shared: whether all sessions that ask for its name get this one job.
    title: what users who wait behind it may read; empty: nothing.
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
        """Stop the job, and its process, at its next step."""
        self.cancelled = True

    def unwanted(self) -> bool:
        """Whether the job was stopped, or no page has followed it for UNWATCHED seconds."""
        if not self.cancelled and time.monotonic() - self.watched > UNWATCHED:
            self.cancelled = self.abandoned = True
        return self.cancelled

    def progress(self) -> tuple[float, str]:
        """The share done, and the estimated time left, in words."""
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
    """Run ``python -m transformer WORDS`` in a separate process of low priority.

    Yields the last line of its standard error every POLL_SECONDS until it ends; returns its
    standard output. Closing the generator kills the process, and so does reaching the limit.

    Raises:
        UserError: the process cannot be started, or it ended with a UserError.
    """
    environment = os.environ | {
        "OMP_NUM_THREADS": "1",
        "OMP_WAIT_POLICY": "PASSIVE",
        "PYTHONIOENCODING": "utf-8",
        "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])),
    }
    refused = "The process could not be started"
    with explaining(refused):
        temporary = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
    with temporary as folder:
        output, errors = Path(folder, "output"), Path(folder, "errors")

        def last_line() -> str:
            return errors.read_text("utf-8", "replace").rstrip().rpartition("\n")[2].strip()

        with explaining(refused), output.open("wb") as out, errors.open("wb") as err:
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
    """This tab's job under a key, if it has this name; a job of another name is stopped and
    forgotten."""
    job: Job | None = st.session_state.get(key)
    if job is not None and job.name != name:
        job.cancel()
        del st.session_state[key]
        return None
    return job


@st.cache_resource
def _remembered(by: str) -> dict[object, Job]:
    """Jobs that outlive a session, as a dictionary by "token" or by "name"."""
    return {}


def keep(job: Job) -> None:
    """Remember a job beyond its session, for this browser only: its address may be passed on."""
    kept = _remembered("token")
    job.owner = browser.owner()
    kept[job.token] = job
    for oldest in list(kept)[:-MAX_PRIVATE_JOBS]:
        kept.pop(oldest, None)


def recall(token: str) -> Job | None:
    """The job with this token, if it is remembered and was kept for this browser."""
    found = _remembered("token").get(token)
    return found if found is not None and browser.owns(found.owner) else None


def share(name: object, work: Work, queue: Queue, title: str = "") -> Job:
    """The one job of this name for all sessions, started if there is none.

    Args:
        title: what users who wait behind it may read; empty: nothing.
    """
    shared(name)
    known = _remembered("name")
    new = Job(name, queue, shared=True, title=title)
    job = known.setdefault(name, new)
    if job is new:
        _launch(job, work)
        for oldest in list(known)[:-MAX_SHARED_JOBS]:
            forget(oldest)
    return job


def shared(name: object) -> Job | None:
    """The shared job of this name, if any session has started it; an abandoned one is forgotten."""
    known = _remembered("name")
    if (job := known.get(name)) is not None and job.abandoned:
        forget(name)
    return known.get(name)


def forget(name: object) -> None:
    """Drop the shared job of this name if it has ended, so that :func:`share` starts a new one."""
    known = _remembered("name")
    if name in known and not known[name].running:
        known.pop(name, None)


# --- Drawing -----------------------------------------------------------------------------


def show(job: Job | None, title: str = "") -> object:
    """Draw a job; return its result once there is one.

    Args:
        title: what the job is doing, shown if it reports no stage.
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
            # No single user may stop a job that others wait for.
            if not job.shared and st.button("Stop", key=f"stop {job.token}"):
                job.cancel()
