"""All experiments by name, in the order in which the page shows them."""

from collections.abc import Mapping

from transformer.errors import ConfigError
from transformer.experiments import (
    carries,
    digits,
    explanation,
    forming,
    gradients,
    grokking,
    heads,
    leak,
    length,
    positions,
    scale,
    scan,
    search,
    smoothing,
    warmup,
)
from transformer.experiments.experiment import Experiment

EXPERIMENTS: Mapping[str, Experiment] = {
    module.EXPERIMENT.name: module.EXPERIMENT
    for module in (
        *(leak, scale, positions, length, scan, digits),
        *(explanation, heads, carries, forming, search, gradients, warmup),
        *(smoothing, grokking),
    )
}


def find_experiment(name: str) -> Experiment:
    """The experiment with this name.

    Raises:
        ConfigError: there is none.
    """
    if name not in EXPERIMENTS:
        raise ConfigError(
            f"There is no experiment {name!r}; `python -m transformer experiment` lists them all."
        )
    return EXPERIMENTS[name]
