"""Each bomb is refused in one sentence, quickly, and without taking the server's memory."""

import os
from pathlib import Path

import pytest
import torch

from tests.attacks.bombs import BOMBS
from tests.support.checkpoint_files import MEGABYTE, assert_sentence, little_memory
from transformer.checkpoint import Checkpoint
from transformer.errors import CheckpointError
from transformer.interop.files.archives import Archive
from transformer.interop.files.state_dicts import read_state_dict
from transformer.interop.formats import recognise

MOST_SECONDS = 30
SAMPLE = (
    *("packed tensors", "a bytearray of 3 GiB", "10^12 paths", "a storage of 3 GiB"),
    *("one tensor under thousands of names", "members on top of each other", "60,000 members"),
    *("a member larger than it says", "a header of a million lists", "55,000 empty tensors"),
)


def open_it(path: Path) -> None:
    """Open a file as the app does: by its format."""
    found = recognise(path)
    if found.name == "state-dict":
        read_state_dict(path)
    elif found.name == "own":
        Checkpoint.load(path)
    else:
        with Archive(path) as archive:
            archive.read("config.json", 1_000_000)


def processor_seconds() -> float:
    """Processor time of this process and its ended children, whatever other processes do."""
    return sum(os.times()[:4])


def assert_defused(name: str, folder: Path) -> None:
    path = folder / "bomb"
    path.write_bytes(BOMBS[name]())
    started = processor_seconds()
    with little_memory(100 * MEGABYTE), pytest.raises(CheckpointError) as caught:
        open_it(path)
    assert processor_seconds() - started < MOST_SECONDS
    assert_sentence(caught.value)


@pytest.mark.parametrize("name", SAMPLE)
def test_a_bomb_is_refused(name: str, tmp_path: Path) -> None:
    assert_defused(name, tmp_path)


@pytest.mark.long
@pytest.mark.parametrize("name", BOMBS)
def test_every_bomb_is_refused(name: str, tmp_path: Path) -> None:
    assert_defused(name, tmp_path)


def test_a_large_sound_file_is_no_bomb(tmp_path: Path) -> None:
    """The limits admit a real file: 24 MB of 16-bit weights."""
    path = tmp_path / "model.pt"
    weights = torch.randn(40, 300_000).half()
    torch.save({"model": dict(enumerate(weights)) | {"weight": weights}}, path)
    found = read_state_dict(path)
    assert found.keys() == {"weight"}
    assert torch.equal(found["weight"], weights.float())
