"""What the first screen of every page shows, in a real browser:

    .venv/bin/python -m benchmarks.first_screens [PAGE]...

For every page in its important states, at 1280 x 800 and 400 x 800: the height of the page, the
number of controls above its main picture, and whether its most important sentence and that picture
are entirely on the first screen. PAGE selects the pages whose name begins with it. The exit status
is 1 if a page is higher than its target.
"""

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
from playwright.sync_api import Error, Locator, Page

from tests.support.places import ROOT
from tests.support.server import running_browser, running_server, settle
from transformer.runs.directory import Run, Status, start_time
from transformer.tasks import SEVEN_PAIRS

WIDTHS, HEIGHT = (1280, 400), 800
CONTROLS = "button, input, select, textarea, [role=radio], [role=slider], [role=combobox], a"
MANY = 30


@dataclass(frozen=True)
class Screen:
    """A page in one state.

    sentence, picture: selectors of its most important sentence and of its main picture.
    target: maximum height in pixels at width 1280; None if there is no target.
    """

    name: str
    address: str
    sentence: str
    picture: str
    target: int | None = None


@dataclass(frozen=True)
class Measured:
    """One row of the table: what is visible without scrolling.

    height: of the whole page. controls: number of them above the picture; None without a picture.
    sentence, picture: whether each is entirely visible; None if it is not on the page.
    """

    screen: Screen
    width: int
    height: int
    controls: int | None
    sentence: bool | None
    picture: bool | None

    @property
    def missed(self) -> bool:
        """Whether the page is higher than its target."""
        target = self.screen.target if self.width == WIDTHS[0] else None
        return target is not None and self.height > target


OVERVIEW = Screen("Overview", "", "text=It says", ".word_map .stacks", HEIGHT)
RUNS = Screen(f"Runs, {MANY}", "runs", ".run_table tbody tr >> nth=0", ".run_table .scroll", HEIGHT)


def of_run(name: str, run: Run) -> Screen:
    """The Train page showing a run."""
    return Screen(f"Train, {name}", f"train?run={run.id}", ".run-verdict", ".live_curve", 1400)


def screens(runs: Mapping[str, Run]) -> tuple[Screen, ...]:
    """All pages in their important states.

    Args:
        runs: state -> a run in that state, for the Train page.
    """
    return (
        OVERVIEW,
        Screen("Train, idle", "train?task=reverse", "h1", "[data-testid=stButton] >> nth=0"),
        *(of_run(name, run) for name, run in runs.items()),
        Screen("Attention", "attention?checkpoint=sort&input=workbench", "text=The model writes",
               ".attention_explorer .stage canvas >> nth=0", 1300),
        Screen("Decode", "decode?checkpoint=reverse&input=abc", "text=The model",
               ".columns-of-step", 1200),
        RUNS,
        Screen("Checkpoints", "checkpoints?checkpoint=reverse", "text=Decoded now",
               ".architecture svg"),
        Screen("Learn", "learn?checkpoint=reverse&input=abc", "h4", ".anatomy_map svg"),
    )  # fmt: skip


def measure(page: Page, url: str, screen: Screen, width: int) -> Measured:
    """Open the page and measure it."""
    page.set_viewport_size({"width": width, "height": HEIGHT})
    page.goto(f"{url}/{screen.address}")
    settle(page)
    picture = page.locator(screen.picture).first
    with suppress(Error):  # a page without a picture in this state is still measured
        picture.wait_for(state="visible", timeout=15_000)
    settle(page)
    top = _box(picture)
    controls = page.get_by_test_id("stMain").locator(CONTROLS)
    above = None
    if top is not None:
        boxes = [_box(one) for one in controls.all()]
        above = sum(box is not None and box[1] <= top[0] for box in boxes)
    height = page.evaluate("document.querySelector('[data-testid=stMain]').scrollHeight")
    sentence = page.locator("[data-testid=stMain]").locator(screen.sentence).first
    return Measured(screen, width, height, above, _is_whole(sentence), _is_whole(picture))


def _box(found: Locator) -> tuple[float, float] | None:
    """The upper and lower edge of an element; None if it is not visible."""
    if found.count() == 0 or (box := found.bounding_box()) is None or not box["height"]:
        return None
    return box["y"], box["y"] + box["height"]


def _is_whole(found: Locator) -> bool | None:
    box = _box(found)
    return None if box is None else box[0] >= 0 and box[1] <= HEIGHT


def table(rows: Sequence[Measured]) -> str:
    """The rows as a Markdown table."""
    words = {None: "none", True: "whole", False: "cut off"}
    lines = [
        "| page | width | height | target | controls above the picture | sentence | picture |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        target = row.screen.target if row.width == WIDTHS[0] else None
        aim = "" if target is None else f"{target:,}{' missed' if row.missed else ''}"
        above = "" if row.controls is None else str(row.controls)
        lines.append(
            f"| {row.screen.name} | {row.width} | {row.height:,} | {aim} | {above} "
            f"| {words[row.sentence]} | {words[row.picture]} |"
        )
    return "\n".join(lines)


TRAINED = {
    "finished": ("--task", "reverse", "--preset", "tiny", "--steps", "60"),
    "long sentences": (
        *("--task", "pairs", "--data", str(SEVEN_PAIRS), "--preset", "overfit"),
        *("--until-loss", "0.003"),
    ),
    "failed checks": (
        *("--task", "reverse", "--preset", "tiny", "--steps", "200"),
        *("--learning-rate", "0.05", "--warmup-steps", "0"),
    ),
}
"""Runs that end in different states -> the flags of the command that trains them."""


def trained(name: str, root: Path) -> Run:
    """Train one of :data:`TRAINED`."""
    run = Run(root / name.replace(" ", "-"))
    command = [sys.executable, "-m", "transformer", "train", *TRAINED[name]]
    subprocess.run(
        [*command, "--run-dir", str(run.path)], cwd=ROOT, check=True, capture_output=True
    )
    return run


def make_runs(root: Path) -> dict[str, Run]:
    """The runs of :data:`TRAINED`, then copies: one failed, one running, more for the list."""
    runs = {name: trained(name, root) for name in TRAINED}
    failed, live, *_ = (
        _copy(runs["finished"], f"copy{number}") for number in range(MANY - len(runs))
    )
    failed.set_status(Status("failed", "The machine ran out of memory.", "memory", step=60))
    own = psutil.Process()
    live.set_status(Status("running", pid=own.pid, process_started=start_time(own), step=60))
    return {**runs, "failed": failed, "live": live}


def _copy(run: Run, name: str) -> Run:
    shutil.copytree(run.path, run.path.parent / name)
    return Run(run.path.parent / name)


def main() -> int:
    rows = []
    with (
        tempfile.TemporaryDirectory() as folder,
        running_server(Path(folder)) as server,
        running_browser() as browser,
    ):
        (server.folder / "runs").mkdir()
        wanted = tuple(sys.argv[1:]) or ("",)
        made = make_runs(server.folder / "runs")
        every = [screen for screen in screens(made) if screen.name.startswith(wanted)]
        for width in WIDTHS:
            for screen in every:
                page = browser.new_page()
                rows.append(measure(page, server.url, screen, width))
                print(table(rows[-1:]).splitlines()[-1], file=sys.stderr, flush=True)
                page.close()
    print(table(rows))
    return int(any(row.missed for row in rows))


if __name__ == "__main__":
    sys.exit(main())
