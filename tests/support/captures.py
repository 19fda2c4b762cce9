"""Helpers that take captures apart and change them."""

import json
import struct
from collections.abc import Callable
from typing import Any

from transformer.doctor.recording import CAPTURE_KEY

Change = Callable[[dict[str, Any], dict[str, Any]], object]


def parts(content: bytes) -> tuple[dict[str, Any], dict[str, Any], bytes]:
    """A capture's header, its description, and the bytes of its tensors."""
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    return header, json.loads(header["__metadata__"][CAPTURE_KEY]), content[8 + size :]


def joined(header: dict[str, Any], about: dict[str, Any] | str, data: bytes) -> bytes:
    """The inverse of :func:`parts`; a description given as text is written unchanged."""
    if "__metadata__" in header:
        text = about if isinstance(about, str) else json.dumps(about)
        header["__metadata__"] = {CAPTURE_KEY: text}
    whole = json.dumps(header).encode()
    return struct.pack("<Q", len(whole)) + whole + data


def changed(content: bytes, change: Change) -> bytes:
    """The capture with its header and description changed."""
    header, about, data = parts(content)
    change(header, about)
    return joined(header, about, data)
