"""The Debug page: does a user's own model equal the paper's, and what may cause a symptom?"""

from collections.abc import Callable

from pages.components.debug import lab, my_curve, my_model, my_symptom
from pages.components.shared.panels import open_panel
from pages.components.shell import address
from pages.components.shell.frame import frame

SUBTITLE = (
    "Compare your own implementation with the paper: equal, or the line where it departs. Your "
    "code stays with you."
)
PANELS: dict[str, tuple[str, Callable[[], None]]] = {
    "model": ("My model", my_model.panel),
    "curve": ("My curve", my_curve.panel),
    "symptom": ("My symptom", my_symptom.panel),
    "lab": ("Break it", lab.panel),
}

with frame("Debug", SUBTITLE), address.together("Debug"):
    open_panel("What to look into", PANELS, "debug")
