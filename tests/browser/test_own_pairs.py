"""A user's own file, from the upload to a model that translates; links to the form."""

import random
import re
import time
from pathlib import Path

import pytest
import sacrebleu
import torch
from playwright.sync_api import Page, expect

from tests.browser.conftest import NewPage
from tests.support.access import PHONE, assert_fit_for_all
from tests.support.server import Server, press_train, settle, trained
from transformer.checkpoint import Checkpoint
from transformer.model import Transformer
from transformer.runs.directory import list_runs
from transformer.tasks import build_task
from transformer.training.loop import evaluate_outputs

SUBJECTS = {
    "the old sailor": "der alte Seemann",
    "my sister": "meine Schwester",
    "the green frog": "der grüne Frosch",
    'the "boss"': 'der "Chef"',
    "our teacher": "unsere Lehrerin",
    "the small child": "das kleine Kind",
    "nobody": "niemand",
    "the baker": "der Bäcker",
}
VERBS = {"sees": "sieht", "likes": "mag", "finds": "findet", "hears": "hört", "needs": "braucht"}
OBJECTS = {
    "a large house": "ein großes Haus",
    "the blue door": "die blaue Tür",
    "two cats": "zwei Katzen",
    "the key": "den Schlüssel",
    "some cheese": "etwas Käse",
    "the cold river": "den kalten Fluss",
    "an egg": "ein Ei",
    "your bicycle": "dein Fahrrad",
}
TIMES = {
    "today": "heute",
    "every day": "jeden Tag",
    "in summer": "im Sommer",
    "at night": "nachts",
    "now, at last": "jetzt endlich",
    "on Monday": "am Montag",
    "very often": "sehr oft",
    "again": "schon wieder",
    "at home": "zu Hause",
    "in the garden": "im Garten",
    "near the bridge": "an der Brücke",
    "for nothing": "umsonst",
    "without a hat": "ohne Hut",
    "in the rain": "im Regen",
    "after school": "nach der Schule",
    "before lunch": "vor dem Essen",
}


def english_german() -> bytes:
    """5,000 lines like a user's own: a BOM, umlauts, quotes, stray tabs, an empty line."""
    all_pairs = [
        (f"{s} {v} {o} {t}", f"{SUBJECTS[s]} {VERBS[v]} {OBJECTS[o]} {TIMES[t]}")
        for s in SUBJECTS
        for v in VERBS
        for o in OBJECTS
        for t in TIMES
    ]
    draw = random.Random(1)
    lines = [f"{a}\t{b}" for a, b in draw.sample(all_pairs, 4_000)]
    lines += [f"{a}.\t{b}." for a, b in draw.sample(all_pairs, 993)]
    draw.shuffle(lines)
    odd = ["", "\tstray\ttab", "\t", "no tab at all", "two\t\ttabs", "a\tb\tc", "trailing\t"]
    for number, line in enumerate(odd):
        lines.insert(100 + 600 * number, line)
    lines[3] += "\t\t"  # empty columns of a spreadsheet
    assert len(lines) == 5_000
    return b"\xef\xbb\xbf" + "\r\n".join(lines).encode()


def give_file(page: Page, name: str, content: bytes) -> None:
    page.get_by_label("File of pairs").set_input_files(
        {"name": name, "mimeType": "text/plain", "buffer": content}
    )
    expect(page.get_by_text("Pairs read:")).to_be_visible()
    settle(page)


def test_five_thousand_lines_of_ones_own_are_learned(server: Server, new_page: NewPage) -> None:
    page = new_page()
    query = "preset=tiny&steps=200&batch_size=64&eval_every=100&eval_examples=16&final_examples=60"
    page.goto(f"{server.url}/train?task=pairs&{query}")
    settle(page)
    give_file(page, "deu.tsv", english_german())
    expect(
        page.get_by_text("Pairs read: 4,993. Lines left out: 5. Empty lines: 2.")
    ).to_be_visible()
    press_train(page, server)
    trained(page, server)
    expect(page.get_by_text(re.compile(r"^Finished, at step 200")).first).to_be_visible()
    # The run's name lists the changed settings.
    name = re.compile(r"^deu\.tsv \(tiny, updates 200, pairs in a batch 64, ")
    expect(page.get_by_role("combobox", name="Run")).to_have_value(name)
    verdict = page.locator(".run-verdict")
    expect(verdict).to_contain_text("of 60 unseen inputs right")
    shown = re.search(r"([\d.]+)( %)? of 60", verdict.inner_text())
    assert shown is not None
    assert float(shown[1]) > (10 if shown[2] else 6)

    # The saved checkpoint against the untrained model, built again from the run's seed.
    run = list_runs(server.folder / "runs")[0]
    config = run.config()
    task = build_task(config.data, run.data_file)
    pairs = task.held_out(60)
    assert not {pair.source for pair in pairs} & {pair.source for pair in task.epoch(1, 0, 64)}
    torch.manual_seed(config.training.seed)
    models = {
        "untrained": Transformer(config.model),
        "trained": Checkpoint.load(run.checkpoints()[-1]).model,
    }
    found = {name: evaluate_outputs(model, task, pairs, 0) for name, model in models.items()}
    bleu = {
        name: sacrebleu.corpus_bleu(outputs.outputs, [[pair.target for pair in pairs]]).score
        for name, outputs in found.items()
    }
    assert found["untrained"].exact_match == 0
    assert found["trained"].exact_match > 0.1
    assert bleu["trained"] > 40 > 5 > bleu["untrained"]


