"""What every page has: its title, the navigation, and a place where errors end."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import streamlit as st

from pages.components.shell import address, browser, session
from pages.components.shell.text import plain
from transformer.errors import UserError

PAGES = (
    ("app.py", "Overview", ":material/home:"),
    ("pages/train.py", "Train", ":material/show_chart:"),
    ("pages/runs.py", "Runs", ":material/history:"),
    ("pages/attention.py", "Attention", ":material/grid_on:"),
    ("pages/decode.py", "Decode", ":material/format_list_numbered:"),
    ("pages/checkpoints.py", "Checkpoints", ":material/inventory_2:"),
)
STYLE = """
<style>
  .block-container { padding-top: 2.5rem; padding-bottom: 3rem; max-width: 1240px; }
  h1 { font-size: 2rem !important; }
  h2 { font-size: 1.35rem !important; }
  [data-testid="stMarkdownContainer"] code { font-size: 1em; font-weight: 600; }
  /* As high as the picture that comes, so that nothing jumps when it does. */
  .st-key-live-answer { min-height: 40rem; }
  h3 { font-size: 1.1rem !important; }
  /* The dark theme's primary colour carries white text; as text itself it is too dark. */
  [data-testid="stButtonGroup"] button[data-selected="true"] p,
  [data-testid="stSliderThumbValue"] p { color: light-dark(#0b57d0, #8ab8ff); }
</style>
"""


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
    with st.sidebar:
        st.markdown("**Transformer Workbench**")
        for page, label, icon in PAGES:
            st.page_link(page, label=label, icon=icon)
    st.title(title)
    st.markdown(subtitle)
    address.opened(title)
    browser.remember()
    with errors_shown():
        yield
    # Last, so that importing torch does not hold up the first paint.
    session.warm_up()


@contextmanager
def errors_shown() -> Iterator[None]:
    """What goes wrong inside is shown in its place; fragments need one of their own."""
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
    """Show what a person got wrong, in the error's own words."""
    st.error(plain(str(error)), icon=":material/error:")
