"""A tutorial's nn.Transformer is uploaded, imported and used; wrong vocabularies are refused."""

import io
import json
import re

import pytest
import safetensors.torch
import torch
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import NewPage
from tests.support.server import Server, settle
from tests.support.tutorials import Seq2SeqTransformer, Shape, randomised
from transformer.checkpoint import Checkpoint

SHAPE = Shape(num_heads=4, norm_first=True, activation="gelu", batch_first=True)
"""Options that the app would not guess."""
SPECIAL = ["<unk>", "<pad>", "<bos>", "<eos>"]
SOURCE = SPECIAL + [f"wort{number}" for number in range(SHAPE.source_vocabulary - 4)]
TARGET = SPECIAL + [f"word{number}" for number in range(SHAPE.target_vocabulary - 4)]
TEXT = "wort3 wort0 wort17 wort5"
MARK = "\u202e"
"""A control character that makes the text after it run from right to left."""


@pytest.fixture(scope="module")
def module() -> Seq2SeqTransformer:
    torch.manual_seed(3)  # with this seed, outputs are short
    made = randomised(Seq2SeqTransformer(SHAPE))
    assert isinstance(made, Seq2SeqTransformer)
    return made


def theirs(module: Seq2SeqTransformer, source: list[str], read: list[str]) -> torch.Tensor:
    """The logits of nn.Transformer itself, [position, target vocabulary]."""
    with torch.inference_mode():
        return module.logits(
            torch.tensor([[SOURCE.index(token) for token in source]]),
            torch.tensor([[TARGET.index(token) for token in read]]),
        )[0]


def writes(module: Seq2SeqTransformer, text: str) -> str:
    """The greedy output of nn.Transformer, with the whole prefix computed for each token."""
    read = ["<bos>"]
    while read[-1] != "<eos>" and len(read) < 30:
        read.append(
            TARGET[int(theirs(module, ["<bos>", *text.split(), "<eos>"], read)[-1].argmax())]
        )
    assert read[-1] == "<eos>"
    return " ".join(read[1:-1])


def bring(page: Page, server: Server, name: str, content: bytes) -> None:
    page.goto(f"{server.url}/checkpoints?checkpoint=sort")
    settle(page)
    field = page.get_by_test_id("stFileUploader").first.locator("input[type=file]")
    field.set_input_files({"name": name, "mimeType": "a/b", "buffer": content})
    expect(page.get_by_role("heading", name=f"Import {name}")).to_be_visible()
    settle(page)


def give(field: Locator, name: str, content: bytes | str) -> None:
    buffer = content.encode() if isinstance(content, str) else content
    # The field shows the file's name before the upload is complete.
    with field.page.expect_response(re.compile("/_stcore/upload_file/")):
        field.locator("input[type=file]").set_input_files(
            {"name": name, "mimeType": "application/octet-stream", "buffer": buffer}
        )
    expect(field.get_by_text(name)).to_be_visible()
    settle(field.page)


def vocabulary(page: Page, side: str) -> Locator:
    labels = {
        "source": "Vocabulary of the source, or of both",
        "target": "Vocabulary of the target",
    }
    return page.get_by_test_id("stFileUploader").filter(has_text=labels[side])


def answer(page: Page, label: str, word: str) -> None:
    """Choose an option by keyboard, for a setting that the tensors' shapes do not determine."""
    box = page.get_by_role("combobox", name=label)
    box.click()
    page.keyboard.type(word)
    option = page.get_by_role("option").first
    expect(option).to_contain_text(word)  # before the list is open, Enter chooses another or none
    page.keyboard.press("Enter")
    expect(option).to_have_count(0)
    settle(page)


def answer_all(page: Page) -> None:
    answer(page, "Heads in each layer", "4")
    answer(page, "Norms", "pre-norm")
    answer(page, "Activation", "gelu")


def assert_answered(page: Page) -> None:
    for label, value in (("Heads in each layer", "4"), ("Activation", "gelu")):
        expect(page.get_by_role("combobox", name=label)).to_have_value(value)
    expect(page.get_by_role("combobox", name="Norms")).to_have_value(
        "Before each sub-layer (pre-norm)"
    )


def press_import(page: Page) -> None:
    page.get_by_role("button", name="Import", exact=True).click()
    settle(page)


def newest(server: Server) -> Checkpoint:
    uploads = (server.folder / "runs" / "uploads").glob("*.safetensors")
    return Checkpoint.load(max(uploads, key=lambda path: path.stat().st_mtime))


