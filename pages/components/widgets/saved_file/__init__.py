"""A file for the browser to save at once, which comes with the page.

Streamlit's own files lie on the server until they are fetched, and are gone if enough else is drawn
there in the meantime: in a class, now and then, a click brought none.
"""

from collections.abc import Callable

from pages.components.shell.mount import Widget, pack

WIDGET = Widget("saved_file")


def saved_file(
    content: bytes, name: str, kind: str, *, number: str, on_saved: Callable[[], None], key: str
) -> None:
    """Have it saved, once for each number.

    Args:
        kind: its MIME type.
        on_saved: called when the browser has it; until then, draw it again.
    """
    header = {"number": number, "name": name, "type": kind, "size": len(content)}
    WIDGET.draw(data=pack(header, []) + content, key=key, on_saved_change=on_saved)
