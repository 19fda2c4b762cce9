"""Buttons that copy addresses; they work with the keyboard and confirm the copy."""

from collections.abc import Mapping

from pages.components.shell.mount import Widget

WIDGET = Widget("copy_link", ("clipboard",))


def copy_link(links: Mapping[str, Mapping[str, str]], *, key: str) -> None:
    """Draw the buttons.

    Args:
        links: label -> query parameters of this page.
    """
    data = [{"label": label, "query": dict(query)} for label, query in links.items()]
    WIDGET.draw(data={"links": data}, key=key)
