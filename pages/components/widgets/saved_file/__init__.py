"""A file that is sent with the page and saved by the browser at once.

Streamlit's own files wait on the server until they are fetched, and are dropped if enough else is
drawn there in the meantime: in a class, a click sometimes gave no file.
"""

from collections.abc import Callable

from pages.components.shell.mount import Widget, pack

WIDGET = Widget("saved_file")


def saved_file(
    content: bytes, name: str, kind: str, *, number: str, on_saved: Callable[[], None], key: str
) -> None:
    """Send a file for the browser to save, once for each ``number``.

    Args:
        kind: the file's MIME type.
        on_saved: called when the browser has the file; until then, draw it again.
    """
    header = {"number": number, "name": name, "type": kind, "size": len(content)}
    WIDGET.draw(data=pack(header, []) + content, key=key, on_saved_change=on_saved)
