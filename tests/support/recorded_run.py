"""Makes a run directory like a trainer's, in this process: for tests and benchmarks."""

from collections.abc import Iterator
from pathlib import Path

from transformer.config import RunConfig
from transformer.model import Transformer
from transformer.runs.creation import About, create_run
from transformer.runs.directory import Run, Status
from transformer.tasks import build_task
from transformer.trainer.log import RunLog
from transformer.training.loop import Update, train


def record_run(config: RunConfig, root: Path) -> Iterator[Run]:
    """Train, writing metrics, samples and attention; yields the run after each recorded step."""
    import torch

    run = create_run(config, about=About("recorded"), root=root)
    torch.manual_seed(config.training.seed)
    task = build_task(config.data)
    model = Transformer(config.model)
    log = RunLog(run, config, task)
    for event in train(model, task, config.training):
        run.set_status(Status("running", step=event.step))
        log.write(event, model)
        if isinstance(event, Update) and event.step in log.moments:
            yield run
    run.set_status(Status("finished", step=config.training.steps))
