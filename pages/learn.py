"""Learn: how the data flows through one forward pass, and what was found about Transformers."""

from collections.abc import Callable

from pages.components.learn import anatomy, experiments
from pages.components.shared.panels import open_panel
from pages.components.shell import address
from pages.components.shell.frame import frame

SUBTITLE = "How data flows through the model, box by box; published findings, run again."

PANELS: dict[str, tuple[str, Callable[[], None]]] = {
    "anatomy": ("Anatomy", anatomy.panel),
    "experiments": ("Experiments", experiments.panel),
}

with frame("Learn", SUBTITLE), address.together("Learn"):
    open_panel("What to learn from", PANELS, "learn")
