"""Texts that would not show as what they are, or as more than text."""

MARKS = {
    "a bell": "\x07",
    "a NUL": "\0",
    "an escape": "\x1b",
    "a new line": "\n",
    "a tab": "\t",
    "delete": "\x7f",
    "right to left": "\u202e",
    "an isolate": "\u2067",
    "no width": "\u200b",
    "a line separator": "\u2028",
}
"""Single characters, none of which is seen by itself."""
WORDS = {
    "a script": "<script>alert(1)</script>",
    "a tag": "<s>",
    "an entity": "&lt;b&gt;",
    "a picture": "![](https://evil.example/x)",
    "an address": "www.evil.example",
    "bold": "**bold**",
    "a directive": ":material/delete:",
    "a formula": "=1+1",
    "turned round": "abc\u202egpj.exe",
    "a thousand letters": "x" * 1000,
}
HIDDEN = frozenset("".join(MARKS.values())) - {"\n"} | {"\u202e"}
"""What must be on no screen as it is. A new line stands in our own texts too."""
