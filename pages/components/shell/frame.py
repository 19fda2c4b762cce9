"""The frame of every page: title, sidebar, and error messages."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import streamlit as st

from pages.components.shell import address, browser, current, exercise, session, sidebar, tour
from pages.components.shell.mount import Widget
from pages.components.shell.text import plain
from transformer.config.names import on_screen
from transformer.errors import ConfigError, UserError

STYLE = f"<style>{Path(__file__).with_name('style.css').read_text('utf-8')}</style>"
"""Style sheet of all pages, inserted once per page, so that panels need none."""


@contextmanager
def frame(title: str, subtitle: str) -> Iterator[None]:
    """Every page stands inside this block: ``with frame("Train", "..."):``.

    A UserError becomes its own sentence; anything else becomes an apology on the page and a
    traceback in the terminal.
    """
    st.set_page_config(
        page_title=f"{title} · Transformer Workbench",
        page_icon="🔧",
        layout="wide",
        initial_sidebar_state=230,
    )
    st.html(STYLE)
    current.restore()
    sidebar.take_choice()
    beside = sidebar.Sidebar(title)
    with st.container(horizontal=True, vertical_alignment="bottom", key="page-title"):
        st.title(title, width="content")
        if subtitle:
            st.markdown(subtitle, width="content")
    address.opened(title)
    tour.strip("Overview" if title == "Transformer Workbench" else title)
    exercise.banner()
    with st.container(key="unseen"):
        Widget("history_entries").draw(key="history entries")
        browser.write_cookies()
    with errors_shown():
        yield
    beside.update()
    current.remember()
    # Last, so that importing torch does not hold up the first paint.
    session.warm_up()


@contextmanager
def errors_shown() -> Iterator[None]:
    """Show errors raised inside this block where it stands; a fragment needs its own block."""
    try:
        yield
    except UserError as error:
        problem(error)
    except Exception:
        logging.getLogger(__name__).exception("A page failed")
        st.error(
            "Something went wrong here, and it is our fault. Nothing you made is lost; reload "
            "the page to go on. The terminal in which the app runs says more."
        )


def problem(error: UserError) -> None:
    """Show a user's mistake, in the error's own words."""
    st.error(plain(sentence_of(error)), icon=":material/error:")


def sentence_of(error: UserError) -> str:
    """The error's message, with settings named as their fields on the page."""
    return on_screen(str(error)) if isinstance(error, ConfigError) else str(error)