def test_a_tutorials_model_is_imported_and_writes_what_it_wrote(
    server: Server, new_page: NewPage, module: Seq2SeqTransformer
) -> None:
    saved = io.BytesIO()
    torch.save(module.state_dict(), saved)
    page = new_page()
    bring(page, server, "model.pt", saved.getvalue())
    expect(page.get_by_text("2 encoder and 1 decoder layers")).to_be_visible()
    for name, role in (
        ("generator.weight", "output projection"),
        ("src_tok_emb.embedding.weight", "source embedding"),
        ("tgt_tok_emb.embedding.weight", "target embedding"),
    ):
        expect(page.get_by_role("combobox", name=f"What {name} is for")).to_have_value(role)
    answer_all(page)
    give(vocabulary(page, "source"), "de.json", json.dumps(SOURCE))
    give(vocabulary(page, "target"), "en.txt", "\n".join(TARGET))
    assert_answered(page)
    press_import(page)

    # The card.
    expect(page.get_by_text("model.pt is here and chosen")).to_be_visible()
    expect(page.get_by_role("combobox", name="Checkpoint")).to_have_value(
        re.compile("^model\\.pt · .*uploaded")
    )
    expect(page.get_by_text("Imported from model.pt").first).to_be_visible()
    expect(page.get_by_role("heading", name="Import model.pt")).to_have_count(0)

    # The imported checkpoint: the logits of nn.Transformer, on sentences of lengths 1 to 11.
    made = newest(server)
    draw = torch.Generator().manual_seed(3)
    largest = 0.0
    order = [TARGET.index(token) for token in made.target_vocabulary.tokens]
    for length in range(1, 12):
        source, target = (
            [words[int(torch.randint(4, len(words), (1,), generator=draw))] for _ in range(length)]
            for words in (SOURCE, TARGET)
        )
        read = [made.config.bos_id, *made.target_vocabulary.encode(" ".join(target))]
        with torch.inference_mode():
            ours = made.model(made.encode(" ".join(source)), torch.tensor([read]))[0]
        wanted = theirs(module, ["<bos>", *source, "<eos>"], ["<bos>", *target])[:, order]
        largest = max(largest, float((ours - wanted).abs().max()))
    assert largest < 1e-5

    # The page shows the output of nn.Transformer.
    page.goto(page.url.replace("/checkpoints", "/decode"))
    settle(page)
    box = page.get_by_role("textbox", name="Input", exact=True)
    box.fill(TEXT)
    box.press("Enter")
    settle(page)
    said = page.get_by_text("The model writes").first
    expect(said.locator("code")).to_have_text(writes(module, TEXT))


def test_a_wrong_vocabulary_is_refused_and_loses_nothing(
    server: Server, new_page: NewPage, module: Seq2SeqTransformer
) -> None:
    page = new_page()
    bring(page, server, "model.safetensors", safetensors.torch.save(module.state_dict()))
    answer_all(page)
    told = page.get_by_test_id("stAlert")
    marked = [*TARGET[:-1], f"a{MARK}b\u0007"]
    give(vocabulary(page, "target"), "en.json", json.dumps(marked))
    give(vocabulary(page, "source"), "de.json", json.dumps([f"x{word}" for word in SOURCE]))
    # The names of the special tokens do not tell their roles, so the user enters their ids. Before
    # the source vocabulary is read, the fields have guesses.
    expect(page.get_by_role("spinbutton", name="pad (source)")).to_have_value("")
    for name, number in (("pad", "1"), ("bos", "2"), ("eos", "3"), ("unk", "0")):
        field = page.get_by_role("spinbutton", name=f"{name} (source)")
        field.fill(number)
        field.press("Enter")
        settle(page)

    unread: dict[str, tuple[bytes | str, str]] = {
        "torn.json": (json.dumps(marked)[:-5], "is not valid JSON"),
        "twice.json": (
            json.dumps([*marked[:-2], marked[-1], marked[-1]]),
            "The token aU+202EbU+0007 stands twice in the vocabulary",
        ),
        "bytes.txt": (b"\xff\xfe\x00", "is not text in UTF-8"),
    }
    unfit: dict[str, tuple[bytes | str, str]] = {
        "short.json": (json.dumps(marked[:-1]), "has 18 tokens, but the target embedding has 19"),
        "half.json": (json.dumps([*marked[:-1], "\ud800"]), "half of a character"),
    }
    for name, (given, sentence) in (unread | unfit).items():
        give(vocabulary(page, "target"), name, given)
        if name in unfit:
            press_import(page)
        expect(told).to_contain_text(sentence)
        expect(told).to_have_count(1)
        assert MARK not in page.locator("body").inner_text()
        assert_answered(page)

    give(vocabulary(page, "target"), "en.json", json.dumps(marked))
    expect(told).to_have_count(0)
    for name, number in (("pad", "1"), ("bos", "2"), ("eos", "3"), ("unk", "0")):
        field = page.get_by_role("spinbutton", name=f"{name} (source)")
        expect(field).to_have_value(number)
    # An impossible role is reported too, and the files stay.
    answer(page, "What src_tok_emb.embedding.weight is for", "left out")
    expect(told).to_have_count(1)
    answer(page, "What src_tok_emb.embedding.weight is for", "source embedding")
    expect(told).to_have_count(0)
    for side, name in (("source", "de.json"), ("target", "en.json")):
        expect(vocabulary(page, side).get_by_text(name)).to_be_visible()
    press_import(page)
    expect(page.get_by_text("model.safetensors is here and chosen")).to_be_visible()
    made = newest(server)
    assert made.target_vocabulary.tokens[-1] == marked[-1]
    assert made.source_vocabulary.tokens[4] == "xwort0"
    assert (made.config.num_heads, made.config.norm_first) == (4, True)

    # Control characters in a token are shown by their codes.
    page.goto(page.url.replace("/checkpoints", "/decode"))
    settle(page)
    box = page.get_by_role("textbox", name="Input", exact=True)
    box.fill("xwort3 xwort0")
    box.press("Enter")
    settle(page)
    expect(page.get_by_text("The model writes").first).to_be_visible()
    assert MARK not in page.locator("body").inner_text()
