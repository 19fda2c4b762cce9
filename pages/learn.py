"""Learn: how data flows through one forward pass, published findings, and lessons."""

from collections.abc import Callable

from pages.components.learn import anatomy, experiments, lesson
from pages.components.shared.panels import open_panel
from pages.components.shell import address
from pages.components.shell.frame import frame

SUBTITLE = "How data flows, box by box; findings, run again; a lesson."

PANELS: dict[str, tuple[str, Callable[[], None]]] = {
    "anatomy": ("Anatomy", anatomy.panel),
    "experiments": ("Experiments", experiments.panel),
    "lesson": ("Lesson", lesson.panel),
}

with frame("Learn", SUBTITLE), address.together("Learn"):
    open_panel("What to learn from", PANELS, "learn")
