"""Making a run directory: it appears complete under its name, or not at all."""

import json
import os
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from transformer.config import RunConfig
from transformer.errors import RunError
from transformer.files import link_or_copy, sync, write_atomic
from transformer.runs.directory import ROOT, Run, Status, note_change, start_time


@dataclass(frozen=True)
class About:
    """The contents of a new run's ``about.json``.

    name: shown to people, never part of a path.
    owner: the hash of the token of the browser it belongs to.
    shared: whether others may see it although it is trained on the owner's own pairs.
    author: the name that its owner gave.
    parent, parent_step, parent_seconds: id of the run that it continues, from which step, and
        how long that run had trained by then.
    """

    name: str = ""
    owner: str = ""
    shared: bool = False
    author: str = ""
    parent: str = ""
    parent_step: int | None = None
    parent_seconds: float = 0.0


NAMELESS = About()


def create_run(
    config: RunConfig,
    about: About = NAMELESS,
    *,
    pairs: Path | None = None,
    root: Path = ROOT,
    path: Path | None = None,
) -> Run:
    """Make a run directory with a new id.

    Args:
        pairs: the user's own pairs, a TSV file that no longer changes.
        path: a directory to use instead of ``root``/<id>; it must be empty or new.

    Raises:
        RunError: the directory exists and is not empty.
    """
    path = path or root / secrets.token_hex(6)
    with new_directory(path) as folder:
        if pairs is not None:
            link_or_copy(pairs, folder / "data.tsv")
        process = psutil.Process()
        status = Status("starting", pid=process.pid, process_started=start_time(process))
        write_run(folder, config, about, status)
    return Run(path)


def write_run(folder: Path, config: RunConfig, about: About, status: Status) -> None:
    """Write the three files that every run directory has."""
    said = {"name": about.name[:200], "author": about.author[:200], "created": time.time()}
    write_atomic(folder / "config.json", json.dumps(config.to_dict(), indent=1).encode())
    write_atomic(folder / "about.json", json.dumps(asdict(about) | said).encode())
    Run(folder).set_status(status)


@contextmanager
def new_directory(path: Path) -> Iterator[Path]:
    """A draft of a run directory; without an error it is renamed to ``path``, else removed.

    Raises:
        RunError: ``path`` is taken, or cannot be written.
    """
    draft = path.parent / f".{path.name}.{secrets.token_hex(4)}"
    try:
        if path.exists() and any(path.iterdir()):
            raise RunError(f"The directory {path} is not empty; choose another for the run.")
        (draft / "checkpoints").mkdir(parents=True)
        yield draft
        # If several processes make the same run, only one of them can take the name.
        os.replace(draft, path)
        note_change()
        sync(path.parent)
    except OSError as error:
        if path.is_dir() and any(path.iterdir()):
            raise RunError(
                f"The directory {path} is not empty; choose another for the run."
            ) from None
        raise RunError(
            f"{path} cannot be made a directory for the run: {error.strerror}."
        ) from None
    finally:
        with suppress(OSError):
            shutil.rmtree(draft)
