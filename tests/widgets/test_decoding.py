"""The decoding widgets (steps, beam, branches) alone, against the library's numbers."""

import math
import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from playwright.sync_api import Browser, expect

from pages.components.shell.address import Message
from pages.components.shell.mount import SHARED, WIDGETS
from pages.components.shell.text import probability
from pages.components.widgets.beam_tree import WIDGET as BEAM
from pages.components.widgets.branch_tree import WIDGET as BRANCHES
from pages.components.widgets.decoding_steps import WIDGET as STEPS
from pages.components.widgets.decoding_steps import Side, pack
from tests.support.bare_page import Bare
from transformer.config import SamplingConfig
from transformer.decoding.next_token import next_token

SAMPLINGS = (
    SamplingConfig(),
    SamplingConfig(temperature=0.35),
    SamplingConfig(temperature=2.7, top_k=4),
    SamplingConfig(temperature=1.3, top_p=0.6),
    SamplingConfig(temperature=0.8, top_k=7, top_p=0.45),
    SamplingConfig(top_k=1000, top_p=0.999),
)


def test_the_browser_computes_what_the_library_does(browser: Browser) -> None:
    torch.manual_seed(5)
    rows = [*(4 * torch.randn(6, 23)), torch.tensor([1.0, 3.0, 3.0, 1.0, 3.0])]
    page = browser.new_page()
    script = (WIDGETS / "decoding_steps" / "arithmetic.js").read_text("utf-8")
    for logits in rows:
        for sampling in SAMPLINGS:
            given = {
                "temperature": sampling.temperature,
                "topK": sampling.top_k,
                "topP": sampling.top_p,
            }
            found = page.evaluate(
                f"""([logits, settings]) => {{
                  {script}
                  const found = nextToken(Float32Array.from(logits), settings);
                  return Object.fromEntries(
                    ["divided", "rank", "inTopK", "before", "kept", "probabilities"]
                      .map((name) => [name, [...found[name]]]));
                }}""",
                [logits.tolist(), given],
            )
            expected = next_token(logits, sampling)
            assert found["rank"] == expected.rank.tolist()
            assert found["inTopK"] == expected.in_top_k.tolist()
            assert found["kept"] == expected.kept.tolist()
            for name in ("divided", "before", "probabilities"):
                torch.testing.assert_close(
                    torch.tensor(found[name], dtype=torch.float64),
                    getattr(expected, name),
                    rtol=0,
                    atol=1e-12,
                )
    shares = [0.0, 1e-12, 4.99e-5, 5.01e-5, 0.123, 0.9998, 0.99994, 0.99996, 1.0]
    script = (SHARED / "element.js").read_text("utf-8")
    said = page.evaluate(f"(shares) => {{ {script}; return shares.map(inPercent); }}", shares)
    assert said == [probability(share) for share in shares]
    page.close()


# --- steps ------------------------------------------------------------------------------------

VOCABULARY = ["<pad>", "<bos>", "<eos>", "<unk>", *"abcdefgh", "<b>x</b>"]
SOURCE = ["a", "<i>", "c", "<eos>"]
OUTPUT = [4, 12, 6, 2]


def side(ids: list[int] = OUTPUT, label: str = "shown", forced: int = 0, seed: int = 0) -> Side:
    """A decoding that wrote these tokens, each with the highest logit; 2 layers of 3 heads."""
    drawn = np.random.default_rng(seed)
    logits = drawn.normal(size=(len(ids), len(VOCABULARY))).astype(np.float32)
    logits[np.arange(len(ids)), ids] = 3
    attention = drawn.dirichlet(np.ones(len(SOURCE)), size=(len(ids), 2, 3)).astype(np.float32)
    rows = torch.from_numpy(logits).double().log_softmax(-1)
    log_probs = [rows[step, token].item() for step, token in enumerate(ids)]
    return Side(label, ids, log_probs, forced, logits, attention)


def message(*sides: Side, place: str = "", turn: int = 1, wanted: list[int] | None = None) -> bytes:
    return pack(VOCABULARY, SOURCE, sides or [side()], wanted or [], Message(place, turn), 7)


