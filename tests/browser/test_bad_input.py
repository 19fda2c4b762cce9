"""Any typed or uploaded input gets an answer or one clear sentence, and the page stays usable."""

import torch
from playwright.sync_api import expect

from tests.browser.conftest import NewPage
from tests.support.random_models import small_config
from tests.support.server import Server, settle, upload
from transformer.checkpoint import Checkpoint
from transformer.checkpoint.header import Summary
from transformer.config import DataConfig
from transformer.model import Transformer
from transformer.vocabulary import Vocabulary

# tests/pages tests what is refused; here, in a browser, that no text is rendered as markup.
TEXTS = {
    "<b>bold</b><script>alert(1)</script>": "does not know <, >, /",
    "**x** `y` $z$ :smile:": "does not know *, ␣, `",
    "a\u202eb\u200b": "does not know U+202E, U+200B",
    "q": None,
}


def test_any_text_gets_its_answer_or_one_sentence(server: Server, new_page: NewPage) -> None:
    page = new_page()
    page.goto(f"{server.url}/decode?checkpoint=reverse")
    settle(page)
    for text, sentence in TEXTS.items():
        field = page.get_by_label("Input")
        field.fill(text)
        field.press("Enter")
        settle(page)
        alerts = page.get_by_test_id("stAlert")
        if sentence is None:
            expect(page.get_by_text(f"The model writes {text}")).to_be_visible()
            expect(alerts).to_have_count(0)
        else:
            expect(alerts).to_have_count(1)
            expect(alerts).to_contain_text(sentence)
        expect(field).to_have_value(text)  # nothing typed is lost
    assert page.locator("script:has-text('alert(1)')").count() == 0


MARKUP = "![](https://evil.example/x) **b** www.evil.example a -> b <b>c</b> $x$ :smile: `d`"


def test_nothing_in_a_file_is_taken_as_markup(server: Server, new_page: NewPage) -> None:
    """Covers all texts of a file: notes, examples, tokens. The page requests no other host."""
    words = Vocabulary.build("words", [MARKUP, "<script>alert(1)</script>"])
    torch.manual_seed(0)
    config = small_config(words)
    summary = Summary(MARKUP, 1, 1.0, 1, 1.0, 0.5, 0.5, 1, 2.0, 0.0)
    model, data = Transformer(config).eval(), DataConfig(task="pairs")
    checkpoint = Checkpoint.of(model, words, words, data, summary, [(MARKUP, MARKUP)], MARKUP)
    page = new_page()
    page.goto(f"{server.url}/checkpoints")
    settle(page)
    upload(page, "![](x)www.evil.example.safetensors", checkpoint.to_bytes())
    expect(page.get_by_role("radiogroup", name="More about this checkpoint")).to_be_visible()
    expect(page.locator("p, td").filter(has_text="![](https")).not_to_have_count(0)
    for label in ("Attention", "Decode"):
        page.get_by_test_id("stSidebar").get_by_role("link", name=label).click()
        settle(page)
        expect(page.get_by_text("The model writes")).to_be_visible()
        expect(page.get_by_label("Input")).to_have_value(MARKUP)
    assert page.locator("[data-testid=stMain] a[href*=evil]").count() == 0
    assert page.locator("[data-testid=stMain] img[src*=evil]").count() == 0


def test_settings_that_cannot_be_are_named_and_kept(server: Server, new_page: NewPage) -> None:
    page = new_page()
    page.goto(f"{server.url}/train?task=reverse")
    settle(page)
    page.get_by_text("Settings", exact=True).click()
    field = page.get_by_label("Heads", exact=True)
    field.fill("3")
    field.press("Enter")
    settle(page)
    page.get_by_role("button", name="Train", exact=True).click()
    alert = page.get_by_test_id("stAlert").filter(has_text="Heads = 3")
    expect(alert).to_contain_text("must divide Width (d_model) = 64")
    expect(alert).to_be_in_viewport()
    expect(field).to_have_value("3")
    field.fill("4")  # the alert disappears with its cause
    field.press("Enter")
    expect(alert).to_have_count(0)
    page.get_by_text("Expert: every other setting").click()
    batch = page.get_by_label("Pairs in a batch", exact=True)
    batch.fill("100000")
    batch.press("Enter")
    settle(page)
    page.get_by_role("button", name="Train", exact=True).click()
    expect(
        page.get_by_text("Pairs in a batch = 100000: must be between 1 and 65,536")
    ).to_be_visible()
