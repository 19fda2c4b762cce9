"""Test helpers for the attention explorer, alone or on the Attention page."""

from urllib.parse import urlencode

import numpy as np
import torch
from playwright.sync_api import Download, Locator, Page, expect

from tests.support.server import Server, settle
from transformer.checkpoint import Checkpoint
from transformer.decoding.strategies import decode
from transformer.hooks import record

Truth = dict[str, np.ndarray]


def press(page: Page, *keys: str) -> None:
    for key in keys:
        page.keyboard.press(key)


def attention_of(checkpoint: Checkpoint, text: str, output: str | None = None) -> Truth:
    """A checkpoint's attention weights for a text, without the app: [layer, head, query, key].

    output: the text fed to the decoder; by default the model's own output.
    """
    source = checkpoint.encode(text)
    if output is None:
        ids = list(decode(checkpoint.model, source)[0].tokens[:-1])
    else:
        ids = checkpoint.target_vocabulary.encode(output)
    read = torch.tensor([[checkpoint.config.decoder_start_id, *ids]])
    with torch.inference_mode(), record(checkpoint.model) as trace:
        checkpoint.model(source, read)
    return {
        "encoder": trace.encoder_attention.numpy(),
        "decoder": trace.decoder_attention.numpy(),
        "cross": trace.cross_attention.numpy(),
    }


class Maps:
    """The explorer in a page."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.large = page.locator(".large")
        self.readout = page.locator(".readout")
        self.stage = page.get_by_role("application").first

    def head(self, name: str) -> Locator:
        return self.page.locator(f"button[data-head='{name}']")

    def token(self, name: str) -> Locator:
        """The button of a token; source tokens are in two columns, and the second is the query."""
        return self.page.locator(f".tokens button[data-token='{name}']").last

    def point_at(self, row: int, column: int, size: int = 10) -> None:
        self.page.mouse.move(0, 0)  # off the heads: pointing at one draws its map
        canvas = self.page.locator(".stage canvas").first
        box = canvas.bounding_box()
        assert box is not None
        side = box["width"] / size
        canvas.hover(position={"x": (column + 0.5) * side, "y": (row + 0.5) * side})
        self.next_frame()  # the text is drawn after the cursor

    def ink(self, selector: str = ".bands canvas", least: int = 1) -> int:
        """How many pixels of a canvas are drawn on. It scrolls there: only then is it drawn.

        least: alpha from which a pixel counts, at most 255.
        """
        canvas = self.page.locator(selector).first
        canvas.scroll_into_view_if_needed()
        self.next_frame()
        count: int = canvas.evaluate(
            """(canvas, least) => canvas.getContext('2d')
              .getImageData(0, 0, canvas.width, canvas.height).data
              .reduce((sum, value, i) => sum + (i % 4 === 3 && value >= least), 0)""",
            least,
        )
        return count

    def corner(self) -> list[int]:
        """The first pixel of the large map: red, green, blue, alpha."""
        found: list[int] = self.page.locator(".stage canvas").first.evaluate(
            "(canvas) => [...canvas.getContext('2d').getImageData(0, 0, 1, 1).data]"
        )
        return found

    def next_frame(self) -> None:
        self.page.evaluate(
            "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
        )

    def lit(self, tokens: str) -> list[str]:
        """Which of the tokens found by a selector are highlighted in the cursor's colour."""
        self.next_frame()
        found: list[str] = self.page.locator(tokens).evaluate_all(
            """(tokens) => tokens.filter((token) => {
              const canvas = token.closest('.bands, .frame').querySelector('canvas');
              const box = canvas.getBoundingClientRect();
              const own = token.getBoundingClientRect();
              const x = own.left - box.left + own.width / 2;
              const y = own.top - box.top + own.height / 2;
              const scale = canvas.width / box.width;
              const context = canvas.getContext('2d');
              return context.getImageData(x * scale, y * scale, 1, 1).data[3] > 0;
            }).map((token) => token.dataset.token)"""
        )
        return found

    def settings(self) -> None:
        """Open the fold with the threshold, the shades and the pictures to save."""
        fold = self.page.locator(".folds details").first
        if fold.get_attribute("open") is None:
            fold.locator("summary").click()

    def download(self, name: str) -> Download:
        with self.page.expect_download() as started:
            self.page.get_by_role("button", name=name, exact=True).click()
        return started.value


class Explorer(Maps):
    """The Attention page in one browser, reloaded only if a test needs another address."""

    def __init__(self, page: Page, server: Server) -> None:
        super().__init__(page)
        self.url = server.url
        self.opened = ("", "")

    def open(self, **query: str) -> None:
        query = {"checkpoint": "sort", "input": "workbench", "head": "cross.1.0", **query}
        address = f"{self.url}/attention?{urlencode(query)}"
        # Once the server has answered, the address holds all state of the page: the same address
        # means the same view.
        if self.opened[0]:
            settle(self.page)
        if self.opened == (address, self.page.url):
            self.page.mouse.move(0, 0)
            return
        self.page.goto(address)
        expect(self.page.locator(".field canvas").first).to_be_visible(timeout=60_000)
        settle(self.page)
        self.opened = address, self.page.url
