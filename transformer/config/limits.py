"""Limits of one server: how many runs train at once, how long, with how much memory.

An operator sets a limit as an environment variable, ``WORKBENCH_`` and the field's name in
capitals (``WORKBENCH_TRAINERS=4``). A trainer, the process that trains one run, inherits them.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Self

import psutil

from transformer.config.validation import SelfValidating, setting, shown
from transformer.errors import ConfigError

PREFIX = "WORKBENCH_"
LEAST_MEMORY_MB = 1024
"""Least memory limit of one trainer, in MB; PyTorch alone takes a quarter of it."""
NO_FOREIGN_FILES = (
    "This public demo takes only checkpoints that were saved by Transformer Workbench "
    "(.safetensors). To import other models, run the app on your own machine."
)
NO_OWN_PAIRS = "Training on your own pairs is switched off here. Choose another task."


@dataclass(frozen=True, kw_only=True)
class Limits(SelfValidating):
    """Limits on runs. The defaults suit one person on their own machine.

    Raises:
        ConfigError: a limit is out of its bounds.
    """

    mode: str = setting(
        "personal: anyone who reaches the app controls every run. class: a run is controlled "
        "only by the browser that started it, and runs on a user's own pairs are private. demo: "
        "like class, with small models, short runs and without users' own pairs.",
        default="personal",
        choices=("personal", "class", "demo"),
    )
    trainers: int = setting("Trainers at once; 0: one per core.", default=0, minimum=0, maximum=256)
    runs_per_browser: int = setting(
        "Runs of one browser that train at once; its other runs wait.",
        default=1,
        minimum=1,
        maximum=256,
    )
    queue_per_browser: int = setting(
        "Runs of one browser that may wait.", default=5, minimum=1, maximum=1000
    )
    queue: int = setting(
        "Runs that may wait, of all browsers.", default=100, minimum=1, maximum=10_000
    )
    browsers_per_address: int = setting(
        "Browsers that may start a first run from one network address within an hour, in class and "
        "demo mode; 0 is no limit.",
        default=0,
        minimum=0,
        maximum=100_000,
    )
    minutes: float = setting(
        "Minutes after which a run is stopped and its model saved; 0 is no limit.",
        default=0.0,
        minimum=0.0,
        maximum=100_000.0,
    )
    memory_mb: int = setting(
        "Memory of one trainer in MB; 0 is its share of the machine's.",
        default=0,
        minimum=0,
        maximum=10_000_000,
    )
    parameters: int = setting(
        "Parameters that a model may have.",
        default=500_000_000,
        minimum=1,
        maximum=500_000_000,
    )
    snapshot_seconds: float = setting(
        "Seconds between two snapshots, from which a run can resume; longer if saving would "
        "otherwise take more than a twentieth of the time; 0 saves after every update.",
        default=10.0,
        minimum=0.0,
        maximum=100_000.0,
    )

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Self:
        """The limits an operator has set; stricter defaults in class and demo mode.

        Raises:
            ConfigError: a variable has an invalid value.
        """
        if (old := PREFIX + "COMMIT_SECONDS") in environment:
            raise ConfigError(f"{old} is now called {PREFIX}SNAPSHOT_SECONDS: rename it.")
        given: dict[str, Any] = {}
        for item in fields(cls):
            text = environment.get(name := PREFIX + item.name.upper())
            if text is None:
                continue
            try:
                given[item.name] = item.type(text)  # type: ignore[operator]
            except ValueError:
                raise ConfigError(f"{name} = {shown(text)}: must be a number.") from None
        return cls(**{**MODES.get(given.get("mode", ""), {}), **given})

    @property
    def slots(self) -> int:
        """Trainers that may run at once."""
        return self.trainers or os.cpu_count() or 1

    @property
    def threads(self) -> int:
        """CPU threads of one trainer, if its settings do not fix them: its share of the cores."""
        return max(1, (os.cpu_count() or 1) // self.slots)

    @property
    def most_threads(self) -> int:
        """Most CPU threads that a trainer's speed trial may choose; a single user has all cores."""
        alone = self.mode == "personal" and not self.trainers
        return (os.cpu_count() or 1) if alone else self.threads

    @property
    def memory_bytes(self) -> int:
        """Most memory that one trainer may take."""
        share = int(0.8 * psutil.virtual_memory().total / self.slots)
        return self.memory_mb * 1_000_000 or max(LEAST_MEMORY_MB * 1_000_000, share)

    @property
    def owned(self) -> bool:
        """Whether runs belong to the browser that started them."""
        return self.mode != "personal"

    @property
    def keeps_ready(self) -> bool:
        """Whether a trainer waits with torch loaded: takes 250 MB, saves the next run a second."""
        return self.mode == "personal"

    @property
    def foreign_files(self) -> bool:
        """Whether models that were made elsewhere may be imported."""
        return self.mode != "demo"

    @property
    def upload_mb(self) -> int:
        """Largest checkpoint, or model from elsewhere, that may be uploaded."""
        return 64 if self.mode == "demo" else 512

    @property
    def own_pairs(self) -> bool:
        """Whether people may train on pairs of their own."""
        return self.mode != "demo"


MODES: dict[str, dict[str, Any]] = {
    "class": {"minutes": 60.0, "parameters": 20_000_000, "browsers_per_address": 60},
    "demo": {
        "minutes": 5.0,
        "parameters": 2_000_000,
        "queue": 40,
        "queue_per_browser": 1,
        "browsers_per_address": 20,
    },
}
"""Each mode's changes to the defaults."""
