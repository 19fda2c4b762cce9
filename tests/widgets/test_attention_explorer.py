"""The attention explorer alone: what it draws from given numbers, and what it reports back."""

import re
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlencode

import numpy as np
import pytest
from playwright.sync_api import expect

from pages.components.shell.address import Message
from pages.components.widgets.attention_explorer import WIDGET, AttentionKind, Side, pack
from tests.support.bare_page import Bare, BarePage
from tests.support.explorer import Maps, Truth, attention_of, press
from tests.support.places import bundled_file
from transformer.checkpoint import Checkpoint

SORT = bundled_file("sort")
STRONGEST = [8, 48, 107]
"""The colour at the end of the scale, on a light page."""
OKABE_ITO, OKABE_ITO_DARK = "rgb(0, 114, 178)", "rgb(86, 180, 233)"
"""The first head's colour on a light page and on a dark one."""


def side(weights: Truth, label: str = "trained", text: str = "workbench") -> Side:
    """One side (model and input) of the explorer; the output tokens are the sorted letters."""
    source, written = [*text, "<eos>"], [*sorted(text), "<eos>"]
    read = ["<bos>", *sorted(text)]
    tokens = {"encoder": (source, source), "decoder": (written, read), "cross": (written, source)}
    titles = {"encoder": "Encoder self-attention", "decoder": "Decoder self-attention"}
    kinds = [
        AttentionKind(
            kind, titles.get(kind, "Cross-attention"), weights[kind], *axes, kind == "decoder"
        )
        for kind, axes in tokens.items()
    ]
    return Side(label, kinds, {"cross.1.0": "sorts 99 %"})


class Alone(Maps):
    """The explorer on a page without the app."""

    def __init__(self, bare: Bare, *sides: Side, width: int = 1280) -> None:
        self.bare, self.sides, self.width = bare, sides, width
        self.turn = 0

    def open(self, **query: str) -> None:
        """Show the explorer in the state that this address query describes."""
        place = urlencode({"head": "cross.1.0", **query})
        self.data = pack(self.sides, Message(place, 1))
        self.shown: BarePage = self.bare(WIDGET, self.data, self.width)
        super().__init__(self.shown.page)

    @property
    def place(self) -> str:
        """The state that the explorer reported last, as an address query."""
        kind, name, value = self.shown.sent[-1]
        assert (kind, name) == ("state", "place")
        return str(value)


Check = Callable[[Alone, Truth], None]
ROWS: dict[str, Check] = {}


def row(name: str) -> Callable[[Check], Check]:
    """Register the check of a feature; ``name`` is its row in the table of docs/comparison.md."""

    def keep(check: Check) -> Check:
        ROWS[name] = check
        return check

    return keep


@pytest.fixture(scope="module")
def truth(sort: Checkpoint) -> Truth:
    return attention_of(sort, "workbench", "bcehknorw")


@pytest.fixture
def explorer(bare: Bare, truth: Truth) -> Alone:
    return Alone(bare, side(truth))


@row("Token-labelled heatmap per head")
def _(explorer: Alone, truth: Truth) -> None:
    explorer.open()
    assert explorer.page.locator(".columns span").all_inner_texts() == [*"workbench", "<eos>"]
    assert explorer.page.locator(".rows span").all_inner_texts() == [*"bcehknorw", "<eos>"]


@row("Head-view lines")
def _(explorer: Alone, truth: Truth) -> None:
    explorer.open()
    explorer.page.get_by_role("button", name="Lines", exact=True).click()
    assert "view=lines" in explorer.place
    assert explorer.ink() > 1000
    before = explorer.ink()
    explorer.token("w2").hover()
    assert 0 < explorer.ink() < before  # only the lines of that token


@row("Several heads overlaid, toggles")
def _(explorer: Alone, truth: Truth) -> None:
    """Adding a head switches to the lines, which can show several."""
    explorer.open()
    explorer.head("cross.1.1").click(modifiers=["Shift"])
    explorer.head("cross.1.2").click(modifiers=["Shift"])
    chips = explorer.page.locator(".chip")
    expect(chips).to_have_count(5)  # three heads, and a grey mean of each other attention
    explorer.page.mouse.move(0, 0)
    drawn = explorer.ink()
    chips.nth(1).click()
    expect(chips.nth(1)).to_have_attribute("aria-pressed", "false")
    assert explorer.ink() < drawn
    chips.nth(0).dblclick()
    expect(chips).to_have_count(1)