def test_steps_are_walked_by_keys_and_tell_where_one_is(bare: Bare) -> None:
    shown = bare(STEPS, message())
    where, output = shown.page.locator(".where"), shown.page.locator(".output button")
    expect(where).to_contain_text("Step 1 of 4: writes “a”")
    output.first.focus()
    shown.press("ArrowRight")
    expect(where).to_contain_text("Step 2 of 4: writes “<b>x</b>”")
    expect(output.nth(1)).to_be_focused()
    shown.press("End")
    expect(where).to_contain_text("Step 4 of 4: writes “<eos>”")
    shown.press("ArrowRight", "Home", "ArrowRight", "ArrowRight")
    shares = shown.page.locator(".source .weighed small").all_inner_texts()
    expected = side().attention[2, 1].mean(axis=0)  # over the heads of the last layer
    assert [float(text) for text in shares] == pytest.approx(expected.tolist(), abs=0.0051)
    shown.page.get_by_label("Head", exact=True).select_option("1")
    shares = shown.page.locator(".source .weighed small").all_inner_texts()
    assert [float(text) for text in shares] == pytest.approx(
        side().attention[2, 1, 1].tolist(), abs=0.0051
    )
    # The widget reports after a short pause; on a busy machine the step may come in a first report.
    shown.page.wait_for_function("window.sent.at(-1)?.[2].includes('look')")
    assert shown.sent[-1] == ["state", "place", "step=3&look=1.1"]


def test_nothing_is_sent_once_a_link_is_clicked(bare: Bare) -> None:
    """Sent then, it makes Streamlit show an empty page in place of the link's."""
    shown = bare(STEPS, message())
    links = "<a href=there onclick=event.preventDefault()>there</a> <a href=#top>top</a>"
    shown.page.evaluate("links => document.body.insertAdjacentHTML('beforeend', links)", links)
    shown.page.locator(".forward").click()
    shown.page.get_by_role("link", name="there").click()
    shown.page.wait_for_timeout(600)  # the step would be sent after 400
    assert not shown.sent
    shown.page.locator(".forward").click()
    shown.page.get_by_role("link", name="top").click()  # leads to no other page
    shown.page.wait_for_function("window.sent.length")


def test_a_deeper_model_that_comes_next_shows_its_own_last_layer(bare: Bare) -> None:
    deep = side()
    shown = bare(STEPS, message(replace(deep, attention=deep.attention[:, :1])))
    layers = shown.page.get_by_label("Layer", exact=True)
    expect(layers).to_have_value("0")
    shown.draw(message(deep))
    expect(layers).to_have_value("1")
    layers.select_option("0")
    shown.page.wait_for_function("window.sent.at(-1)?.[2].includes('look=0.mean')")
    layers.select_option("1")
    shown.page.wait_for_function("!window.sent.at(-1)[2].includes('look')")


def test_candidates_are_cut_as_the_library_cuts(bare: Bare) -> None:
    shown = bare(STEPS, message(place="step=2&temperature=2&top_k=6&top_p=0.9"))
    row = torch.from_numpy(side().logits[1])
    expected = next_token(row, SamplingConfig(temperature=2.0, top_k=6, top_p=0.9))
    lines = shown.page.locator(".candidates tbody tr")
    for place, token in enumerate(row.argsort(descending=True)[:8].tolist()):
        cells = lines.nth(place).locator("td").all_inner_texts()
        name = lines.nth(place).locator("button").get_attribute("data-token")
        assert name == VOCABULARY[token]
        numbers = [f"{value:.2f}".replace("-", "−") for value in (row[token], row[token] / 2)]
        assert cells[1:3] == numbers
        assert cells[0] == probability(expected.probabilities[token].item())
    readout = shown.page.locator(".readout")
    expect(readout).to_contain_text("÷ 2 =")
    shown.page.locator(".candidates button").first.focus()
    shown.press("ArrowDown")
    expect(readout).to_contain_text("ranks 2 of 13")
    lines.first.locator("td.divided").hover()
    expect(readout.locator("li.lit")).to_contain_text("÷ 2 =")
    shown.page.get_by_role("button", name="Reset").click()
    expect(readout).to_contain_text("÷ 1 =")


