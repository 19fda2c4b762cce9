"""Folders that delete their oldest entries when they are full."""

import os
import time
from pathlib import Path

from pages.components.stores.bounded import BoundedFolder


def write(folder: Path, name: str, age: float = 0.0, size: int = 1) -> Path:
    path = folder / name
    path.write_bytes(b"x" * size)
    os.utime(path, (time.time() - age,) * 2)
    return path


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_oldest_go_with_what_stands_beside_them_and_others_stay(tmp_path: Path) -> None:
    for age, name in enumerate("abc"):
        write(tmp_path, f"{name}.data", 10 * age)
        write(tmp_path, f"{name}.json", 10 * age)
    write(tmp_path, "other", 1000)
    BoundedFolder(tmp_path, "*.data", most=2).make_room()
    assert names(tmp_path) == ["a.data", "a.json", "b.data", "b.json", "other"]


def test_the_newest_stays_however_large_and_one_to_come_counts(tmp_path: Path) -> None:
    folder = BoundedFolder(tmp_path, "*", most_bytes=10)
    write(tmp_path, "new", 0, 50)
    write(tmp_path, "old", 10, 1)
    folder.make_room()
    assert names(tmp_path) == ["new"]
    folder.make_room(incoming_bytes=1)
    assert names(tmp_path) == []
    write(tmp_path, "small", 0, 1)
    folder.make_room(incoming_bytes=9)
    assert [path.name for path in folder.entries()] == ["small"]


def test_folders_count_with_their_files_and_age_removes(tmp_path: Path) -> None:
    for age, name in enumerate(("new", "old")):
        inside = tmp_path / name
        inside.mkdir()
        write(inside, "file", 0, 6)
        os.utime(inside, (time.time() - 100 * age,) * 2)
    BoundedFolder(tmp_path, "*", most_bytes=12, most_seconds=1000).make_room()
    assert names(tmp_path) == ["new", "old"]
    BoundedFolder(tmp_path, "*", most_seconds=50).make_room()
    assert names(tmp_path) == ["new"]
