"""The lab's runs: a faulty one and its healthy copy, found again by name and settings."""

from dataclasses import dataclass

import streamlit as st

from pages.components.shell import address, browser
from pages.components.shell.frame import errors_shown
from pages.components.shell.known_runs import known_runs
from transformer.config import RunConfig
from transformer.config.faults import NAMES
from transformer.config.limits import Limits
from transformer.errors import RunError
from transformer.runs import queue
from transformer.runs.creation import About
from transformer.runs.directory import ACTIVE, ROOT, Run
from transformer.runs.lab import STEPS, recipe

PREFIX = "Lab: "
UPDATES = "updates"
"""Parameter in the address: the number of updates of the lab's runs."""
LEAST, MOST = 10, 5000
TICK = 1.0


@dataclass(frozen=True)
class Pair:
    """A faulty run and its healthy copy; None for a run that does not exist yet."""

    fault: str
    steps: int
    faulty: Run | None
    healthy: Run | None

    @classmethod
    def of(cls, fault: str, steps: int = STEPS) -> "Pair":
        """The newest of each among the runs that this browser may see."""
        wrong, right = (_config(fault, steps, healthy) for healthy in (False, True))
        return cls(fault, steps, find(wrong, f"{PREFIX}{fault}"), find(right, f"{PREFIX}healthy"))

    @property
    def missing(self) -> bool:
        return self.faulty is None or self.healthy is None

    @property
    def ended(self) -> bool:
        runs = (self.faulty, self.healthy)
        return all(one and one.status().state not in ("queued", *ACTIVE) for one in runs)

    def begin(self) -> None:
        """Start the missing runs.

        Raises:
            RunError: there is no room for another run.
        """
        if self.faulty is None:
            start(_config(self.fault, self.steps, False), f"{PREFIX}{self.fault}")
        if self.healthy is None:
            start(_config(self.fault, self.steps, True), f"{PREFIX}healthy")


def _config(fault: str, steps: int, healthy: bool) -> RunConfig:
    threads = Limits.from_environment().threads
    return recipe(fault, healthy=healthy, threads=threads, steps=steps)


def start(config: RunConfig, name: str) -> Run:
    """Create a run and put it into the queue."""
    return queue.submit(config, About(name, browser.admit_owner()))


def find(config: RunConfig, name: str) -> Run | None:
    """The newest run with that name and these settings that has not failed."""
    for run, summary in known_runs().values():
        if summary.name == name and summary.state not in ("failed", "interrupted"):
            try:
                if run.config() == config:
                    return run
            except RunError:  # deleted in between
                continue
    return None


def newest(fault: str = "") -> tuple[str, int] | None:
    """Fault and number of updates of the newest faulty run in the lab that is this browser's; None
    if there is none.

    Args:
        fault: consider only runs with this fault.
    """
    for run, summary in known_runs().values():
        name = summary.name.removeprefix(PREFIX)
        wanted = summary.name != name and name in NAMES and fault in ("", name)
        if wanted and summary.steps is not None and browser.may_control(run):
            return name, summary.steps
    return None


def read_steps(fault: str = "") -> int:
    """The number of updates: from the address, else from the newest run with the fault."""
    address.read(UPDATES, "")
    text = str(st.session_state[UPDATES])
    if text.isdecimal() and len(text) < 6 and LEAST <= int(text) <= MOST:
        return int(text)
    st.session_state[UPDATES] = ""
    known = newest(fault) if fault else None
    return STEPS if known is None else min(max(known[1], LEAST), MOST)


def write_steps() -> None:
    address.write(UPDATES, st.session_state[UPDATES])


def steps_field(steps: int) -> None:
    """Field for the number of updates, which stays when another fault is chosen."""
    key = "lab steps"

    def take() -> None:
        st.session_state[UPDATES] = str(st.session_state[key])

    st.session_state[key] = steps
    st.number_input("Updates", LEAST, MOST, step=50, key=key, width=130, on_change=take)


def progress(pair: Pair) -> None:
    """Draw the progress of both runs until both have ended."""
    runs = {"With the fault": pair.faulty, "Healthy copy": pair.healthy}

    @st.fragment(run_every=TICK)
    def tick() -> None:
        with errors_shown():
            queue.poll(ROOT)
            for title, run in runs.items():
                assert run is not None
                bar(run, title)
            if pair.ended:
                st.rerun()

    tick()


def bar(run: Run, title: str) -> None:
    """Draw one run's progress in a line."""
    status = run.status()
    step, steps = run.last_step(), run.config().training.steps
    words = {"queued": "waiting for its turn", "starting": "starting"}.get(
        status.state, f"step {step:,} of {steps:,}"
    )
    st.progress(min(step / steps, 1.0), text=f"{title}: {words}")
