"""Install what the tests need into .venv, then check style and types and run all tests.

    python3 tests/run.py [pytest arguments]

Needs only Python 3.11 or newer with venv. An installed browser is used; otherwise Playwright
downloads one; otherwise root installs Debian's package.
"""

import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
VENV = ROOT / ".venv"
BIN = VENV / ("Scripts" if os.name == "nt" else "bin")
BROWSER_TESTS = "tests/browser"
SOME_FAILED = 1
"""pytest's exit status after failed tests; higher ones mean that it could not run them."""
BROWSERS = (
    "chromium-headless-shell",  # Chromium without a window: a third less CPU time per page
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
)


def main() -> int:
    os.chdir(ROOT)
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # else each process compiles all modules anew
    install()
    browser = find_browser()
    if browser:
        os.environ["WORKBENCH_BROWSER"] = browser
    python = [str(BIN / "python"), "-m"]
    with ThreadPoolExecutor() as beside:  # tests often wait and leave a core idle
        checked = beside.submit(lambda: [*map(run_captured, style(python))])
        of_all = not sys.argv[1:]
        tested = [
            (run_and_retry if of_all else run)(command)
            for command in tests([*python, "pytest"], sys.argv[1:])
        ]
        done = [*checked.result(), *tested]
    failed = [process for process in done if process.returncode]
    for process in failed:
        print(process.stdout or "", end="")
        print(f"FAILED: {' '.join(process.args[1:])}", file=sys.stderr)
    return 1 if failed else 0


def run(command: list[str]) -> "subprocess.CompletedProcess[str]":
    """Run a command and show its output at once."""
    return subprocess.run(command, check=False, text=True)


def run_and_retry(command: list[str]) -> "subprocess.CompletedProcess[str]":
    """Run tests, and run those that fail once more, up to the first that fails again.

    The second run has one process and no other tests, so tests that failed only because the
    machine was busy, or because of another test's leftovers, pass.
    """
    done = run(command)
    if done.returncode != SOME_FAILED:
        return done
    print("\nThose that failed, once more, one after the other:", flush=True)
    again = ["-n", "0", "--last-failed", "--last-failed-no-failures", "none", "--exitfirst"]
    return run([*command, *again])


def run_captured(command: list[str]) -> "subprocess.CompletedProcess[str]":
    """Run a command and capture its output, to show it if the command fails."""
    return subprocess.run(
        command, check=False, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )


def style(python: list[str]) -> list[list[str]]:
    """The commands that check style and types."""
    return [
        [*python, "ruff", "check", "."],
        [*python, "ruff", "format", "--check", "."],
        [*python, "mypy", "transformer", "pages", "app.py", "tests", "benchmarks", "docs"],
    ]


def tests(pytest: list[str], arguments: list[str]) -> list[list[str]]:
    """The pytest commands: all tests on all cores, or the tests that the arguments choose.

    Tests of one file run in one process, as they share fixtures; files go by name, so that the
    longest do not run last. Browser tests are distributed singly, over one process more than
    there are cores, as each often waits for its page.
    """
    if arguments:
        return [[*pytest, *arguments]]
    by_file = ["--dist=loadfile", "--no-loadscope-reorder", f"--ignore={BROWSER_TESTS}"]
    slowest = "--durations=12"
    in_browsers = ["-n", str((os.cpu_count() or 1) + 1), "--dist=worksteal", BROWSER_TESTS]
    return [[*pytest, "-n", "auto", *by_file, slowest], [*pytest, *in_browsers, slowest]]


def install() -> None:
    """Make .venv if it is not there, and install the pinned packages into it."""
    if not (BIN / "python").exists():
        made = subprocess.run([sys.executable, "-m", "venv", str(VENV)], check=False)
        if made.returncode:
            sys.exit("Python's venv module is missing; on Debian: apt-get install python3-venv")
    pip = [str(BIN / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    if subprocess.run([*pip, "-r", "tests/requirements.txt"], check=False).returncode:
        sys.exit("The packages in tests/requirements.txt could not be installed.")


def installed_browser() -> str:
    """The path of an installed Chromium; empty if there is none."""
    names = (os.environ.get("WORKBENCH_BROWSER", ""), *BROWSERS)
    return next((path for name in names if name and (path := shutil.which(name))), "")


def find_browser() -> str:
    """The path of a Chromium, installed if necessary; empty if Playwright has its own.

    Exits with one sentence if there is none and none can be installed.
    """
    if path := installed_browser():
        return path
    playwright = [str(BIN / "python"), "-m", "playwright", "install", "chromium"]
    if subprocess.run(playwright, check=False, capture_output=True).returncode == 0:
        return ""
    if shutil.which("apt-get") and os.geteuid() == 0:
        for command in (["update"], *(["install", "-y", name] for name in BROWSERS[:2])):
            subprocess.run(["apt-get", "-q", *command], check=False, stdout=subprocess.DEVNULL)
            if path := installed_browser():
                return path
    sys.exit(
        "The browser tests need a Chromium: install one (on Debian: apt-get install chromium), "
        "or name yours in the variable WORKBENCH_BROWSER."
    )


if __name__ == "__main__":
    sys.exit(main())