@row("Layers×heads grid")
def _(explorer: Alone, truth: Truth) -> None:
    explorer.open()
    for kind in ("encoder", "decoder", "cross"):
        for layer in range(2):
            for head in range(4):
                expect(explorer.head(f"{kind}.{layer}.{head}")).to_be_visible()


@row("Enc-self + dec-self + cross")
def _(explorer: Alone, truth: Truth) -> None:
    """One cursor in all three: a written token is lit as a query and where the decoder reads it."""
    explorer.open(view="lines")
    explorer.token("w3").hover()
    assert explorer.lit(".tokens button") == ["w3", "r4"]
    explorer.token("s3").hover()
    assert explorer.lit(".tokens button") == ["s3", "s3"]  # as a key and as a query
    explorer.page.get_by_role("button", name="Map", exact=True).click()
    explorer.page.locator(".columns span").nth(3).hover()
    assert explorer.lit(".columns span") == ["s3"]
    assert explorer.ink(".grid .cursor") > 0


@row("Exact value on hover")
def _(explorer: Alone, truth: Truth) -> None:
    explorer.open()
    for cell in ((0, 7), (2, 5), (9, 9)):
        explorer.point_at(*cell)
        expect(explorer.readout).to_contain_text(f"{truth['cross'][1, 0][cell]:.6f}")
        # The ring round the cell takes 300 pixels; the box with its value takes the rest.
        assert explorer.ink(".frame .cursor", 255) > 1000


@row("Hover previews, click locks")
def _(explorer: Alone, truth: Truth) -> None:
    explorer.open()
    heading = explorer.large.get_by_role("heading").first
    explorer.head("encoder.0.2").hover()
    expect(heading).to_have_text("Encoder self-attention, layer 1, head 3")
    explorer.page.mouse.move(0, 0)
    expect(heading).to_have_text("Cross-attention, layer 2, head 1")
    explorer.head("encoder.0.2").click()
    explorer.page.mouse.move(0, 0)
    expect(heading).to_have_text("Encoder self-attention, layer 1, head 3")
    explorer.head("decoder.1.1").dblclick()
    expect(explorer.page.locator(".chip")).to_have_count(1)
    explorer.head("decoder.1.1").dblclick()
    expect(explorer.page.locator(".chip")).to_have_count(3)


@row("Multi-token select + sum")
def _(explorer: Alone, truth: Truth) -> None:
    explorer.open(view="lines")
    explorer.token("w2").click()
    explorer.token("w4").click(modifiers=["Shift"])
    explorer.page.mouse.move(0, 0)
    total = truth["cross"][1, 0, [2, 4]].sum(axis=0)
    expect(explorer.readout).to_contain_text(f"{total.max():.6f}")
    expect(explorer.page.locator(".sum-name")).to_have_text("sum of 2")
    explorer.page.keyboard.press("Escape")
    expect(explorer.page.locator(".sum-name")).to_have_text("mean")


@row("Mean/sum over heads or layers")
def _(explorer: Alone, truth: Truth) -> None:
    means = {
        "cross.1.mean": truth["cross"][1].mean(axis=0),
        "cross.mean.2": truth["cross"][:, 2].mean(axis=0),
        "cross.mean.mean": truth["cross"].mean(axis=(0, 1)),
    }
    explorer.open()
    for name, expected in means.items():
        explorer.head(name).click()
        assert f"head={name}" in explorer.place
        explorer.point_at(2, 5)
        expect(explorer.readout).to_contain_text(f"{expected[2, 5]:.6f}"[:-1])


@row("Weak-link threshold")
def _(explorer: Alone, truth: Truth) -> None:
    explorer.open(hide="0.1", view="lines")
    explorer.settings()
    weights = truth["cross"][1, 0]
    weak = weights[weights < 0.1]
    said = explorer.page.locator(".controls output")
    expect(said).to_contain_text(f"hides {len(weak)} links with {100 * weak.sum() / 10:.1f}"[:-2])
    shown = explorer.ink()
    explorer.page.get_by_label("Hide links below").fill("0.5")
    assert explorer.ink() < shown


@row("Keyboard navigation")
def _(explorer: Alone, truth: Truth) -> None:
    """``test_attention_access.py`` tests all keys."""
    explorer.open()
    explorer.stage.focus()
    press(explorer.page, "ArrowRight", "ArrowDown", "ArrowDown", "ArrowRight")
    expect(explorer.readout).to_contain_text(f"{truth['cross'][1, 0, 2, 1]:.6f}")
    explorer.page.evaluate("document.activeElement.blur()")


