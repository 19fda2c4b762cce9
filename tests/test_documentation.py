"""README and docs/: the README is short, and all files and names in them exist."""

import argparse
import re
from pathlib import Path

import pytest

from transformer.__main__ import GROUPS

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
CHAPTERS = sorted((ROOT / "docs").glob("*.md"))
LINK = re.compile(r"""\]\(([^)\s]+)\)|src="([^"]+)\"""")
PLACE = re.compile(r"`((?:transformer|pages|tests|benchmarks|docs|checkpoints)/[\w./-]*)`")
"""A file or folder of the repository, in backticks."""
NAME_IN_FILE = re.compile(rf"`(\w+)`\s+(?:in|of)\s+{PLACE.pattern}")
"""A name and its file: `NAME` in `path/file.py`."""


def test_the_readme_is_short_and_links_every_chapter() -> None:
    text = README.read_text("utf-8")
    assert len(text.splitlines()) <= 200
    assert len(CHAPTERS) >= 8
    for chapter in CHAPTERS:
        assert f"(docs/{chapter.name})" in text


@pytest.mark.parametrize("page", [README, *CHAPTERS], ids=lambda path: path.name)
def test_what_is_linked_and_named_is_there(page: Path) -> None:
    text = page.read_text("utf-8")
    links = [one or other for one, other in LINK.findall(text)]
    for link in links:
        if not link.startswith(("https://", "http://localhost", "#")):
            assert (page.parent / link.split("#")[0]).exists(), link
    for place in PLACE.findall(text):
        assert (ROOT / place).exists(), place
    for name, place in NAME_IN_FILE.findall(text):
        if (ROOT / place).is_file():
            assert re.search(rf"\b{name}\b", (ROOT / place).read_text("utf-8")), (name, place)


def test_the_readme_says_why_each_package_is_needed() -> None:
    text = README.read_text("utf-8")
    for line in (ROOT / "requirements.txt").read_text().splitlines():
        if name := re.match(r"[\w-]+", line):
            assert f"| {name.group()} |" in text


def test_every_command_has_its_row() -> None:
    parser = argparse.ArgumentParser()
    commands = parser.add_subparsers()
    for group in GROUPS:
        group.add_commands(commands)
    assert len(commands.choices) >= 14
    chapter = (ROOT / "docs" / "command-line.md").read_text("utf-8")
    for name in commands.choices:
        assert re.search(rf"^\| .*`{name}`.* \|", chapter, re.MULTILINE), name
