"""The panels Strategies, Lens, Why and What if in a real browser, against the library's numbers."""

import csv
import io
import re
from pathlib import Path

import pytest
import torch
from playwright.sync_api import Locator, Page, expect

from pages.components.shell.text import probability
from tests.browser.conftest import NewPage
from tests.support.access import FRAME, PHONE, assert_fit_for_all
from tests.support.server import Server, settle
from transformer.analysis.attribution import occlusion, saliency
from transformer.analysis.lens import lens
from transformer.analysis.what_if import Forced, masked, what_if
from transformer.checkpoint import Checkpoint
from transformer.decoding.beam import Beam
from transformer.decoding.beam_tree import beam_tree
from transformer.decoding.strategies import decode

HARD = "cpwjkqugacpwjk"
"""An input longer than the reverse checkpoint's training inputs, so that its beam has rivals."""
PANELS = {
    "strategies": f"checkpoint=reverse&input={HARD}",
    "lens": "checkpoint=sort&input=workbench&step=4",
    "why": "checkpoint=sort&input=workbench&step=4",
    "what_if": "checkpoint=sort&input=workbench&step=4&change=force&input_token=4",
    "lengths": "checkpoint=reverse&input=workbench",
}


def open_panel(page: Page, server: Server, panel: str, query: str) -> None:
    page.goto(f"{server.url}/decode?{query}&part={panel}")
    expect(page.get_by_role("radio", name="Branches")).to_be_visible()
    settle(page)


def cell(page: Page) -> Locator:
    """The hypothesis in the beam's picture that the Tab key would focus."""
    return page.locator(".beam_tree g[tabindex='0']")


def test_the_beam_is_walked_by_keyboard_and_says_why(
    server: Server, new_page: NewPage, reverse: Checkpoint
) -> None:
    page = new_page()
    open_panel(page, server, "strategies", PANELS["strategies"])
    tree = beam_tree(reverse.model, reverse.encode(HARD), Beam())
    steps = len(tree.beams)
    expect(page.locator(".beam_tree g[role=button]")).to_have_count(sum(map(len, tree.beams)))
    # The focus starts at the answer; ArrowLeft moves towards its first token.
    expect(cell(page)).to_have_attribute("data-column", str(steps - 1))
    expect(page.locator(".beam_tree .why .reason")).to_contain_text("The answer")
    cell(page).focus()
    for _ in range(steps - 1):
        page.keyboard.press("ArrowLeft")
    expect(cell(page)).to_be_focused()
    expect(cell(page)).to_have_attribute("data-column", "0")
    expect(page.locator(".beam_tree .why .reason")).to_have_text("Others grow from it.")
    # ArrowDown moves to a hypothesis that was dropped.
    place = next(i for i, node in enumerate(tree.beams[0]) if node in tree.ends)
    for _ in range(place):
        page.keyboard.press("ArrowDown")
    end = tree.ends[tree.beams[0][place]]
    expect(page.locator(".beam_tree .why .reason")).to_contain_text(
        f"Dropped at step {end.position + 1}"
    )
    expect(page.locator(".beam_tree .why .reason")).to_contain_text(
        f"{end.score:.4f}".replace("-", "−")
    )
    # The table gives the same reason, once for each hypothesis that ended.
    page.locator(".beam_tree summary").focus()
    page.keyboard.press("Enter")
    expect(page.locator(".beam_tree td.reason")).to_have_count(len(tree.ends))
    # Enter opens the hypothesis in the steps; the address lists its tokens.
    cell(page).focus()
    page.keyboard.press("Enter")
    token = tree.nodes[tree.beams[0][place]].token
    page.wait_for_url(re.compile(rf"prefix={token}(&|$)"))
    settle(page)
    page.reload()
    expect(page.get_by_text("the tokens you chose do not count here")).to_be_visible()


def test_the_table_of_strategies_is_what_they_write(
    server: Server, new_page: NewPage, reverse: Checkpoint
) -> None:
    page = new_page()
    open_panel(page, server, "strategies", PANELS["strategies"] + "&beam=8&alpha=1.0")
    with page.expect_download() as download:
        page.get_by_role("button", name="Strategies (CSV)").click()
    rows = list(csv.DictReader(io.StringIO(Path(download.value.path()).read_text("utf-8-sig"))))
    by_name = {row["strategy"]: row for row in rows}
    [greedy] = decode(reverse.model, reverse.encode(HARD))
    assert by_name["greedy"]["output"] == reverse.target_vocabulary.decode(greedy.tokens)
    assert float(by_name["greedy"]["log_probability"]) == pytest.approx(greedy.log_prob, abs=1e-5)
    for size in (2, 4, 8):
        tree = beam_tree(reverse.model, reverse.encode(HARD), Beam(size, alpha=1.0))
        row = by_name[f"beam {size}"]
        assert row["output"] == reverse.target_vocabulary.decode(tree.tokens(tree.answer))
        assert float(row["score"]) == pytest.approx(tree.nodes[tree.answer].score, abs=1e-5)
    expect(page.locator(".strategies tr")).to_have_count(len(rows) + 1)
    expect(page.locator(".beam_tree h3")).to_have_text("Beam of 8 with length penalty α = 1.0")


