"""Uploads on the Checkpoints page: accepted files, refused files, and the page afterwards."""

import io
import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from playwright.sync_api import Page, expect

from tests.attacks.bombs import bytearray_of_3_gib
from tests.attacks.gadgets import FORMS, GADGETS
from tests.browser.conftest import NewPage
from tests.support.places import bundled_file
from tests.support.server import Server, running_server, settle, upload

NAME = "model\u202egpj.pt"
"""A name that a screen would show as "modeltp.jpg"."""


def open_page(new_page: NewPage, server: Server, **looks: object) -> Page:
    page = new_page(**looks)
    page.goto(f"{server.url}/checkpoints?checkpoint=sort")
    settle(page)
    return page


def assert_usable(page: Page) -> None:
    """Check that the chosen checkpoint is still shown, and that a valid file is still accepted."""
    expect(page.get_by_role("combobox", name="Checkpoint")).to_have_value(
        re.compile("^Sort letters")
    )
    expect(page.get_by_role("radiogroup", name="More about this checkpoint")).to_be_visible()
    upload(page, "mine.safetensors", bundled_file("reverse").read_bytes())
    expect(page.get_by_role("combobox", name="Checkpoint")).to_have_value(
        re.compile("^mine\\.safetensors · .*uploaded")
    )
    expect(page.get_by_test_id("stAlert")).to_contain_text("is here and chosen")
    expect(page.get_by_test_id("stAlert")).to_contain_text("It reads")


def zip_bomb() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", "{}")
        archive.writestr("model.safetensors", bytes(50_000_000))
    return buffer.getvalue()


def climbing_zip() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("config.json", "{}")
        archive.writestr("../../app.py", "print('mine')")
    return buffer.getvalue()


def test_our_own_file_comes_in_and_answers(server: Server, new_page: NewPage) -> None:
    page = open_page(new_page, server)
    upload(page, "mine.bin", bundled_file("reverse").read_bytes())  # any name will do
    expect(page.get_by_role("combobox", name="Checkpoint")).to_have_value(
        re.compile("^mine\\.bin · .*uploaded")
    )
    told = page.get_by_test_id("stAlert")
    expect(told).to_have_count(1)
    reads, writes = (told.locator("code").nth(n).inner_text() for n in range(2))
    assert writes == reads[::-1]
    expect(page.get_by_role("heading", name="Reverse")).to_be_visible()


# tests/attacks tests every file format with every gadget.
@pytest.mark.parametrize("form", ["zip", pytest.param("legacy", marks=pytest.mark.long)])
def test_a_file_that_would_run_a_program_does_not(
    form: str, server: Server, new_page: NewPage, tmp_path: Path
) -> None:
    canary = tmp_path / "canary"
    page = open_page(new_page, server)
    upload(page, NAME, FORMS[form](GADGETS["os.system"](canary)))
    told = page.get_by_test_id("stAlert")
    expect(told).to_have_count(1)
    expect(told).to_contain_text("was not taken. The file holds more than tensors (posix.system)")
    expect(told).to_contain_text("modelU+202Egpj.pt")
    assert "weights_only" not in told.inner_text()
    assert not canary.exists()
    assert_usable(page)


def test_other_files_are_named_and_refused(server: Server, new_page: NewPage) -> None:
    good = bundled_file("reverse").read_bytes()
    flipped = bytearray(good)
    flipped[-2] ^= 1
    length = int.from_bytes(good[:8], "little")
    header = json.loads(good[8 : 8 + length])
    description = json.loads(header["__metadata__"]["workbench"])
    description["config"]["d_model"] = 10**9
    header["__metadata__"]["workbench"] = json.dumps(description)
    huge = json.dumps(header).encode()
    files = {
        "bomb.pt": (bytearray_of_3_gib(), "more memory than its own size"),
        "opus-mt.zip": (zip_bomb(), "more than 100 times"),
        "climbing.zip": (climbing_zip(), "points outside the archive"),
        "notes.pt": (b"source\ttarget\nhello\tworld\n", "This is a text file. Taken are"),
        "flipped.safetensors": (bytes(flipped), "checksum does not match"),
        "cut.safetensors": (good[:-1000], "cut off"),
        "huge.safetensors": (len(huge).to_bytes(8, "little") + huge, "d_model = 1000000000"),
        "empty.ckpt": (b"", "an empty file"),
    }
    arriving = server.folder / "runs" / "uploads" / "arriving"
    before = set(arriving.glob("*"))  # uploads of unfinished forms
    page = open_page(new_page, server)
    for name, (content, sentence) in files.items():
        upload(page, name, content)
        told = page.get_by_test_id("stAlert")
        expect(told).to_contain_text(f"{name} was not taken.")
        expect(told).to_contain_text(sentence)
        expect(told).to_have_count(1)
    assert set(arriving.glob("*")) <= before
    assert_usable(page)


@pytest.fixture(scope="module")
def demo_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_server(tmp_path_factory.mktemp("demo"), WORKBENCH_MODE="demo") as running:
        yield running


def test_a_public_demo_takes_our_own_files_alone(demo_server: Server, new_page: NewPage) -> None:
    page = open_page(new_page, demo_server)
    page.get_by_role("button", name="Help for Bring a model").hover()
    expect(page.get_by_text("Up to 64 MB.")).to_be_visible()
    weights = io.BytesIO()
    torch.save({"weight": torch.zeros(4)}, weights)
    upload(page, "model.pt", weights.getvalue())
    expect(page.get_by_test_id("stAlert")).to_contain_text("run the app on your own machine")
    assert_usable(page)