def test_a_choice_is_drawn_before_the_server_has_answered(bare: Bare) -> None:
    """What is known already is drawn in the click's own task; the server's answer confirms it."""
    shown = bare(STEPS, message(place="step=3"))
    rival = shown.page.locator(".candidates button").nth(1)
    token = VOCABULARY.index(rival.get_attribute("data-token") or "")
    at_once = rival.evaluate(
        """(button) => {
          const root = button.getRootNode();
          button.focus();
          button.click();
          return [...root.querySelectorAll(".output button, .where")].map((one) => one.textContent);
        }"""
    )
    assert len(at_once) == 4  # three tokens and .where; later tokens are unknown
    assert at_once[3].startswith(f"Step 3 of …: given “{VOCABULARY[token]}”")
    assert shown.sent == [["trigger", "choice", [4, 12, token]]]
    expect(shown.page.locator(".pending")).to_have_count(1)
    # The server's answer has the same numbers up to the choice.
    before = side()
    log_prob = torch.from_numpy(before.logits[2]).double().log_softmax(-1)[token].item()
    answer = replace(
        before,
        ids=[4, 12, token, 2],
        forced=3,
        log_probs=[*before.log_probs[:2], log_prob, before.log_probs[3]],
    )
    shown.draw(message(answer, place="step=3", turn=2))
    expect(shown.page.locator(".pending")).to_have_count(0)
    where = shown.page.locator(".where")
    expect(where).to_have_text(at_once[3].replace("of …", "of 4"))
    texts = shown.page.locator(".output button").all_text_contents()
    assert texts[:3] == at_once[:3]
    # The focus is on the candidate that is now written.
    expect(shown.page.locator(".candidates [aria-pressed=true]")).to_be_focused()


def test_two_outputs_are_shown_in_two_rows_and_their_first_difference_is_marked(bare: Bare) -> None:
    other = side([4, 5, 2], "<b>other</b>", seed=1)
    shown = bare(STEPS, message(side(), other, wanted=[4, 5, 2], place="step=4"), scheme="dark")
    legend = shown.page.locator(".legend")
    expect(legend).to_contain_text("lower row: <b>other</b>")
    expect(legend).to_contain_text("They part at step 2 (≠).")
    expect(shown.page.locator(".output .parting")).to_have_count(1)
    expect(shown.page.locator(".output .wrong")).to_have_count(3)
    expect(shown.page.locator(".candidates.other")).to_contain_text("This output has ended.")


def test_what_a_person_wrote_is_marked_as_given_and_not_as_wrong(bare: Bare) -> None:
    own = side(OUTPUT, forced=2)
    own.logits[1, 7] = 9  # the model would write another token there
    shown = bare(STEPS, message(own, wanted=[4, 5, 5, 2]))
    tokens = shown.page.locator(".output button")
    expect(tokens.nth(1)).to_have_class(re.compile("forced"))
    expect(tokens.nth(1)).not_to_have_class(re.compile("wrong"))
    expect(tokens.nth(2)).to_have_class(re.compile("wrong"))  # written by the model
    expect(tokens.nth(2).locator(".instead")).to_have_text("target: b")


def test_a_typed_token_is_written_or_refused(bare: Bare) -> None:
    shown = bare(STEPS, message())
    field, refused = shown.page.get_by_label("Write another token"), shown.page.locator(".refused")
    for text, says in (("", "Type a token first."), ("<z>", "The model has no token “<z>”")):
        field.fill(text)
        field.press("Enter")
        expect(refused).to_contain_text(says)
    assert not shown.sent
    field.fill("<b>x</b>")
    field.press("Enter")
    assert shown.sent == [["trigger", "choice", [12]]]


@pytest.mark.parametrize("place", ["step=99&look=9.9", "step=-4&look=x.y", "step=nan&seed=x"])
def test_a_place_that_cannot_be_falls_back(bare: Bare, place: str) -> None:
    shown = bare(STEPS, message(place=place))
    expect(shown.page.locator(".output [aria-pressed=true]")).to_have_count(1)
    expect(shown.page.locator(".candidates tbody tr").first).to_be_visible()


# --- beams ------------------------------------------------------------------------------------


def node(parent: int | None, token: str, score: float, kind: str = "", **more: Any) -> dict:
    return {
        "parent": parent,
        "token": token,
        "text": f"…{token}",
        "position": 0,
        "log_prob": score,
        "total": score,
        "score": score,
        "ended": False,
        "kind": kind,
        "decided": 1,
        "why": f"why {token}" if kind else "Others grow from it.",
        **more,
    }


BEAMS = {
    "nodes": [
        node(None, "a", -0.1),
        node(None, "b", -2.0, "dropped"),
        node(0, "I_TURN_LEFT", -0.2),
        node(0, "I_TURN_RIGHT", -0.9, "outscored", ended=True),
        node(2, "<eos>", -0.3, "answer", ended=True),
    ],
    "beams": [[0, 1], [2, 3], [4, 3]],
    "answer": 4,
    "title": "Beam of <b>2</b>",
}