@row("Export PNG/SVG")
def _(explorer: Alone, truth: Truth) -> None:
    explorer.open()
    explorer.settings()
    svg = Path(explorer.download("SVG").path()).read_text("utf-8")
    assert "&lt;eos&gt;" in svg  # a token that looks like markup
    assert f"{truth['cross'][1, 0, 2, 5]:.6f}" in svg
    assert svg.count("<rect") > 100
    png = Path(explorer.download("PNG").path()).read_bytes()
    assert png.startswith(b"\x89PNG")
    assert len(png) > 5000


@row("Colour-blind care")
def _(explorer: Alone, truth: Truth) -> None:
    """A larger weight is darker, whatever the hue; measured on the pixels."""
    explorer.open()
    pixels = explorer.page.locator(".stage canvas").first.evaluate(
        "(canvas) => [...canvas.getContext('2d').getImageData(0, 0, 10, 10).data]"
    )
    colours = np.array(pixels).reshape(100, 4)[:, :3]
    lightness = colours @ [0.2126, 0.7152, 0.0722]
    order = np.argsort(truth["cross"][1, 0].reshape(-1))
    assert (np.diff(lightness[order]) <= 1).all()
    assert lightness.max() - lightness.min() > 150


@pytest.mark.parametrize("name", ROWS)
def test_each_compared_feature_works(explorer: Alone, truth: Truth, name: str) -> None:
    ROWS[name](explorer, truth)


def test_the_map_stands_still_while_one_sweeps_over_the_heads(explorer: Alone) -> None:
    explorer.open()
    explorer.head("cross.1.mean").scroll_into_view_if_needed()
    places = set()
    for name in ("cross.1.3", "cross.1.mean", "decoder.1.3", "encoder.mean.mean"):
        explorer.head(name).hover()
        tops = [
            one.evaluate("(one) => one.getBoundingClientRect().top")
            for one in (explorer.page.locator(".stage"), explorer.head("cross.1.mean"))
        ]
        places.add(tops[0] - tops[1])  # independent of scrolling
    assert len(places) == 1


def test_the_cursor_reaches_the_far_end_of_a_map_that_scrolls(bare: Bare, sort: Checkpoint) -> None:
    text = "workbench" * 6
    weights = attention_of(sort, text, "".join(sorted(text)))
    explorer = Alone(bare, side(weights, text=text), width=390)
    explorer.open()
    explorer.page.locator(".columns span").last.hover()
    assert explorer.lit(".columns span") == ["s54"]


def test_the_cursor_stays_under_the_pointer_as_the_page_scrolls(explorer: Alone) -> None:
    explorer.open()
    explorer.page.set_viewport_size({"width": 1280, "height": 450})
    explorer.point_at(2, 5)
    expect(explorer.readout).to_contain_text("(row 3)")
    box = explorer.stage.bounding_box()
    assert box is not None
    explorer.page.mouse.wheel(0, box["height"] / 5)  # two rows
    expect(explorer.readout).to_contain_text("(row 5) looks at “e” (column 6)")


def test_the_keys_of_a_table_move_in_the_map(explorer: Alone, truth: Truth) -> None:
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


def test_to_pick_a_token_moves_no_map(explorer: Alone) -> None:
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
def test_two_models_stand_beside_each_other(bare: Bare, sort: Checkpoint, text: str) -> None:
    weights = attention_of(sort, text, "".join(sorted(text)))
    flat = {kind: np.ones_like(w) / w.shape[-1] for kind, w in weights.items()}
    explorer = Alone(bare, side(weights, text=text), side(flat, "untrained", text))
    explorer.open()
    expect(explorer.page.locator(".one h4")).to_have_text(["trained", "untrained"])
    one, two = (stage.bounding_box() for stage in explorer.page.locator(".stage").all())
    assert one is not None
    assert two is not None
    assert one["y"] == two["y"]
    assert one["x"] + one["width"] < two["x"]
    # Their difference, cell by cell.
    explorer.page.get_by_role("button", name="difference", exact=True).click()
    expect(explorer.page.locator(".one h4")).to_have_text("trained minus untrained")
    explorer.point_at(2, 5, len(text) + 1)
    value = weights["cross"][1, 0, 2, 5] - flat["cross"][1, 0, 2, 5]
    expect(explorer.readout).to_contain_text(f"{value:.6f}"[:-1])
    assert "show=difference" in explorer.place


