"""A file field that sends its file in pieces, so that the server never has all of it in memory.

Streamlit's own uploader keeps every file in the server's memory; this field sends a piece only once
the server has stored the previous one.
"""

import base64
import binascii
from collections.abc import Callable
from typing import Any

import streamlit as st

from pages.components.shell.mount import Widget

WIDGET = Widget("file_feed")
MAX_PIECE = 2 << 20
"""Maximum number of characters of a piece in base64; the script sends two thirds of that."""


def file_feed(
    label: str,
    *,
    received: int,
    turn: str,
    max_bytes: int,
    accept: str,
    key: str,
    on_piece: Callable[[], None],
) -> None:
    """Draw the field.

    Args:
        received, turn: number of bytes stored of the file whose pieces carry this turn; the field
            then sends the next piece.
        on_piece: called when a piece has arrived; :func:`piece` returns it.
    """
    WIDGET.draw(
        data={
            "label": label,
            "received": received,
            "turn": turn,
            "max_bytes": max_bytes,
            "accept": accept,
        },
        key=key,
        on_piece_change=on_piece,
    )


def piece(key: str) -> tuple[str, str, int, int, bytes] | None:
    """In the callback: turn, file name, file size, offset of the piece, and its bytes.

    None if the browser's message is invalid.
    """
    state: Any = st.session_state.get(key)
    sent: Any = state.get("piece") if state else None
    try:
        fields = ("turn", "name", "size", "place", "data")
        turn, name, size, place, data = (sent[name] for name in fields)
        if len(data) > MAX_PIECE or not all(isinstance(x, int) and x >= 0 for x in (size, place)):
            return None
        return str(turn), str(name), size, place, base64.b64decode(data, validate=True)
    except (TypeError, KeyError, ValueError, binascii.Error):
        return None
