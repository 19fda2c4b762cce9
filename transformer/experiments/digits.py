"""Digits written backwards are learned first (Lee et al., 2023)."""

from collections.abc import Generator, Iterator

from transformer.experiments.experiment import Experiment, Outcome, Settings
from transformer.experiments.training import fixed_settings, learning
from transformer.tasks.presets import prepare
from transformer.training.loop import evaluate_outputs

STEPS, EVERY = 1400, 200
"""Number of updates, and of updates between two evaluations."""
PAIRS = 150
TASKS = {"backwards": "addition-reversed", "plain": "addition"}

Points = tuple[tuple[float, float], ...]


def run(settings: Settings) -> Iterator[float | Outcome]:
    """Train on the same sums twice, with the answer's digits reversed and in the usual order."""
    curves: dict[str, Points] = {}
    for number, (name, task) in enumerate(TASKS.items()):
        curves[name] = yield from _learned(task, settings, number / len(TASKS))
    mean = {
        name: sum(share for _, share in points) / len(points) for name, points in curves.items()
    }
    ahead = mean["backwards"] - mean["plain"]
    last = {name: points[-1][1] for name, points in curves.items()}
    first = max(curves["backwards"], key=lambda look: look[1] - dict(curves["plain"])[look[0]])
    yield Outcome(
        {
            "backwards in the end": last["backwards"] / 100,
            "plain in the end": last["plain"] / 100,
            "largest lead": (first[1] - dict(curves["plain"])[first[0]]) / 100,
            "ahead on average": ahead / 100,
        },
        f"After {first[0]:.0f} updates {first[1]:.0f} % of sums are right with the ones first, "
        f"{dict(curves['plain'])[first[0]]:.0f} % with the ones last. On average over all "
        f"evaluations, ones first has {abs(ahead):.0f} percentage points "
        f"{'more' if ahead >= 0 else 'fewer'}; in the end it is {last['backwards']:.0f} % and "
        f"{last['plain']:.0f} %.",
        2 if ahead > 2 else 0 if ahead < -2 else 1,
        curves,
    )


def _learned(task_name: str, settings: Settings, start: float) -> Generator[float, None, Points]:
    """Train, and every few updates evaluate the model's own outputs; yields the share done.

    Args:
        start: the share done before this training.
    """
    steps, every, count = (12, 6, 20) if settings.short else (STEPS, EVERY, PAIRS)
    task, config = prepare(task_name, "small", training=fixed_settings(settings.seed, steps))
    model, updates = learning(task, config)
    pairs, found = task.held_out(count), list[tuple[float, float]]()
    for update in updates:
        if update.step % every == 0:
            share = evaluate_outputs(model, task, pairs, update.step).exact_match
            found.append((float(update.step), 100 * share))
        yield start + update.step / steps / len(TASKS)
    return tuple(found)


EXPERIMENT = Experiment(
    name="digits",
    title="Digits written backwards are learned first",
    claim="A model learns addition from fewer examples when it writes the answer from the ones "
    "on, as people do by hand.",
    source="Lee et al. 2023, Teaching Arithmetic to Small Transformers",
    published="reversed: 100 % with about 2,500 examples; plain: it stays at about 85 %",
    what=f"Sums of up to 3 digits, {STEPS:,} updates for each way to write the answer.",
    question="After the same number of updates, which model adds better?",
    options=("the one that writes as usual", "both equally", "the one that writes backwards"),
    bands={
        "backwards in the end": (0.8, 1.0),
        "largest lead": (0.05, 0.8),
        "ahead on average": (0.02, 0.5),
    },
    short_bands={"plain in the end": (0.0, 0.5)},
    why="Starting at the ones, each digit needs two digits and a carry that is already known. "
    "Starting at the front, the first digit needs the carries of all the others. Neither leads at "
    "first, and with more training both reach 100 %.",
    minutes=5,
    run=run,
    axes=("updates", "sums right (%)"),
)
