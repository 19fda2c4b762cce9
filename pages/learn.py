"""Learn: how the data flows through one forward pass, and what was found about Transformers."""

from pages.components.learn import anatomy
from pages.components.shell import address
from pages.components.shell.frame import frame

SUBTITLE = (
    "Walk through one forward pass, box by box: the lines that compute it, the numbers of this "
    "input."
)

with frame("Learn", SUBTITLE), address.together("Learn"):
    anatomy.panel()