def test_the_beam_is_walked_by_keys_and_says_why(bare: Bare) -> None:
    shown = bare(BEAM, BEAMS)
    page = shown.page
    here, why = page.locator("g[tabindex='0']"), page.locator(".why .reason")
    expect(page.locator("g[role=button]")).to_have_count(6)
    expect(page.locator("h3")).to_have_text("Beam of <b>2</b>")
    # The focus starts at the answer; ArrowLeft moves to its first token.
    expect(why).to_have_text("why <eos>")
    here.focus()
    shown.press("ArrowLeft", "ArrowLeft")
    expect(here).to_be_focused()
    expect(here).to_have_attribute("data-column", "0")
    expect(why).to_have_text("Others grow from it.")
    expect(page.locator(".why .what")).to_contain_text(f"{100 * math.exp(-0.1):.2f} %")
    expect(page.locator(".why .what")).to_contain_text("−0.1000")
    shown.press("ArrowDown")
    expect(why).to_have_text("why b")
    shown.press("ArrowRight")  # nothing grew from it
    expect(why).to_have_text("why b")
    shown.press("Enter")
    assert shown.sent == [["trigger", "open", 1]]
    # A finished hypothesis keeps its row in the next step, where it is its own parent.
    page.locator("g[data-column='2'][data-slot='1']").click()
    shown.press("ArrowLeft")
    expect(here).to_have_attribute("data-column", "1")
    expect(why).to_have_text("why I_TURN_RIGHT")
    # Long tokens can be told apart. The table lists each ended hypothesis, the answer first.
    drawn = page.locator("svg text").all_text_contents()
    assert {"I_TURN_LEFT", "I_TURN_RIGHT"} <= set(drawn)
    # A dropped hypothesis is struck through; a cross before it would call it wrong.
    struck = page.locator("svg text[text-decoration=line-through]")
    expect(struck).to_have_text(["b"])
    page.locator("summary").click()
    expect(page.locator("td.reason")).to_have_text(["why <eos>", "why I_TURN_RIGHT", "why b"])


def test_the_picture_of_a_beam_is_saved_with_its_colours(bare: Bare) -> None:
    page = bare(BEAM, BEAMS, scheme="dark").page
    with page.expect_download() as download:
        page.get_by_role("button", name="Picture").click()
    svg = download.value.path().read_text("utf-8")
    assert svg.startswith("<svg")
    assert "#11151a" in svg
    assert "&lt;eos&gt;" in svg


# --- branches ---------------------------------------------------------------------------------


def branch(name: str, tokens: str, depth: int, parts: int, **more: Any) -> dict[str, Any]:
    return {
        "name": name,
        "depth": depth,
        "parts": parts,
        "tokens": list(tokens),
        "probabilities": [0.99999] * len(tokens),
        "dashed": [parts] if depth else [],
        "log_prob": -1.5,
        "verdict": "wrong" if depth else "right",
        "wrong": parts if depth else -1,
        "open": not depth,
        "compared": False,
        "kept": bool(depth),
        **more,
    }


def test_branches_are_walked_opened_compared_and_named(bare: Bare) -> None:
    rows = [branch("the model's own", "fedc", 0, 0), branch("<b>x</b>", "fezc", 1, 2)]
    shown = bare(BRANCHES, {"rows": rows, "step": 1})
    page = shown.page
    line = page.locator("tbody tr").nth(1)
    expect(line.locator("button.name")).to_contain_text("<b>x</b>")
    # Tokens shared with the parent are not repeated; the first other token is the given one.
    expect(line.locator("td.shared")).to_have_count(2)
    expect(line.locator("td.parts .forced.wrong")).to_have_text("z")
    title = "<b>x</b>, step 3: z, probability > 99.99 %"
    expect(line.locator("td.parts")).to_have_attribute("title", title)
    page.locator("button.name").first.focus()
    shown.press("ArrowDown")
    expect(line.locator("button.name")).to_be_focused()
    shown.press("Enter")
    page.get_by_role("button", name="Compare <b>x</b> with the branch shown").click()
    line.locator("td.token").last.click()
    page.get_by_label("Name of the branch shown").fill("mine")
    shown.press("Enter")
    assert [value for _, _, value in shown.sent] == [
        ["open", 1, None],
        ["compare", 1, None],
        ["open", 1, 3],
        ["name", 0, "mine"],
    ]
    # The focus stays where it was when the widget is drawn again.
    page.locator("button.name").nth(1).focus()
    shown.draw({"rows": [rows[0], {**rows[1], "compared": True}], "step": 2})
    expect(page.locator("button.name").nth(1)).to_be_focused()
    expect(page.get_by_role("button", name="Compare")).to_have_text("✓ beside")
