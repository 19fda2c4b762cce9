"""Writing files so that a reader, or a crash, never sees half of one."""

import errno
import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path


def write_atomic(path: Path, content: bytes) -> None:
    """Write beside, flush to the disk, rename over: the file is the old one or the new one."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise
    sync(path.parent)


def write_over(path: Path, content: bytes) -> None:
    """Write JSON into the file that is there: a last word on a disk with no room for a second.

    It needs no new space while the content is no longer than a block. Blanks cover the rest of
    what was there, in the same write; who reads in just that moment sees half, and looks again.
    """
    with path.open("r+b", buffering=0) as file:
        file.write(content.ljust(path.stat().st_size))


FULL = ("ENOSPC", "EDQUOT", "EFBIG")
"""Names of the errors of a disk that is full, or of one's share of it."""


def remedy(error: OSError) -> str:
    """What to do about a file that could not be written."""
    if error.errno in (getattr(errno, name, None) for name in FULL):
        return "Free some space"
    return "See to it that its folder can be written to"


def sync(path: Path) -> None:
    """Flush a file, or a folder's list of names, to the disk."""
    if os.name != "posix" and path.is_dir():
        return  # Windows cannot open a folder to flush it
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sweep(folder: Path) -> None:
    """Remove what killed writers left half-written in a folder; only its one writer may call it."""
    for path in folder.glob(".*"):
        if path.is_file():
            path.unlink(missing_ok=True)


LINKED_BYTES = 1_000_000


def link_or_copy(source: Path, target: Path) -> None:
    """The same content at another place; a large file shares its bytes on the disk.

    For files that are only ever replaced as a whole, never written into.
    """
    if source.stat().st_size > LINKED_BYTES:
        try:
            os.link(source, target)
        except OSError:  # another disk, or one without links
            pass
        else:
            return
    temporary = target.with_name(f".{target.name}.copy")
    shutil.copyfile(source, temporary)
    os.replace(temporary, target)
