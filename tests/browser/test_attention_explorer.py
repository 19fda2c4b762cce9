"""The attention explorer in a real browser: one check per feature in docs/comparison.md."""

import io
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from playwright.sync_api import expect

from tests.support.explorer import Explorer, Truth
from tests.support.places import ROOT
from tests.support.server import settle
from tests.widgets.test_attention_explorer import ROWS as ALONE
from transformer.figures.attention import attention_grid, attention_map, head_view

COMPARISON = ROOT / "docs" / "comparison.md"
OKABE_ITO, OKABE_ITO_DARK = "rgb(0, 114, 178)", "rgb(86, 180, 233)"
"""The first head's colour on a light page and on a dark one."""


Check = Callable[[Explorer, Truth], None]
ROWS: dict[str, Check] = {}
"""The checks by feature; checks of one address are neighbours, so that it is opened once."""


def row(name: str) -> Callable[[Check], Check]:
    """Register the check of a feature; ``name`` is its row in the table of docs/comparison.md."""

    def keep(check: Check) -> Check:
        ROWS[name] = check
        return check

    return keep


@row("Neuron view q·k")
def _(explorer: Explorer, truth: Truth) -> None:
    explorer.open(panel="number", cell="2.5")
    numbers = explorer.page.locator(".steps").first.locator("tr")
    values = [
        [float(one.replace("−", "-")) for one in numbers.nth(i).locator("td").all_inner_texts()]
        for i in range(4)
    ]
    assert len(values[1]) == 16  # d_k
    for q, k, product in zip(*values[1:], strict=True):
        assert abs(q * k - product) < 0.01
    said = explorer.page.get_by_text("q·k = ").inner_text().replace("−", "-")
    total = float(re.search(r"q·k = (-?\d+\.\d+)", said)[1])  # type: ignore[index]
    assert abs(total - sum(values[3])) < 0.02


@row("Formula next to the number")
def _(explorer: Explorer, truth: Truth) -> None:
    explorer.open(panel="number", cell="2.5")
    expect(explorer.page.locator(".katex").first).to_be_visible()
    expect(explorer.page.get_by_text("√16 = 4.0000")).to_be_visible()


@row("Joint Q/K map")
def _(explorer: Explorer, truth: Truth) -> None:
    explorer.open(panel="number", cell="2.5")
    explorer.page.get_by_text("Queries and keys of this head in one picture").click()
    expect(explorer.page.locator(".js-plotly-plot .textpoint text").first).to_be_visible()


@row("Raw scores → mask → softmax stages")
def _(explorer: Explorer, truth: Truth) -> None:
    explorer.open(panel="number", head="decoder.0.1", cell="1.3")
    table = explorer.page.locator(".steps").nth(1)
    rows = [line.locator("td").all_inner_texts() for line in table.locator("tr").all()[1:]]
    assert [cells[1] == "−∞" for cells in rows] == [False] * 2 + [True] * 8
    for column, cells in enumerate(rows):
        assert abs(float(cells[3]) - float(cells[4])) < 2e-6  # the formula, and the model
        assert abs(float(cells[4]) - truth["decoder"][0, 1, 1, column]) < 1e-6
    expect(explorer.page.get_by_text("its score becomes −∞")).to_be_visible()


@row("Rollout / contribution flow")
def _(explorer: Explorer, truth: Truth) -> None:
    explorer.open(panel="evidence", token="3")
    chart = explorer.page.locator(".js-plotly-plot")
    expect(chart.get_by_text("Attention rollout, share")).to_be_visible()
    expect(explorer.page.get_by_text("where information could flow")).to_be_visible()


@row("Gradient saliency / IG")
def _(explorer: Explorer, truth: Truth) -> None:
    explorer.open(panel="evidence", token="3")
    chart = explorer.page.locator(".js-plotly-plot")
    expect(chart.get_by_text("Gradient × input, why e and not")).to_be_visible()


@row('Contrastive "why A not B"')
def _(explorer: Explorer, truth: Truth) -> None:
    explorer.open(panel="evidence", token="3")
    expect(explorer.page.get_by_text("its logit leads that of the closest rival")).to_be_visible()


