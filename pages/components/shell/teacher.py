"""Help for teachers: exercises for a class, one server for all, and handing in."""

import streamlit as st

from pages.components.shell.mount import Widget

EXERCISE_LINE = Widget("exercise_line", ("clipboard",))


def for_teachers() -> None:
    """Draw the help, in the sidebar of every page."""
    with st.popover("For teachers", icon=":material/school:", type="tertiary"):
        st.markdown(
            "**Exercises.** Write a list `exercises.md` in the folder in which the app was started "
            "(or name a file in `WORKBENCH_EXERCISES`): it comes first on everyone's Overview. "
            "Each exercise is one line, a link and a question; with headings and text between "
            "them, the list becomes a lesson on the Learn page. The line for the view that is open "
            "here:"
        )
        EXERCISE_LINE.draw(key="exercise line")
        st.markdown(
            "**A class on one server.** If the app is started with `WORKBENCH_MODE=class`, each "
            "person controls only their own runs, and runs that cannot train yet wait in line.\n\n"
            "**Handing in.** *Hand in*, the last tab of a run that has ended, gives one HTML page. "
            "Drop all these pages on Runs, *Pages that were handed in*: they become a table.\n\n"
            "More is in the file `docs/a-class.md`."
        )
