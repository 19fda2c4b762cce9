"""Texts that a screen would show as something else, or as markup."""

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
"""Single characters that are invisible by themselves."""
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
"""Characters that no screen may show as they are. Without the new line, which our texts have."""
