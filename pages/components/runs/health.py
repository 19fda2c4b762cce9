"""The health check on a page: a button, its progress, and what was found, in words."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

import streamlit as st

from pages.components.shell.frame import errors_shown
from pages.components.shell.text import plain
from transformer.runs.directory import Run

ROOT = Path(__file__).resolve().parents[3]
USUAL_SECONDS = 8.0
MOST_SECONDS = 180.0
MARKS = {"problem": "✗", "warning": "!", "waiting": "…", "ok": "✓"}
STYLE = """
<style>
  .findings { list-style: none !important; margin: 0 !important; padding: 0 !important; }
  .findings li { margin: 0 !important; padding: 0.3rem 0 0.3rem 1.6rem; text-indent: -1.6rem;
                 font-size: 0.9rem; overflow-wrap: anywhere; }
  .findings .mark { display: inline-block; width: 1.6rem; text-indent: 0; font-weight: 700;
                    text-align: center; }
  .findings .alarm { border-left: 4px solid #d55e00; background: rgba(213, 94, 0, 0.1); }
  .findings .advice { display: block; text-indent: 0; }
  .findings .said { position: absolute; width: 1px; height: 1px; overflow: hidden;
                    clip-path: inset(50%); }
</style>
"""
# Each check imports PyTorch in a process of its own: a class must not start thirty at once.
_ONE_AT_A_TIME = threading.BoundedSemaphore(max(1, (os.cpu_count() or 1) // 2))


class Check:
    """The check of one run: all who watch the run share it, and see it under way or done."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lock = threading.Lock()
        self.busy = False
        self.started = 0.0
        self.stage = ""
        self.step = 0
        self.findings: list[dict[str, Any]] = []
        self.problem = ""

    def start(self) -> None:
        """Begin, unless it is under way."""
        with self.lock:
            if self.busy:
                return
            self.busy, self.problem, self.findings = True, "", []
            self.stage, self.started = "Waiting for other checks to end", 0.0
        threading.Thread(target=self._work, daemon=True).start()

    def _work(self) -> None:
        try:
            with _ONE_AT_A_TIME:
                self.stage, self.started = "Loading PyTorch", time.monotonic()
                self.step = Run(self.path).last_step()
                self._read(self._process())
        except OSError as error:
            self.problem = f"The check could not be started: {error.strerror}."
        finally:
            self.busy = False

    def _process(self) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, "-m", "transformer", "health", str(self.path), "--json"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            errors="replace",
            env=os.environ
            | {
                "OMP_NUM_THREADS": "1",
                "OMP_WAIT_POLICY": "PASSIVE",
                "PYTHONIOENCODING": "utf-8",
                "PYTHONPATH": os.pathsep.join(
                    [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
                ),
            },
        )

    def _read(self, process: "subprocess.Popen[str]") -> None:
        """Follow its progress on standard error, then take its one object."""
        timer = threading.Timer(MOST_SECONDS, process.kill)
        timer.start()
        with process:
            assert process.stdout is not None
            assert process.stderr is not None
            # What it says in the end fits into the pipe, so it never waits for us.
            for line in process.stderr:
                self.stage = line.strip()
            answer = process.stdout.read()
        timer.cancel()
        try:
            self.findings = json.loads(answer)["findings"]
        except (ValueError, KeyError, TypeError):
            said = self.stage.removeprefix("error: ")
            told = self.stage.startswith("error: ")
            self.problem = said if told else "The check ended without an answer. Try it again."


@st.cache_resource(max_entries=100)
def _check(path: str) -> Check:
    return Check(Path(path))


def health_button(run: Run) -> None:
    """The button and, below it, progress or findings. Not to be called inside a fragment."""
    check = _check(str(run.path.resolve()))
    was_busy = check.busy

    @st.fragment(run_every=0.5 if was_busy else None)
    def draw() -> None:
        with errors_shown():
            if was_busy and not check.busy:
                st.rerun()
            again = bool(check.findings)
            label = "Check its health again" if again else "Check this run's health"
            if st.button(
                label, icon=":material/stethoscope:", disabled=check.busy, key=f"health {run.id}"
            ):
                check.start()
                st.rerun()
            _show(check)

    draw()


def _show(check: Check) -> None:
    if check.busy:
        spent = time.monotonic() - check.started if check.started else 0.0
        left = round(USUAL_SECONDS - spent)
        when = f"about {left} s left" if left > 0 else "longer than usual: the machine is busy"
        st.progress(min(spent / USUAL_SECONDS, 0.95), text=f"{plain(check.stage)} · {when}")
    elif check.problem:
        st.error(plain(check.problem), icon=":material/error:")
    elif check.findings:
        st.markdown(f"**{_summary(check.findings)}** Looked at step {check.step:,}.")
        st.html(findings_list(check.findings))
    else:
        st.caption(
            "Looks at the live model's masks and softmax, at the batches, a tiny twin and the "
            "curve, and says in words what is wrong. It takes a few seconds."
        )


def _summary(findings: Sequence[dict[str, Any]]) -> str:
    counts = {state: sum(f["state"] == state for f in findings) for state in MARKS}
    if problems := counts["problem"]:
        return "1 problem found." if problems == 1 else f"{problems} problems found."
    if warnings := counts["warning"]:
        return "1 thing to look at." if warnings == 1 else f"{warnings} things to look at."
    waiting = f", {counts['waiting']} still to be judged" if counts["waiting"] else ""
    return f"All is well: {counts['ok']} checks passed{waiting}."


def findings_list(findings: Sequence[dict[str, Any]]) -> str:
    """HTML of the findings, alarms first; each has "name", "state", "sentence", "advice"."""
    order = list(MARKS)
    ordered = sorted(findings, key=lambda finding: min(order.index(finding["state"]), 2))
    return STYLE + '<ul class="findings">' + "".join(map(_item, ordered)) + "</ul>"


def _item(finding: dict[str, Any]) -> str:
    state = finding["state"]
    alarm = ' class="alarm"' if state in ("problem", "warning") else ""
    advice = f'<span class="advice">→ {escape(finding["advice"])}</span>'
    return (
        f'<li{alarm}><span class="mark" aria-hidden="true">{MARKS[state]}</span>'
        f'<span class="said">{state}: </span><b>{escape(finding["name"])}</b>. '
        f"{escape(finding['sentence'])}{advice if finding['advice'] else ''}</li>"
    )