def test_a_file_in_pieces_arrives_whole_and_survives_a_reload(
    server: Server, new_page: NewPage
) -> None:
    """The file has more than two pieces, so that their order and the shorter last one matter."""
    lines = [f"{n % 997} sheep sleep {n % 991}\t{n % 997} Schafe schlafen" for n in range(60_000)]
    content = "\n".join(lines).encode()
    assert len(content) > 2 << 20
    page = new_page()
    page.goto(f"{server.url}/train?task=pairs")
    settle(page)
    page.get_by_label("File of pairs").set_input_files(
        {"name": "sheep.tsv", "mimeType": "text/plain", "buffer": content}
    )
    page.wait_for_url(re.compile("pairs="))
    page.reload()  # while it is being read
    expect(page.get_by_text("Pairs read: 60,000.")).to_be_visible(timeout=60_000)
    settle(page)
    id = re.search("pairs=([0-9a-f]{32})", page.url)
    assert id is not None
    kept = server.folder / "runs" / "uploads" / "pairs" / id[1] / "data.tsv"
    assert kept.read_bytes() == content + b"\n"
    other = new_page()
    other.goto(page.url)
    expect(other.get_by_text("Pairs read: 60,000.")).to_be_visible()


def test_a_messy_file_is_explained_accessibly(server: Server, new_page: NewPage) -> None:
    page = new_page(scheme="dark", width=PHONE)
    page.goto(f"{server.url}/train?task=pairs")
    settle(page)
    page.get_by_label("File of pairs").set_input_files(
        {"name": "no.tsv", "mimeType": "text/plain", "buffer": b"PK\x03\x04" + b"\0" * 100}
    )
    expect(page.get_by_test_id("stAlert").filter(has_text="Excel workbook")).to_be_visible()
    settle(page)
    bad = "".join("nothing\n" for _ in range(150))
    give_file(
        page, "<b>messy.csv", f"NA is;null\ngrün is;green\n{bad}1e5 is;<s> x\n".encode("cp1252")
    )
    expect(page.get_by_text("Read as Windows-1252")).to_be_visible()
    expect(page.get_by_text("separated by semicolons")).to_be_visible()
    expect(page.get_by_text("<b>messy.csv")).to_be_visible()
    page.get_by_text("Lines left out, with the reasons (150)").click()
    expect(page.get_by_text("The first 100 of 150:")).to_be_visible()
    page.get_by_text("Lengths and vocabularies").click()
    expect(page.locator(".pieces").first).to_contain_text("NA")
    page.get_by_text("A link to this form").click()
    expect(page.get_by_role("button", name="Copy a link", exact=True)).to_be_visible()
    settle(page)
    assert_fit_for_all(page)


def test_a_link_to_the_form_is_copied_with_the_keyboard(
    server: Server, new_page: NewPage, tmp_path: Path
) -> None:
    page = new_page()
    page.goto(f"{server.url}/train?task=sort")
    settle(page)
    page.get_by_text("Settings", exact=True).click()
    steps = page.get_by_label("Updates", exact=True)
    steps.fill("7")
    steps.press("Enter")
    page.wait_for_url(re.compile("steps=7"))
    settle(page)
    page.locator("summary", has_text="A link to this form").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Copy a link", exact=True)).to_be_visible()
    for _ in range(3):  # the first button, its address, the second button
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_text("Copied")).to_be_visible()
    page.context.grant_permissions(["clipboard-read"])
    url = page.evaluate("navigator.clipboard.readText()")
    assert url == f"{server.url}/train?task=sort&steps=7&controls=hidden"
    steps.fill("9")
    steps.press("Enter")
    page.wait_for_url(re.compile("steps=9"))
    changed = time.monotonic()
    student = new_page()
    student.goto(url)
    expect(student.get_by_text("Sort letters, preset small: updates 7.")).to_be_visible()
    expect(student.get_by_role("button", name="Train", exact=True)).to_be_enabled()
    expect(student.get_by_text("Settings", exact=True)).to_have_count(0)
    # Back fills in the form too; within 3 s, the app takes an older address for a late one.
    page.wait_for_timeout(max(0.0, 3_200 - 1000 * (time.monotonic() - changed)))
    page.go_back()
    expect(steps).to_have_value("7")


