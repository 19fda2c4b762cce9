"""Writing files so that a reader, or a crash, never sees half of one."""

import os
import shutil
import tempfile
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
        os.unlink(temporary)
        raise
    if os.name == "posix":  # Windows cannot open a folder to flush it
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


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
