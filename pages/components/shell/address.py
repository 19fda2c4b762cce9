"""The view in the page's address, so that links, reloads and the back button restore it.

A value goes from the address into session state before its widget is drawn, and back into the
address afterwards.
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
"""Maximum number of characters of a value in the address, which browsers or mail might cut; longer
values are left out."""

NAMES = {"compared card": "compare", "anatomy step": "step", "lesson step": "part"}
"""Key of a widget -> its parameter in the address, if they differ: each of these parameters means
two different things on different pages."""

WHOSE = "page of the address"
"""Key in session state: the page that last wrote the address; empty once another is opened."""

LEFT = "left by the last run"
"""Key in session state: the widgets' values at the end of the last run of the page. Those that
differ at the next run were changed by the user."""


@dataclass
class _Step:
    """What one rerun of a page's script writes.

    stayed: whether the previous rerun was of the same page.
    acted: whether the user typed or chose something since that rerun. If so, an address that
        differs from the last one is outdated, not one that the user navigated to.
    followed: whether the user went back, forward, or to another address.
    """

    page: str
    stayed: bool
    acted: bool
    written: dict[str, str] = field(default_factory=dict)
    followed: bool = False


_step: ContextVar[_Step | None] = ContextVar("step", default=None)


@contextmanager
def together(page: str) -> Iterator[None]:
    """Send all that is written inside this block to the browser as one address, at its end, so that
    one step back undoes one action of the user, without intermediate addresses.
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
        wanted = now  # a new address would delete the browser's forward history
    elif wanted != now:
        st.query_params.from_dict(wanted)
    for key, name in names.items():
        st.session_state[f"address {key}"] = wanted.get(name)
    st.session_state[WHOSE] = step.page
    # A fragment writes only some of the values; the others are from the run of the whole page.
    before = st.session_state.get(LEFT, {}) if step.stayed else {}
    st.session_state[LEFT] = before | {key: st.session_state.get(key) for key in step.written}


def opened(page: str) -> None:
    """At the top of every page: note if the last address was written by another page."""
    if st.session_state.get(WHOSE) != page:
        st.session_state[WHOSE] = ""


def arrived() -> bool:
    """Whether the person has come from another page."""
    step = _step.get()
    return step is not None and not step.stayed


def followed() -> bool:
    """Whether the user went back, forward, or to another address, judged by the values read yet."""
    step = _step.get()
    return step is not None and step.followed


def read(key: str, default: str, options: Container[str] | None = None) -> None:
    """Set a widget's value in session state, before the widget is drawn.

    The value comes from the address if that has changed, else it stays as it was on this page or
    another, else it is the default; also if it is not among the options.

    What the user has just typed or chosen takes precedence over the address: the browser may have
    sent it before it received the last address.
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
    # Assigned even if unchanged: Streamlit would not pass on the value of another page's widget.
    st.session_state[key] = value


def write(key: str, value: str, usual: str = "") -> None:
    """Write a widget's value into the address, after the widget, so that the view can be linked.

    Args:
        usual: the value that is left out of the address.
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
    """A widget that chooses one of a few options; the address has it unless it is the usual one.

    Args:
        widget: such as ``st.radio``; it gets ``looks`` as further arguments.
        options: id -> label.
        usual: the first option by default.
    """
    usual = usual or next(iter(options))
    read(key, usual, options)
    chosen: str = widget(label, list(options), format_func=options.__getitem__, key=key, **looks)
    write(key, chosen, usual)
    return chosen


@dataclass(frozen=True)
class Message:
    """The value that a component should show; a new turn overrides the component's own state."""

    value: str
    turn: int


def receive(key: str, value: str) -> None:
    """In a component's callback: store what the user chose there.

    The address of this run is older than the choice: a quick second choice can arrive before the
    browser has the address of the first.
    """
    st.session_state[key] = st.session_state[f"shown {key}"] = value
    st.session_state[f"address {key}"] = st.query_params.get(key)


def message_to(key: str, component: str) -> Message:
    """The message to a component: a new turn only if it does not show the value already.

    Sending a component a value that it reported earlier would undo what the user did since.
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
    """The state of a component that manages its own view: several values in the address, which page
    and component exchange as one text.

    key: session-state key of the text. component: key of the component.
    fields: name of a value in the component's script -> its session-state key.
    """

    key: str
    component: str
    fields: Mapping[str, str]

    def message(self) -> Message:
        """The message to the component."""
        st.session_state[self.key] = self._joined()
        return message_to(self.key, self.component)

    def store(self, text: str) -> None:
        """In the component's callback: store the values in the text that it sent."""
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
    """A select box over ids and their labels, with its choice in the address.

    An id in a link that is not among the options is reported as missing, never replaced by another;
    the result is None until the user has chosen an option.
    """
    # The box tells options apart by their labels, so labels must be unique.
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
        # With index=None the box can be emptied, which is useful only while nothing is chosen.
        index=None if st.session_state[key] is None else 0,
        format_func=options.__getitem__,
        key=key,
        placeholder="Choose one",
        label_visibility="visible" if label_shown else "collapsed",
    )
    if chosen is not None:
        write(key, chosen)
    return chosen
