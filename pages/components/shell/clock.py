"""Times in the browser's time zone, which may differ from the server's."""

import time
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import streamlit as st


def _zone() -> tzinfo | None:
    """The browser's time zone; None, meaning the server's, if the browser does not report one."""
    name, minutes = st.context.timezone, st.context.timezone_offset
    try:
        if name:
            return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        pass  # no time zone database on this machine
    return None if minutes is None else timezone(timedelta(minutes=-minutes))


def when(seconds: float) -> str:
    """A time in words: "14:32" today, else "27 Nov, 14:32"; with the year unless it is this one.

    Args:
        seconds: since 1970; 0 means unknown and gives "".
    """
    if not seconds:
        return ""
    zone = _zone()
    moment, today = (
        datetime.fromtimestamp(value, UTC).astimezone(zone) for value in (seconds, time.time())
    )
    if moment.date() == today.date():
        return f"{moment:%H:%M}"
    year = "" if moment.year == today.year else f" {moment.year}"
    return f"{moment.day} {moment:%b}{year}, {moment:%H:%M}"