def test_models_of_other_shapes_have_no_difference(bare: Bare, truth: Truth) -> None:
    fewer = {kind: weights[:1] for kind, weights in truth.items()}
    explorer = Alone(bare, side(truth), side(fewer, "smaller"))
    explorer.open()
    said = "No difference is drawn: the two differ in the number of layers or heads."
    expect(explorer.page.get_by_text(said)).to_be_visible()
    expect(explorer.page.get_by_role("button", name="difference", exact=True)).to_have_count(0)
    expect(explorer.page.get_by_text("This model has no such head.")).to_have_count(1)


def test_a_long_input_is_shaded_up_to_its_largest_weight(bare: Bare, sort: Checkpoint) -> None:
    """Among 50 tokens each weight is small, and would have almost no colour."""
    text = "thequickbrownfoxjumpsoverthelazydogandrunsawayfast"
    attention = attention_of(sort, text, "".join(sorted(text)))
    weights = attention["cross"][1, 0]
    most = int(weights.argmax())
    pixel = """(canvas, cell) => [...canvas.getContext('2d').getImageData(
        cell % canvas.width, Math.floor(cell / canvas.width), 1, 1).data].slice(0, 3)"""
    explorer = Alone(bare, side(attention, text=text))
    explorer.open()
    canvas = explorer.stage.locator("canvas")
    explorer.settings()
    box = explorer.page.get_by_label("Shade each map up to its largest weight")
    expect(box).to_be_checked()
    said = explorer.page.locator(".key").inner_text()
    assert float(re.search(r"([\d.]+), the largest here", said)[1]) == pytest.approx(  # type: ignore[index]
        weights.max(), rel=0.05
    )
    assert canvas.evaluate(pixel, most) == STRONGEST
    box.press("Space")
    assert canvas.evaluate(pixel, most) != STRONGEST
    expect(explorer.page.locator(".key")).to_have_text("weight 01")
    assert "shade=whole" in explorer.place
    explorer.open(shade="whole")
    expect(box).not_to_be_checked()


def test_where_a_person_is_stays_until_the_page_says_otherwise(bare: Bare, truth: Truth) -> None:
    explorer = Alone(bare, side(truth))
    place = {"cell": "2.5", "hide": "0.05", "tokens": "w2 w4", "view": "lines"}
    explorer.open(**place, **{"with": "cross.1.1 encoder.0.2"})
    expect(explorer.page.locator(".chip")).to_have_count(4)
    explorer.head("decoder.1.1").click()
    title = explorer.large.get_by_role("heading").first
    expect(title).to_have_text("Decoder self-attention, layer 2, head 2")
    told = explorer.place
    assert "tokens=w2+w4" in told
    # New data under the same turn keep the user's choice; a new turn sets the page's.
    explorer.shown.draw(pack([side(truth, "again")], Message("head=encoder.0.0", 1)))
    expect(title).to_have_text("Decoder self-attention, layer 2, head 2")
    explorer.shown.draw(pack([side(truth)], Message("head=encoder.0.0", 2)))
    explorer.page.mouse.move(0, 0)
    expect(title).to_have_text("Encoder self-attention, layer 1, head 1")
    # Given the state that it reported before, the explorer shows it again.
    explorer.shown.draw(pack([side(truth)], Message(told, 3)))
    expect(title).to_have_text("Decoder self-attention, layer 2, head 2")


@pytest.mark.parametrize(
    "place",
    [
        "head=cross.9.9&with=x y.1&cell=99.99&hide=7&tokens=q1 w999&show=nothing&shade=odd",
        "head=<b>&off=mean&cell=-1.x&hide=nan&tokens=%00",
        "",
    ],
)
def test_a_place_that_cannot_be_falls_back(bare: Bare, truth: Truth, place: str) -> None:
    shown = bare(WIDGET, pack([side(truth)], Message(place, 1)))
    heading = shown.page.locator(".large").get_by_role("heading").first
    expect(heading).to_have_text("Cross-attention, layer 2, head 1")
    expect(shown.page.locator(".readout")).to_have_text(
        "Point at a cell, or use the arrow keys, to read its weight."
    )


def test_it_is_painted_again_in_another_theme(explorer: Alone) -> None:
    explorer.open()
    light = explorer.corner()
    assert min(light[:3]) > 200
    explorer.page.emulate_media(color_scheme="dark")
    explorer.shown.draw(explorer.data)
    chosen = explorer.head("cross.1.0")
    expect(chosen).to_have_css("border-color", OKABE_ITO_DARK)
    assert max(explorer.corner()[:3]) < 100
    explorer.page.emulate_media(color_scheme="light")
    explorer.shown.draw(explorer.data)
    expect(chosen).to_have_css("border-color", OKABE_ITO)
    assert explorer.corner() == light