@row("All numbers real")
def _(explorer: Explorer, truth: Truth) -> None:
    explorer.open()
    explorer.page.get_by_role("button", name="4 checks").click()
    strip = explorer.page.locator(".trust li")
    expect(strip).to_have_count(4)
    for text in strip.all_inner_texts():
        assert text.startswith("✓"), text
    expect(strip.last).to_contain_text(f"all {sum(w.size for w in truth.values()):,} weights")
    explorer.page.keyboard.press("Escape")


@row("Dark/light")
def _(explorer: Explorer, truth: Truth) -> None:
    explorer.open()
    light = explorer.corner()
    assert min(light[:3]) > 200
    # The whole explorer is painted again when the theme changes.
    explorer.page.emulate_media(color_scheme="dark")
    chosen = explorer.head("cross.1.0")
    expect(chosen).to_have_css("border-color", OKABE_ITO_DARK)
    assert max(explorer.corner()[:3]) < 100
    explorer.page.emulate_media(color_scheme="light")
    expect(chosen).to_have_css("border-color", OKABE_ITO)
    assert explorer.corner() == light


@row("Head-role scores/labels")
def _(explorer: Explorer, truth: Truth) -> None:
    explorer.open()
    label = explorer.page.locator(".large .label")
    expect(label).to_have_text(re.compile(r"sorts \d+ %"))
    assert f'"{label.inner_text()}"' in COMPARISON.read_text("utf-8")
    expect(explorer.page.get_by_text(re.compile(r"On this input it puts \d+ %"))).to_be_visible()
    box = explorer.page.get_by_role("combobox", name="Heads, largest first")
    first = explorer.page.get_by_role("option").first
    for _ in range(3):  # a rerun of the page at that moment closes the list
        settle(explorer.page)
        box.press("ArrowDown")
        explorer.page.wait_for_timeout(500)
        if first.is_visible():
            break
    expect(first).to_contain_text("sorts")
    first.click()
    expect(explorer.page).to_have_url(re.compile("head=cross.1.1"))


@row("Type your own input")
def _(explorer: Explorer, truth: Truth) -> None:
    explorer.open()
    explorer.page.get_by_label("Input", exact=True).fill("zebra")
    explorer.page.get_by_label("Input", exact=True).press("Enter")
    expect(explorer.page.get_by_text("The model writes aberz")).to_be_visible()
    explorer.page.get_by_role("button", name="Compare").click()
    field = explorer.page.get_by_role("textbox", name="Output to look at")
    field.fill("zzz")
    field.press("Enter")
    expect(explorer.page.locator(".rows span")).to_have_text(["z", "z", "z", "<eos>"])


@row("Live head ablation")
def _(explorer: Explorer, truth: Truth) -> None:
    explorer.open(checkpoint="reverse", input="abcdefgh", panel="cause", without="encoder.0.1")
    said = explorer.page.get_by_text("with this change it writes")
    expect(said).to_contain_text("the model writes hgfedcba")
    assert said.inner_text().count("hgfedcba") == 1  # without the head, the output differs
    # The same by the button on the head: the answer at once names the changed output.
    answer = explorer.page.get_by_text("The model writes hgfedcba, which is right.")
    expect(answer).to_contain_text("Without encoder 1.2 it writes")
    explorer.head("encoder.0.1").click()
    explorer.page.locator(".power").click()
    expect(answer).not_to_contain_text("Without")
    explorer.page.locator(".power").click()
    expect(answer).to_contain_text(re.compile(r"Without encoder 1\.2 it writes \w+, wrong"))
    explorer.page.get_by_role("button", name="Exact match on 200").click()
    metric = explorer.page.get_by_test_id("stMetricValue")
    expect(metric).to_be_visible(timeout=60_000)
    assert float(metric.inner_text().removesuffix(" %")) < 50


@row("Activation patching")
def _(explorer: Explorer, truth: Truth) -> None:
    explorer.open(
        checkpoint="reverse",
        input="abcdef",
        panel="cause",
        without="cross.0.0 cross.0.1",
        write="patch",
        patch="uvwxyz",
    )
    said = explorer.page.get_by_text("with this change it writes")
    expect(said).to_contain_text("it writes z")


@row("Mask/replace-token what-if")
def _(explorer: Explorer, truth: Truth) -> None:
    explorer.open(compare="input", other="workbencz", show="difference")
    expect(explorer.page.locator(".one h4")).to_have_text("“workbench” minus “workbencz”")
    explorer.point_at(2, 5)
    expect(explorer.readout).to_contain_text(re.compile(r": -?0\.\d{6}"))


