"""A MarianMT zip is uploaded; the imported model writes what MarianMT's `generate` writes."""

import re
import zipfile
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import NewPage
from tests.support.marian_models import load_marian, make_marian, sentences
from tests.support.server import Server, settle
from transformer import Checkpoint, decode
from transformer.decoding.beam import Beam
from transformer.decoding.steps import Strategy, pad
from transformer.decoding.strategies import Greedy

LONGEST = 40


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("marian") / "opus-mt-made-up"
    make_marian(
        folder,
        seed=4,
        ends=3.5,
        d_model=64,
        encoder_layers=2,
        decoder_layers=2,
        encoder_attention_heads=4,
        decoder_attention_heads=4,
        encoder_ffn_dim=96,
        decoder_ffn_dim=96,
        max_position_embeddings=64,
        scale_embedding=True,
        init_std=0.2,
        generation={"bad_words_ids": []},
    )
    return folder


def zipped(folder: Path) -> bytes:
    target = folder.with_suffix(".zip")
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in folder.iterdir():
            archive.write(file, f"{folder.name}/{file.name}")
        archive.writestr(f"{folder.name}/README.md", "what else lies there does no harm")
    return target.read_bytes()


def test_a_marian_zip_is_imported_and_writes_what_generate_writes(
    new_page: NewPage, server: Server, folder: Path
) -> None:
    page = new_page()
    page.goto(f"{server.url}/checkpoints?checkpoint=sort")
    settle(page)
    field = page.locator("[data-testid=stFileUploader] input[type=file]")
    field.set_input_files(
        {"name": "opus.zip", "mimeType": "application/zip", "buffer": zipped(folder)}
    )
    expect(page.get_by_test_id("stAlert")).to_contain_text("opus.zip is here and chosen")
    expect(page.get_by_role("combobox", name="Checkpoint")).to_have_value(
        re.compile("^opus\\.zip · .*uploaded")
    )
    expect(page.get_by_text("MarianMT model imported from").first).to_be_visible()

    # The stored checkpoint against `generate`, on 20 sentences, token by token.
    uploads = (server.folder / "runs" / "uploads").glob("*.safetensors")
    kept = Checkpoint.load(max(uploads, key=lambda path: path.stat().st_mtime))
    texts = sentences(20, seed=5)
    model, tokenizer = load_marian(folder)
    rows = [kept.source_ids(text) for text in texts]
    assert rows == [tokenizer(text).input_ids for text in texts]
    source = pad(rows, kept.config.pad_id)
    searches: dict[int, Strategy] = {
        1: Greedy(max_length=LONGEST, force_end=True),
        4: Beam(4, alpha=1.0, max_length=LONGEST, force_end=True),
    }
    for beams, search in searches.items():
        theirs = model.generate(
            input_ids=source,
            attention_mask=(source != kept.config.pad_id).long(),
            num_beams=beams,
            do_sample=False,
            max_length=LONGEST + 1,
        )[:, 1:].tolist()
        ours = [list(found.tokens) for found in decode(kept.model, source, search)]
        assert ours == [row[: row.index(0) + 1] for row in theirs]

    # The page: the table of strategies, for a sentence with a short output.
    found = decode(kept.model, source, searches[4])
    short = min(range(len(texts)), key=lambda i: (abs(len(found[i].tokens) - 6), i))
    page.goto(page.url.replace("/checkpoints", "/decode"))
    settle(page)
    box = page.get_by_role("textbox", name="Input", exact=True)
    box.fill(f"{texts[short]}")
    box.press("Enter")
    settle(page)
    page.get_by_role("radio", name="Strategies").or_(
        page.get_by_role("button", name="Strategies")
    ).first.click()
    settle(page)
    row = page.locator(".strategies tr", has_text="beam 4")
    output = kept.target_vocabulary.decode(found[short].tokens)
    expect(row.locator("td.output")).to_have_text(output.replace(" ", "␣"))

    # Unknown characters are named, and read as the unknown token.
    settle(page)
    box.fill("日本 tea")
    box.press("Enter")
    expect(page.get_by_text("This model does not know")).to_contain_text("日本")
    expect(page.get_by_text("The model writes").first).to_be_visible()
