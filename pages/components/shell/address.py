"""The view in the address: copied, reloaded or gone back to, it opens the same again.

A value goes from the address into session state before its widget is drawn, and back into the
address after it.
"""

from collections import Counter
from collections.abc import Callable, Container, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlencode

import streamlit as st

from pages.components.shell.text import plain
from transformer.errors import UserError
from transformer.vocabulary.vocabulary import visible

GONE = "It may have been deleted, or belong to another server."

LIMIT = 400
"""Longer values stay out of the address, which browsers and mail programs would cut."""

NAMES = {"compared card": "compare", "anatomy step": "step", "lesson step": "part"}
"""Keys of widgets whose name in the address is another, since two things on pages are called so."""

WHOSE = "page of the address"
"""The page that last wrote the address as a whole; empty as soon as another is opened."""

LEFT = "left by the last run"
"""Where the page's runs left what they wrote: what is another by now, the person has changed."""


@dataclass
class _Step:
    """What one run of a page writes.

    stayed: whether the run before was of the same page.
    acted: whether the person typed or chose something there, so that an address that is not the
        last one is older, not one that they went to.
    followed: whether they went back, forward, or to another address.
    """

    page: str
    stayed: bool
    acted: bool
    written: dict[str, str] = field(default_factory=dict)
    followed: bool = False


_step: ContextVar[_Step | None] = ContextVar("step", default=None)


@contextmanager
def together(page: str) -> Iterator[None]:
    """All that is written inside reaches the browser as one address, at the end: one step back
    undoes one thing the person did, and what lies between was never there to go back to.
    """
    if _step.get() is not None:  # a fragment, in a run of the whole page
        yield
        return
    stayed = st.session_state.get(WHOSE) == page
    step = _Step(page, stayed, acted=stayed and _has_acted())
    token = _step.set(step)
    try:
        yield
    except UserError:
        _send(step)
        raise
    else:
        _send(step)
    finally:
        _step.reset(token)


def _has_acted() -> bool:
    left: dict[str, object] = st.session_state.get(LEFT, {})
    return any(st.session_state.get(key, value) != value for key, value in left.items())


def _send(step: _Step) -> None:
    now = st.query_params.to_dict()
    names = {key: NAMES.get(key, key) for key in step.written}
    wanted = {name: value for name, value in now.items() if name not in names.values()}
    wanted |= {
        names[key]: value for key, value in step.written.items() if value and len(value) <= LIMIT
    }
    if step.followed:
        wanted = now  # a new address would cut off the way forward
    elif wanted != now:
        st.query_params.from_dict(wanted)
    for key, name in names.items():
        st.session_state[f"address {key}"] = wanted.get(name)
    st.session_state[WHOSE] = step.page
    # A fragment writes a part; the rest is as the run of the whole page left it.
    before = st.session_state.get(LEFT, {}) if step.stayed else {}
    st.session_state[LEFT] = before | {key: st.session_state.get(key) for key in step.written}


def opened(page: str) -> None:
    """At the top of every page."""
    if st.session_state.get(WHOSE) != page:
        st.session_state[WHOSE] = ""


def arrived() -> bool:
    """Whether the person has come from another page."""
    step = _step.get()
    return step is not None and not step.stayed


def followed() -> bool:
    """Whether the person went back, forward, or to another address, as far as was read by now."""
    step = _step.get()
    return step is not None and step.followed


def read(key: str, default: str, options: Container[str] | None = None) -> None:
    """Before a widget with this key: its value comes from the address, if that has changed,
    else from what it was, on this page or another, else it is the default, as it is where the
    value is none of the options.

    What a person has just typed or chosen is newer than any address: the browser may have sent
    it before it heard of the last one.
    """
    address, last = st.query_params.get(NAMES.get(key, key)), st.session_state.get(f"address {key}")
    kept = st.session_state.get(f"kept {key}")
    chosen = kept is not None and st.session_state.get(key, kept) != kept
    step = _step.get()
    if step is not None and step.stayed and address != last and not step.acted:
        step.followed = True
        value = default if address is None else address
    elif address is not None and address != last and not chosen and not (step and step.acted):
        value = address
    else:
        value = st.session_state.get(key, st.session_state.get(f"kept {key}", default))
    if options is not None and value not in options:
        value = default
    # Set even if it is there: the value of another page's widget would not pass to this one's.
    st.session_state[key] = value


