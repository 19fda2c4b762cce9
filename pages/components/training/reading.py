"""Reading uploaded pairs in a separate process, one for all users who uploaded the same file."""

from collections.abc import Generator
from functools import partial

from pages.components.shell import jobs
from pages.components.stores import pairs
from transformer.errors import TaskError
from transformer.tasks.own_pairs.layout import Choices

READING = jobs.Queue(2, "waiting for other files to be read")


def read(id: str, bpe_size: int | None = None, *, wait: float = 0.0) -> jobs.Job | None:
    """The job that reads the pairs, started if there is none; None once it has ended well.

    Args:
        bpe_size: the most byte-pair tokens; None leaves the choice to the survey.
        wait: seconds to wait for the job's end, for small files.

    Raises:
        UserError: reading failed for a reason other than an error in the pairs.
    """
    name = _name(id, bpe_size)
    job = jobs.share(name, partial(_work, id, bpe_size), READING)
    job.ended.wait(wait)
    if job.running or job.cancelled:
        return job
    jobs.forget(name)
    if job.error is not None:
        raise job.error
    return None


def start_over(id: str, bpe_size: int | None = None) -> None:
    """Forget a reading that was stopped, so that :func:`read` starts a new one."""
    jobs.forget(_name(id, bpe_size))


def _name(id: str, bpe_size: int | None) -> object:
    return "pairs", id, bpe_size


def _work(id: str, bpe_size: int | None) -> Generator[object, None, None]:
    folder = pairs.FOLDER / id
    source = data = folder / "data.tsv"
    size = [] if bpe_size is None else ["--bpe-size", str(bpe_size)]
    if bpe_size is None:
        source = pairs.source_of(folder) or data
        for path in folder.glob("tmp*.tsv"):  # left by a reading that was stopped
            path.unlink(missing_ok=True)
    files = [str(source.resolve())]
    how: list[str] = []
    if source != data:
        how = _flags(pairs.choices_of(folder))
        if (targets := folder / "targets").is_file():
            files.append(str(targets.resolve()))
    into = ["--into", str(folder.resolve())]
    for said in jobs.command("pairs", *files, *size, *how, *into):
        if (share := said.removesuffix("%")).isdecimal():
            yield int(share) / 100
        yield ""
    kept = pairs.find(id, bpe_size)
    if kept is None or (kept.survey is None and kept.problem is None):
        raise TaskError("The pairs could not be read: the process that reads them ended early.")
    otherwise = kept.survey is not None and kept.survey.interpretation.is_ambiguous
    chosen = kept.choices != Choices()
    if kept.text is None and kept.problem is None and source != data and not (otherwise or chosen):
        source.unlink(missing_ok=True)  # data.tsv has all that is needed


def _flags(choices: Choices) -> list[str]:
    """The choices as flags of the command line."""
    words = []
    if choices.encoding:
        words += ["--encoding", choices.encoding]
    for side, place in (("source", choices.source), ("target", choices.target)):
        if isinstance(place, int):
            words += [f"--{side}-column", str(place + 1)]
    if choices.header is not None:
        words += ["--header", str(choices.header).lower()]
    return words