@row("Compare two models side by side")
def _(explorer: Explorer, truth: Truth) -> None:
    explorer.open(compare="untrained")
    expect(explorer.page.locator(".one h4")).to_have_text(["trained", "untrained"])
    explorer.point_at(2, 5)
    one, two = explorer.readout.inner_text().splitlines()
    assert float(one.rsplit(" ", 1)[1]) == pytest.approx(truth["cross"][1, 0, 2, 5], abs=1e-6)
    explorer.page.get_by_role("button", name="difference", exact=True).click()
    explorer.point_at(2, 5)
    expect(explorer.page.locator(".one")).to_have_count(1)
    difference = float(explorer.readout.inner_text().rsplit(" ", 1)[1])
    assert difference == pytest.approx(
        float(one.rsplit(" ", 1)[1]) - float(two.rsplit(" ", 1)[1]), abs=2e-6
    )
    explorer.open(compare="input", other="abc")
    said = "No difference is drawn: the two differ in the length of what they read or write."
    expect(explorer.page.get_by_text(said)).to_be_visible()
    expect(explorer.page.get_by_role("button", name="difference", exact=True)).to_have_count(0)


@row("Permalink")
def _(explorer: Explorer, truth: Truth) -> None:
    query = {"with": "cross.1.1 encoder.0.2", "cell": "2.5", "hide": "0.05", "tokens": "w2 w4"}
    explorer.open(panel="number", compare="untrained", show="b", view="lines", **query)
    view = explorer.page.locator(".attention_explorer")
    state = view.inner_html()
    assert explorer.page.locator(".chip").count() == 4
    explorer.page.goto("about:blank")
    explorer.page.go_back()
    expect(explorer.page.locator(".bands canvas")).to_be_visible()
    settle(explorer.page)
    assert view.inner_html() == state


@row("Export HTML")
def _(explorer: Explorer, truth: Truth) -> None:
    explorer.open(panel="export", hide="0.05")
    file = explorer.download("This page, offline (HTML)")
    context = explorer.page.context.browser.new_context(offline=True)  # type: ignore[union-attr]
    page = context.new_page()
    asked: list[str] = []
    page.on("request", lambda sent: asked.append(sent.url))
    page.set_content(Path(file.path()).read_text("utf-8"))
    page.get_by_role("application").focus()
    for _ in range(6):
        page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    expect(page.locator(".readout")).to_contain_text(f"{truth['cross'][1, 0, 2, 5]:.6f}")
    page.locator("button[data-head='encoder.0.2']").click()
    expect(page.locator(".large h3")).to_have_text("Encoder self-attention, layer 1, head 3")
    assert not [url for url in asked if not url.startswith(("data:", "blob:", "about:"))]
    context.close()


@row("Export CSV/JSON/NPZ")
def _(explorer: Explorer, truth: Truth) -> None:
    explorer.open(panel="export")
    with np.load(io.BytesIO(Path(explorer.download("All weights (NPZ)").path()).read_bytes())) as z:
        for kind, weights in truth.items():
            assert np.abs(z[kind] - weights).max() < 1e-6
        assert z["source"].tolist() == [*"workbench", "<eos>"]
    table = pd.read_csv(Path(explorer.download("This head (CSV)").path()))
    assert np.abs(table["weight"].to_numpy() - truth["cross"][1, 0].reshape(-1)).max() < 1e-6
    scores = pd.read_csv(Path(explorer.download("Scores of all heads (CSV)").path()))
    assert len(scores) == 24


@row("Any own PyTorch attention tensor")
def _(explorer: Explorer, truth: Truth) -> None:
    weights = torch.rand(2, 3, 4, 5).softmax(dim=-1)
    tokens = (list("abcd"), list("vwxyz"))
    assert np.allclose(attention_map(weights[0, 0], *tokens).data[0].z, weights[0, 0])
    assert attention_grid(weights, *tokens).data
    assert head_view(weights[0], *tokens).data


@pytest.mark.parametrize("name", ROWS)
def test_each_compared_feature_works(explorer: Explorer, truth: Truth, name: str) -> None:
    ROWS[name](explorer, truth)


def test_every_row_is_in_the_table() -> None:
    table = COMPARISON.read_text("utf-8")
    for name in (*ROWS, *ALONE):
        assert f"| {name} | yes |" in table
