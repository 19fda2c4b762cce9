"""What the Runs page asks of the run engine, done to the directory where the engine lacks it.

To be replaced by the engine's own functions; see the note at each.
"""

import importlib
import json
import time
from collections.abc import Sequence
from typing import Any

from transformer import runs
from transformer.config import RunConfig
from transformer.files import write_atomic
from transformer.runs import Run


def _module(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


QUEUE = _module("transformer.run_queue")
BROWSER = _module("pages.components.browser")


def visible(found: Sequence[Run]) -> list[Run]:
    """browser.visible"""
    return list(BROWSER.visible(found) if BROWSER else found)


def may_control(run: Run) -> bool:
    """browser.may_control"""
    return bool(BROWSER.may_control(run)) if BROWSER else True


def rename(run: Run, name: str) -> None:
    """Run.rename"""
    run.rename(name) if hasattr(run, "rename") else _set(run, name=name[:200])


def set_notes(run: Run, notes: str) -> None:
    """Run.set_notes"""
    run.set_notes(notes) if hasattr(run, "set_notes") else _set(run, notes=notes[:10_000])


def set_shared(run: Run, shared: bool) -> None:
    """Run.set_shared"""
    run.set_shared(shared) if hasattr(run, "set_shared") else _set(run, shared=shared)


def _set(run: Run, **changes: object) -> None:
    about = json.dumps(run.about() | changes)
    write_atomic(run.path / "about.json", about.encode())


def delete(run: Run) -> None:
    """run_queue.delete"""
    if QUEUE:
        QUEUE.delete(run)
        return
    if run.status().state in runs.ACTIVE:
        run.command("stop")
        for _ in range(100):
            if run.status().state not in runs.ACTIVE:
                break
            time.sleep(0.1)
    (runs.ROOT / "trash").mkdir(exist_ok=True)
    run.path.rename(runs.ROOT / "trash" / run.id)


def restore(run_id: str) -> None:
    """run_queue.restore"""
    if QUEUE:
        QUEUE.restore(run_id)
        return
    (runs.ROOT / "trash" / run_id).rename(runs.ROOT / run_id)


def trash() -> list[Run]:
    """run_queue.trash"""
    return list(QUEUE.trash()) if QUEUE else runs.list_runs(runs.ROOT / "trash")


def can_train_on() -> bool:
    return QUEUE is not None


def train_on(run: Run, steps: int, learning_rate: float | None) -> Run:
    """run_queue.train_on"""
    made: Run = QUEUE.train_on(run, steps, learning_rate)
    return made


def form_link(config: RunConfig) -> dict[str, str]:
    """training_form.link_of: the address of the form filled in with a config."""
    from pages.components import training_form

    link: dict[str, str] = (
        training_form.link_of(config)
        if hasattr(training_form, "link_of")
        else {"task": config.data.task}
    )
    return link
