"""For teachers: how a class gets its exercises, where it works, and how it hands in."""

from urllib.parse import urlencode

import streamlit as st

EXAMPLE_QUESTION = "What do you see, and why?"


def for_teachers(page: str) -> None:
    """In the sidebar, on every page.

    Args:
        page: its name in an address; empty for the Overview.
    """
    with st.popover("For teachers", icon=":material/school:", type="tertiary"):
        st.markdown(
            "**Exercises.** Write a list `exercises.md` in the folder in which the app was started "
            "(or name a file in `WORKBENCH_EXERCISES`): it stands first on everyone's Overview. An "
            "exercise is a link and a question, one a line; headings and words between them make a "
            "lesson of it, on the Learn page. The line for the view that is open here:"
        )
        st.code(exercise_line(page, st.query_params.to_dict()), language=None, wrap_lines=True)
        st.markdown(
            "**A class on one server.** Started with `WORKBENCH_MODE=class`, everyone has runs of "
            "their own, and those that cannot train yet wait in line.\n\n"
            "**Handing in.** *Hand in*, the last tab of a run that has ended, gives one HTML page. "
            "Drop all of them on Runs, *Pages that were handed in*, and they become a table.\n\n"
            "All of it stands in `docs/a-class.md`."
        )


def exercise_line(page: str, query: dict[str, str]) -> str:
    """A line of the list, with the address of a view; ``shared.lessons`` reads it."""
    address = f"{page}?{urlencode(query)}".rstrip("?")  # in which no bracket ends the link
    return f"- [Title]({address or '/'}): {EXAMPLE_QUESTION}"