def test_the_lens_shows_each_layers_candidates(
    server: Server, new_page: NewPage, sort: Checkpoint
) -> None:
    page = new_page()
    open_panel(page, server, "lens", PANELS["lens"])
    source = sort.encode("workbench")
    [answer] = decode(sort.model, source)
    read = torch.tensor([[sort.config.decoder_start_id, *answer.tokens[:-1]]])
    found = lens(sort.model, source, read)
    expect(page.locator(".lens th[scope=col]")).to_have_count(3)
    first = page.locator(".lens tr").nth(1).locator("b")
    tokens = sort.target_vocabulary.tokens
    order = found.ranks(3).argsort(axis=1)
    expect(first).to_have_text([tokens[int(row[0])] for row in order])
    share = page.locator(".lens tr").nth(1).locator("td").last.locator("span").first
    expect(share).to_have_text(probability(float(found.probabilities[2, 3].max())))
    expect(page.get_by_text("What a lens can tell, and what not.")).to_be_visible()
    expect(page.locator(".js-plotly-plot .main-svg").first).to_be_visible()


def test_why_explains_the_difference_of_two_candidates(
    server: Server, new_page: NewPage, sort: Checkpoint
) -> None:
    page = new_page()
    source = sort.encode("workbench")
    [answer] = decode(sort.model, source)
    read = torch.tensor([[sort.config.decoder_start_id, *answer.tokens[:-1]]])
    rival = sort.target_vocabulary.tokens.index("w")
    found = saliency(sort.model, source, read, 3, answer.tokens[3], rival)
    open_panel(page, server, "why", f"{PANELS['why']}&not={rival}")
    hidden = occlusion(sort.model, source, read, 3, answer.tokens[3], rival)
    numbers = page.locator(".tiles .tile small")
    expect(numbers).to_have_count(2 * len(found.source) + len(found.read))
    shown = [float(text.replace("−", "-")) for text in numbers.all_inner_texts()]
    expected = [*hidden.tolist(), *found.source.tolist(), *found.read.tolist()]
    assert shown == pytest.approx(expected, abs=0.0051)
    # Another rival is chosen by keyboard.
    box = page.get_by_role("combobox", name="and not")
    box.focus()
    page.keyboard.type("closest")
    expect(page.get_by_role("option").first).to_contain_text("closest")
    page.keyboard.press("Enter")
    expect(page.get_by_text("more probable than")).not_to_contain_text("w")
    settle(page)
    assert f"not={rival}" not in page.url


def test_what_if_shows_both_outputs_and_where_they_part(
    server: Server, new_page: NewPage, sort: Checkpoint
) -> None:
    page = new_page()
    source = sort.encode("workbench")
    forced = what_if(sort.model, source, force=Forced(1, None, 3, 3), max_length=30)
    assert forced.parts_at == 3
    open_panel(page, server, "what_if", PANELS["what_if"])
    expect(page.get_by_text("They part at step 4")).to_be_visible()
    tiles = page.locator(".tiles .tile b")
    tokens = sort.target_vocabulary.tokens
    expected = [tokens[token] for one in (forced.before, forced.after) for token in one.tokens]
    expect(tiles).to_have_text(expected)
    marked = len(forced.before.tokens) + len(forced.after.tokens) - 2 * 3
    expect(page.locator(".tiles .tile.marked")).to_have_count(marked)
    # By keyboard, the change is switched to hiding the token.
    page.get_by_role("radio", name="Force attention").focus()
    page.keyboard.press("ArrowUp")
    expect(page.get_by_text("They keep their positions")).to_be_visible()
    settle(page)
    hidden = what_if(sort.model, source, changed=masked(sort.model, source, 3), max_length=30)
    expected = [tokens[token] for one in (hidden.before, hidden.after) for token in one.tokens]
    expect(tiles).to_have_text(expected)
    page.wait_for_url(re.compile("change=mask"))


def test_panels_are_accessible_and_nothing_is_cut_off(server: Server, new_page: NewPage) -> None:
    page = new_page(width=PHONE, scheme="dark")
    for panel, query in PANELS.items():
        open_panel(page, server, panel, query)
        if panel == "strategies":
            page.locator(".beam_tree summary").click()
        elif panel != "why":
            expect(page.locator(".js-plotly-plot .main-svg").first).to_be_visible()
        settle(page)
        seen = (*FRAME, ".decoding_steps") if panel != "strategies" else ()
        assert_fit_for_all(page, panel, seen)


def test_long_outputs_are_shown_from_where_they_differ(server: Server, new_page: NewPage) -> None:
    page = new_page()
    text = "jump around right thrice after jump around left thrice"
    page.goto(f"{server.url}/decode?checkpoint=scan-length&part=strategies&input={text}")
    table = page.get_by_role("region", name="Strategies")
    # The outputs differ from step 17 on; the two tokens before it stay visible as context.
    expect(table).to_contain_text("All begin with the same 14 tokens, which are left out.")
    outputs = table.locator("td.output").all_inner_texts()
    assert outputs[0] != outputs[-1]
    assert all(output.startswith("… I_TURN") for output in outputs)
    # Long tokens with the same start can be told apart in the tree too.
    texts = page.locator(".beam_tree svg text")
    expect(texts.first).to_be_visible()
    drawn = texts.all_text_contents()
    assert {"I_TURN_LEFT", "I_TURN_RIGHT"} <= set(drawn)
