"""The large map of the attention explorer: where it stands, and where its cursor goes."""

import re
from pathlib import Path

import pytest
import torch
from playwright.sync_api import expect

from tests.support.explorer import Explorer, Truth, press
from transformer.checkpoint.checkpoint import Checkpoint
from transformer.decoding.strategies import decode
from transformer.hooks import record

SORT = Path(__file__).resolve().parents[2] / "checkpoints" / "sort.safetensors"
STRONGEST = [8, 48, 107]
"""The colour at the end of the scale, on a light page."""


def test_the_map_stands_still_while_one_sweeps_over_the_heads(explorer: Explorer) -> None:
    explorer.open()
    explorer.head("cross.1.mean").scroll_into_view_if_needed()
    places = set()
    for name in ("cross.1.3", "cross.1.mean", "decoder.1.3", "encoder.mean.mean"):
        explorer.head(name).hover()
        tops = [
            one.evaluate("(one) => one.getBoundingClientRect().top")
            for one in (explorer.page.locator(".stage"), explorer.head("cross.1.mean"))
        ]
        places.add(tops[0] - tops[1])  # however far the page is scrolled
    assert len(places) == 1


def test_the_cursor_reaches_the_far_end_of_a_map_that_scrolls(explorer: Explorer) -> None:
    whole = explorer.page.viewport_size
    assert whole is not None
    explorer.page.set_viewport_size({"width": 390, "height": 900})
    try:
        explorer.open(input="workbench" * 6)
        explorer.page.locator(".columns span").last.hover()
        assert explorer.lit(".columns span") == ["s54"]
    finally:
        explorer.page.set_viewport_size(whole)


def test_the_cursor_stays_under_the_pointer_as_the_page_scrolls(explorer: Explorer) -> None:
    explorer.open()
    explorer.point_at(2, 5)
    expect(explorer.readout).to_contain_text("(row 3)")
    box = explorer.stage.bounding_box()
    assert box is not None
    explorer.page.mouse.wheel(0, box["height"] / 5)  # two rows
    expect(explorer.readout).to_contain_text("(row 5) looks at “e” (column 6)")


def test_the_keys_of_a_table_move_in_the_map(explorer: Explorer, truth: Truth) -> None:
    explorer.open()
    explorer.stage.focus()
    moves = {
        "End": (0, 9),
        "Control+End": (9, 9),
        "Home": (9, 0),
        "Control+Home": (0, 0),
    }
    for key, cell in moves.items():
        press(explorer.page, key)
        expect(explorer.readout).to_contain_text(f"{truth['cross'][1, 0][cell]:.6f}")
        expect(explorer.readout).to_contain_text(f"(column {cell[1] + 1})")
    explorer.page.evaluate("document.activeElement.blur()")


def test_to_pick_a_token_moves_no_map(explorer: Explorer) -> None:
    explorer.open()
    label = explorer.page.locator(".rows span").nth(3)
    label.scroll_into_view_if_needed()
    places = []
    for _ in range(2):
        places.append(explorer.stage.bounding_box())
        label.click()
    assert places[0] == places[1]
    expect(explorer.page.locator(".sum-name")).to_have_text("mean")


@pytest.mark.parametrize("text", ["workbench", "workbench" * 2 + "work"])
def test_two_models_stand_beside_each_other(explorer: Explorer, text: str) -> None:
    explorer.open(compare="untrained", input=text)
    one, two = (stage.bounding_box() for stage in explorer.page.locator(".stage").all())
    assert one is not None
    assert two is not None
    assert one["y"] == two["y"]
    assert one["x"] + one["width"] < two["x"]


def test_a_long_input_is_shaded_up_to_its_largest_weight(explorer: Explorer) -> None:
    """Of 50 tokens each gets little, which would be next to no colour."""
    text = "thequickbrownfoxjumpsoverthelazydogandrunsawayfast"
    weights = written_alone(text)
    most = weights.argmax().item()
    pixel = """(canvas, cell) => [...canvas.getContext('2d').getImageData(
        cell % canvas.width, Math.floor(cell / canvas.width), 1, 1).data].slice(0, 3)"""
    explorer.open(input=text)
    canvas = explorer.stage.locator("canvas")
    box = explorer.page.get_by_label("Shade each map up to its largest weight")
    expect(box).to_be_checked()
    said = explorer.page.locator(".key").inner_text()
    assert float(re.search(r"([\d.]+), the largest here", said)[1]) == pytest.approx(  # type: ignore[index]
        weights.max().item(), rel=0.05
    )
    assert canvas.evaluate(pixel, most) == STRONGEST
    box.press("Space")
    assert canvas.evaluate(pixel, most) != STRONGEST
    expect(explorer.page.locator(".key")).to_have_text("weight 01")
    explorer.page.wait_for_url(re.compile("shade=whole"))
    explorer.page.reload()
    expect(box).not_to_be_checked()


def written_alone(text: str) -> torch.Tensor:
    """Cross-attention of the last layer's first head over what the model writes for a text."""
    checkpoint = Checkpoint.load(SORT)
    source = checkpoint.encode(text)
    with torch.inference_mode(), record(checkpoint.model) as trace:
        written = decode(checkpoint.model, source)[0].tokens
        start = checkpoint.config.decoder_start_id
        checkpoint.model(source, torch.tensor([[start, *written[:-1]]]))
    return trace.cross_attention[1, 0]
