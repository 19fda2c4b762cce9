"""Widgets without Streamlit: one HTML file that works without any server."""

import base64
import html
from collections.abc import Sequence

from pages.components.shell.mount import SHARED
from transformer.vocabulary.vocabulary import visible

STYLE = (SHARED / "offline.css").read_text("utf-8")
PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none';
  script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:">
<title>{title}</title>
<style>
{style}
</style>
</head>
<body>
<h1>{title}</h1>
{body}
<script>
const carried = Uint8Array.from(atob("{data}"), (letter) => letter.charCodeAt(0));
</script>
{scripts}
</body>
</html>
"""


def offline_page(title: str, body: str, style: str, scripts: Sequence[str], data: bytes) -> bytes:
    """The HTML file.

    Args:
        title: text, which is escaped here. body: HTML. style: CSS beside the page's own.
        scripts: in their order; they find ``data`` as ``carried``, an array of bytes.
    """
    page = PAGE.format(
        title=html.escape(visible(title)),
        style=STYLE + style,
        body=body,
        data=base64.b64encode(data).decode(),
        scripts="\n".join(f"<script>\n{script}\n</script>" for script in scripts),
    )
    return page.encode("utf-8", "backslashreplace")