def write(key: str, value: str, usual: str = "") -> None:
    """After the widget: write its value into the address, so that the view can be linked.

    Args:
        usual: the value that the address leaves out.
    """
    st.session_state[f"kept {key}"] = value
    value = "" if value == usual else value
    if step := _step.get():
        step.written[key] = value
        return
    st.session_state[f"address {key}"] = value
    name = NAMES.get(key, key)
    if value and len(value) <= LIMIT:
        if st.query_params.get(name) != value:
            st.query_params[name] = value
    elif name in st.query_params:
        del st.query_params[name]


def option(
    widget: Callable[..., Any],
    label: str,
    options: Mapping[str, str],
    key: str,
    usual: str = "",
    **looks: Any,
) -> str:
    """A widget over a few options and their labels; the address has what is not the usual one.

    Args:
        widget: such as ``st.radio``; it is given ``looks``, too.
        usual: the first, if left out.
    """
    usual = usual or next(iter(options))
    read(key, usual, options)
    chosen: str = widget(label, list(options), format_func=options.__getitem__, key=key, **looks)
    write(key, chosen, usual)
    return chosen


@dataclass(frozen=True)
class Message:
    """What a component that keeps its own choice is told to show; a new turn overrides it."""

    value: str
    turn: int


def receive(key: str, value: str) -> None:
    """In a component's callback: keep what the person chose there.

    The address this run came with is older than that: a quick second choice can be here
    before the browser has heard of the first.
    """
    st.session_state[key] = st.session_state[f"shown {key}"] = value
    st.session_state[f"address {key}"] = st.query_params.get(key)


def message_to(key: str, component: str) -> Message:
    """What to tell the component: something new only where it does not show the value already.

    Telling a component what it reported before would undo what the person did since.
    """
    value: str = st.session_state[key]
    message = st.session_state.get(f"told {key}", Message("", 0))
    if component not in st.session_state or value != st.session_state.get(f"shown {key}"):
        message = Message(value, message.turn + 1)
        st.session_state[f"told {key}"] = message
        st.session_state[f"shown {key}"] = value
    return message


@dataclass(frozen=True)
class Place:
    """Where a person is in a component that keeps that itself: several values in the address, and
    one text of them all, which page and component tell each other.

    key: of the text. component: the component's own key.
    fields: the keys of the values, by what its script calls them.
    """

    key: str
    component: str
    fields: Mapping[str, str]

    def tell(self) -> Message:
        """What to tell the component."""
        st.session_state[self.key] = self._joined()
        return message_to(self.key, self.component)

    def take(self, text: str) -> None:
        """In the component's callback: the person has moved."""
        given = dict(parse_qsl(text))
        for name, key in self.fields.items():
            receive(key, given.get(name, ""))
        receive(self.key, self._joined())

    def _joined(self) -> str:
        values = {name: st.session_state[key] for name, key in self.fields.items()}
        return urlencode({name: value for name, value in values.items() if value})


def choose(
    label: str,
    options: dict[str, str],
    key: str,
    why_gone: str = GONE,
    *,
    label_shown: bool = True,
) -> str | None:
    """A select box over ids and their labels, its choice in the address.

    An id that a link names and that is not there is named as missing, never replaced by
    another; None until the person has chosen one that is.
    """
    # The box tells options apart by their labels, so each must be one of its kind.
    count = Counter(options.values())
    options = {
        name: visible(text if count[text] == 1 else f"{text} [{name}]")
        for name, text in options.items()
    }
    wanted = st.session_state[key]
    if wanted not in options:
        if wanted:
            st.warning(
                f"The {label.lower()} {plain(str(wanted)[:60])} is not here. {why_gone} Choose one "
                "that is."
            )
        st.session_state[key] = None
    chosen = st.selectbox(
        label,
        list(options),
        # Without an index the box can be emptied; that is of use only while nothing is chosen.
        index=None if st.session_state[key] is None else 0,
        format_func=options.__getitem__,
        key=key,
        placeholder="Choose one",
        label_visibility="visible" if label_shown else "collapsed",
    )
    if chosen is not None:
        write(key, chosen)
    return chosen
