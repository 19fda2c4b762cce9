"""File helpers: atomic writes, JSON objects, and CSV in which no text acts as a formula."""

import codecs
import csv
import errno
import io
import json
import math
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer as Buffer


def write_atomic(path: Path, content: "bytes | Iterable[Buffer]") -> None:
    """Write a temporary file, flush it to disk, rename it: ``path`` is never half-written.

    Args:
        content: the whole content, or its pieces, which need not be in memory all at once.

    Raises:
        OSError: writing failed; its ``filename`` is ``path``, not the temporary file.
    """
    try:
        _replace(path, [content] if isinstance(content, bytes) else content)
    except OSError as error:
        error.filename, error.filename2 = str(path), None
        raise


def _replace(path: Path, pieces: "Iterable[Buffer]") -> None:
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.writelines(pieces)
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
    """Overwrite an existing JSON file in place, for a full disk without room for a second file.

    It takes no new disk space while the content fits into one block. The same write pads the
    content with blanks to the old length. A process that reads meanwhile sees half of it, and
    reads again.
    """
    with path.open("r+b", buffering=0) as file:
        file.write(content.ljust(path.stat().st_size))


def parse_object(content: bytes) -> dict[str, Any]:
    """A JSON object; empty if the content is anything else."""
    try:
        plain = json.loads(content.decode())
    except (ValueError, RecursionError):
        return {}
    return plain if isinstance(plain, dict) else {}


def read_object(path: Path) -> dict[str, Any]:
    """The JSON object in a file; empty if there is none that can be read."""
    try:
        return parse_object(path.read_bytes())
    except OSError:
        return {}


CHANGES = ".changes.lock"
"""Name of the lock file beside a JSON file; the process that changes the file holds it."""
CHANGE_SECONDS = 20.0


def change_object(path: Path, change: Callable[[dict[str, Any]], dict[str, Any]]) -> dict[str, Any]:
    """Apply ``change`` to the JSON object in a file, write the result and return it.

    A lock serialises concurrent changes, from other servers too, so that none is lost. If the
    file does not exist, the object is empty.

    Raises:
        OSError: writing failed, or the lock was not free within ``CHANGE_SECONDS``.
    """
    if not path.parent.is_dir():  # FileLock would create a folder that was just deleted
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
    with FileLock(path.with_name(CHANGES), timeout=CHANGE_SECONDS, poll_interval=0.005):
        changed = change(read_object(path))
        write_atomic(path, json.dumps(changed, ensure_ascii=False).encode("utf-8", "replace"))
    return changed


FULL = ("ENOSPC", "EDQUOT", "EFBIG")
"""Names of the errors of a full disk, an exceeded quota or a file-size limit."""


def remedy(error: OSError) -> str:
    """What to do about a file that could not be written."""
    if error.errno in (getattr(errno, name, None) for name in FULL):
        return "Free some space"
    return "See to it that its folder can be written to"


def changed_at(path: Path) -> float:
    """A file's modification time in seconds since 1970; 0 if the file is gone."""
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


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
    """Remove temporary files of killed writers; only the folder's one writer may call it."""
    for path in folder.glob(".*"):
        if path.is_file():
            path.unlink(missing_ok=True)


LINKED_BYTES = 1_000_000


def link_or_copy(source: Path, target: Path) -> None:
    """Copy a file; one above ``LINKED_BYTES`` becomes a hard link, which takes no disk space.

    Only for files that are replaced as a whole, never modified in place.
    """
    if source.stat().st_size > LINKED_BYTES:
        try:
            os.link(source, target)
        except OSError:  # another disk, or a file system without hard links
            pass
        else:
            return
    temporary = target.with_name(f".{target.name}.copy")
    shutil.copyfile(source, temporary)
    os.replace(temporary, target)


FORMULA = ("=", "+", "-", "@", "\t", "\r", "\0")
"""Characters at which a spreadsheet starts to read a formula (OWASP ASVS 1.2.10)."""


NUMBER = re.compile(r"[-+]?\d+([.,]\d+)*([eE][-+]?\d+)?%?")


def is_formula(text: str) -> bool:
    """Whether a spreadsheet would take a text for a formula; a number is not one."""
    return text.lstrip(" \n\v\f").startswith(FORMULA) and NUMBER.fullmatch(text) is None


def cell(value: object) -> object:
    """A value for a CSV file; text that a spreadsheet would run as a formula gets a ' in front."""
    if isinstance(value, str):
        # Lone surrogates, which UTF-8 cannot encode, become question marks.
        text = value.encode("utf-8", "replace").decode()
        return f"'{text}" if is_formula(text) else text
    if isinstance(value, float) and not math.isfinite(value):
        return ""
    return "" if value is None else value


def write_csv(titles: Sequence[str], rows: Iterable[Sequence[object]]) -> bytes:
    """A CSV file (RFC 4180) in which no text acts as a formula; Excel needs its byte order mark."""
    file = io.StringIO()
    writer = csv.writer(file)
    writer.writerow([cell(title) for title in titles])
    writer.writerows([cell(value) for value in row] for row in rows)
    return codecs.BOM_UTF8 + file.getvalue().encode()
