"""The trust strip: checks of the very weights on screen, with their evidence."""

import html

import streamlit as st

from pages.components.attention.sides import Shown
from pages.components.shell.text import plain


def trust_strip(sides: list[Shown]) -> None:
    """One line a side: what was checked, and to how many digits it holds."""
    for shown in sides:
        checks = shown.checks
        items = "".join(
            f"<li><span aria-hidden='true'>{'✓' if check.ok else '✗'}</span> "
            f"<strong>{'' if check.ok else 'Not so: '}{html.escape(check.name)}</strong> "
            f"({html.escape(check.detail)})</li>"
            for check in checks
        )
        if len(sides) > 1:
            st.markdown(f"Checked for **{plain(shown.label)}**:")
        label = f"Checked for {shown.label}" if len(sides) > 1 else "Checked for these maps"
        st.html(f"<ul class='trust' aria-label='{html.escape(label)}'>{items}</ul>")
        if not all(check.ok for check in checks):
            st.warning("A check fails: do not trust these maps.")
