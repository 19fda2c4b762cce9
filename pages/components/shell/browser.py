"""Identifies a browser by a random token in a cookie, and decides which runs are its own.

The server never stores the token: a run directory holds its hash.
"""

import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Callable, Iterable
from urllib.parse import unquote

import streamlit as st

from pages.components.shell.mount import Widget
from transformer.config.limits import Limits
from transformer.errors import RunError
from transformer.runs.directory import Run, runs_in

TOKEN_COOKIE, NAME_COOKIE = "workbench", "workbench-name"
MAX_NAME_LENGTH = 60
NAME_KEY = "author name"
"""Key in session state: the user's name, once it was given in this session."""
COOKIE_NAME_KEY = "author name in the cookie"
"""Key in session state: the user's name in the cookie when the session began; cached, because
reading a cookie parses all."""
TOKEN_PATTERN = re.compile("[0-9a-f]{32}")
TOKEN_KEY = "browser token"
OWNER_KEY = "browser owner"
"""Keys in session state: the token that the page reported, and the hash of the browser's token."""
NEW_BROWSER_SECONDS = 3600.0


def _token_in_cookie() -> str | None:
    """The token in the cookie that came with this session's connection."""
    cookie: object = st.context.cookies.get(TOKEN_COOKIE)
    return cookie if isinstance(cookie, str) and TOKEN_PATTERN.fullmatch(cookie) else None


def _token() -> str:
    """The token in the cookie; at the first visit, one that the page is about to store there."""
    reported = getattr(st.session_state.get(TOKEN_KEY), "token", None)
    if isinstance(reported, str) and TOKEN_PATTERN.fullmatch(reported):
        return reported
    proposed: str = st.session_state.setdefault("proposed token", secrets.token_hex(16))
    return _token_in_cookie() or proposed


def write_cookies() -> None:
    """Store the token, and the user's name if given, in the browser; draws nothing visible."""
    given = st.session_state.get(NAME_KEY)
    if _token_in_cookie() is None or given is not None:
        Widget("browser_token").draw(
            data={"token": _token(), "name": given}, key=TOKEN_KEY, on_token_change=lambda: None
        )


def user_name() -> str:
    """The name of this browser's user; empty if none was given."""
    given = st.session_state.get(NAME_KEY)
    if given is None and (given := st.session_state.get(COOKIE_NAME_KEY)) is None:
        given = unquote(str(st.context.cookies.get(NAME_COOKIE) or ""))
        st.session_state[COOKIE_NAME_KEY] = given
    return _one_line(str(given))


def set_user_name(name: str) -> None:
    """Keep the user's name in this browser, for all runs that it starts from now on."""
    st.session_state[NAME_KEY] = _one_line(name)


def user_name_field(label: str, key: str) -> str:
    """A field for the user's name, with the same value as every other such field."""
    # Set only if it differs, because setting it would replace what is being typed.
    if _one_line(str(st.session_state.get(key, ""))) != user_name():
        st.session_state[key] = user_name()
    return st.text_input(
        label,
        max_chars=MAX_NAME_LENGTH,
        key=key,
        on_change=lambda: set_user_name(st.session_state[key]),
    )


def _one_line(name: str) -> str:
    return " ".join(name.split())[:MAX_NAME_LENGTH]


def owner() -> str:
    """The hash of this browser's token, by which its runs are recognised."""
    # Cached for each token: reading a cookie parses all, and a page asks for every run.
    reported = getattr(st.session_state.get(TOKEN_KEY), "token", None)
    known: tuple[object, str] | None = st.session_state.get(OWNER_KEY)
    if known is None or known[0] != reported:
        known = reported, hashlib.sha256(_token().encode()).hexdigest()
        st.session_state[OWNER_KEY] = known
    return known[1]


@st.cache_resource
def _new_browsers() -> dict[str, dict[str, float]]:
    """Network address -> hash of a browser that started a run lately -> when it first did."""
    return {}


def admit_owner() -> str:
    """The hash of this browser, which is about to start a run.

    A user who deletes the cookie counts as a new browser, so the number of new browsers for each
    network address is limited.

    Raises:
        RunError: too many browsers of this address are new.
    """
    limits, mine = Limits.from_environment(), owner()
    most = limits.browsers_per_address
    if not limits.owned or not most:
        return mine
    address = st.context.ip_address or "this machine"
    now = time.monotonic()
    recent = {
        name: then
        for name, then in _new_browsers().get(address, {}).items()
        if now - then < NEW_BROWSER_SECONDS
    }
    full = mine not in recent and len(recent) >= most
    if full and not any(run.about()["owner"] == mine for run in runs_in()):
        raise RunError(
            f"{most} new browsers have started runs from this network address within the last "
            "hour, the most allowed here. Use the browser that you used before, or try again later."
        )
    recent.setdefault(mine, now)
    _new_browsers()[address] = recent
    return mine


def owns(*hashes: str) -> bool:
    """Whether one of the owners' hashes is this browser's; without owners, everything is."""
    return owner_check()(*hashes)


def owner_check() -> Callable[..., bool]:
    """:func:`owns` for many things: the browser's hash is looked up only once."""
    if not Limits.from_environment().owned:
        return lambda *hashes: True
    mine = owner().encode()
    return lambda *hashes: any(hmac.compare_digest(known.encode(), mine) for known in hashes)


def may_control(run: Run) -> bool:
    """Whether this browser may pause, stop, change or delete the run."""
    return owns(run.about()["owner"])


def may_see(run: Run) -> bool:
    """Whether this browser may look at the run: in a class, own pairs are private unless shared."""
    return bool(visible_runs([run]))


def visible_runs(found: Iterable[Run]) -> list[Run]:
    """Those of the given runs that this browser may look at."""
    is_mine = owner_check()
    return [
        run
        for run in found
        if run.data_file is None or run.about()["shared"] or is_mine(run.about()["owner"])
    ]
