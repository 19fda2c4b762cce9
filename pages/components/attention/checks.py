"""Checks of the weights on screen, with their evidence, behind one button."""

import html

import streamlit as st

from pages.components.attention.inspected_input import InspectedInput
from pages.components.shell.text import plain


def trust(sides: list[InspectedInput]) -> None:
    """Draw a button that says whether all checks hold, and opens them with their evidence."""
    sound = all(check.ok for inspected in sides for check in inspected.checks)
    count = sum(len(inspected.checks) for inspected in sides)
    with st.popover(f"✓ {count} checks" if sound else "✗ A check fails", key="checks"):
        for inspected in sides:
            if len(sides) > 1:
                st.markdown(f"Checked for **{plain(inspected.label)}**:")
            items = "".join(
                f"<li><span aria-hidden='true'>{'✓' if check.ok else '✗'}</span> "
                f"<strong>{'' if check.ok else 'Not so: '}{html.escape(check.name)}</strong> "
                f"({html.escape(check.detail)})</li>"
                for check in inspected.checks
            )
            label = f"Checked for {inspected.label}" if len(sides) > 1 else "Checked for these maps"
            st.html(f"<ul class='trust' aria-label='{html.escape(label)}'>{items}</ul>")
    if not sound:
        st.warning("A check fails: do not trust these maps.")