def test_a_change_and_train_at_once_keep_the_change(server: Server, new_page: NewPage) -> None:
    page = new_page()
    page.goto(f"{server.url}/train?task=copy&final_examples=8&eval_examples=8")
    settle(page)
    page.get_by_text("Settings", exact=True).click()
    steps = page.get_by_label("Updates", exact=True)
    steps.fill("3")
    press_train(page, server)
    assert list_runs(server.folder / "runs")[0].config().training.steps == 3


RUSSIAN = {"кот": "the cat", "дом": "the house", "лес": "the forest", "река": "the river"}
ACTS = {"спит": "sleeps", "растёт": "grows", "шумит": "is loud", "молчит": "is silent"}
LONG = pytest.mark.long


def with_ids(lines: int) -> bytes:
    """A CSV table in Russian with column names and ids, in Windows-1251."""
    pairs = [(f"{a} {b}", f"{RUSSIAN[a]} {ACTS[b]}") for a in RUSSIAN for b in ACTS]
    rows = (f"{n};{pairs[n % 16][0]} {n};{pairs[n % 16][1]} {n}" for n in range(lines))
    return "\r\n".join(["id;русский;english", *rows]).encode("cp1251")


@pytest.mark.parametrize("lines", [400, pytest.param(250_000, marks=LONG)])
def test_a_table_with_ids_in_windows_1251_is_understood(
    server: Server, new_page: NewPage, lines: int
) -> None:
    """The table is read correctly without a click, and every guess can be changed."""
    content = with_ids(lines)
    page = new_page()
    page.goto(f"{server.url}/train?task=pairs&preset=tiny&steps=1&eval_examples=4&final_examples=4")
    settle(page)
    page.get_by_label("File of pairs").set_input_files(
        {"name": "таблица.csv", "mimeType": "text/csv", "buffer": content}
    )
    expect(page.get_by_text(f"Pairs read: {lines:,}.")).to_be_visible(timeout=180_000)
    settle(page)
    for said in ("Windows-1251 (Cyrillic)", "id | русский | english", "semicolons"):
        expect(page.get_by_text(said).first).to_be_visible()
    # The first five pairs are shown as they will be learned.
    table = page.locator(".rows table").first
    expect(table.locator("tr")).to_have_count(6)
    expect(table).to_contain_text("кот спит 0")
    expect(table).to_contain_text("the cat sleeps 0")
    if lines > 10_000:
        assert len(content) > 9_000_000
        press_train(page, server)
        return
    choose(page, "Target column", "Column 1 (id)")
    expect(page.get_by_text("column 1 (id) the target")).to_be_visible()
    expect(page.locator(".rows table").first).to_contain_text("кот спит 0")
    page.get_by_role("checkbox", name="The first line names the columns").press("Space")
    settle(page)
    expect(page.get_by_text(f"Pairs read: {lines + 1:,}.")).to_be_visible()
    choose(page, "Encoding", "KOI8-R (Cyrillic)")
    expect(page.get_by_text("Read as KOI8-R (Cyrillic).")).to_be_visible()
    assert_fit_for_all(page)


def choose(page: Page, box: str, option: str) -> None:
    page.get_by_role("combobox", name=box).click()
    page.get_by_role("option", name=option).click()
    settle(page)


def test_sources_and_targets_come_in_two_files(server: Server, new_page: NewPage) -> None:
    page = new_page()
    page.goto(f"{server.url}/train?task=pairs")
    settle(page)
    page.get_by_label("File of pairs").set_input_files(
        {"name": "a.en", "mimeType": "text/plain", "buffer": b"good morning\nthank you\n"}
    )
    targets = page.get_by_label("File of the targets")
    expect(targets).to_be_attached()
    settle(page)
    targets.set_input_files(
        {"name": "b.de", "mimeType": "text/plain", "buffer": b"guten Morgen\ndanke\n"}
    )
    expect(page.get_by_text("Pairs read: 2.")).to_be_visible()
    expect(page.get_by_text("Two files, line by line")).to_be_visible()
