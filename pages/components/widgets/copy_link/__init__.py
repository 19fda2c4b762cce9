"""Addresses to copy: a button each, which works from the keyboard and says that it has."""

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
