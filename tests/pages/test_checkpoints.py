"""The Checkpoints page in Streamlit's test runner, and its store of uploads."""

import json
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import streamlit as st
import torch
from streamlit.testing.v1 import AppTest

from pages.components.checkpoints import upload
from pages.components.checkpoints.actions import file_name
from pages.components.shell import models
from pages.components.stores import uploads
from pages.components.stores.arrivals import Arrival
from tests.support import opened_pages
from tests.support.checkpoint_files import make
from tests.support.opened_pages import messages
from tests.support.places import bundled_file
from transformer.checkpoint import Checkpoint
from transformer.config import DataConfig
from transformer.errors import CheckpointError, UserError
from transformer.runs.creation import About, create_run
from transformer.runs.directory import Run
from transformer.runs.snapshots import save_snapshot
from transformer.tasks.presets import prepare

ME, YOU = "1" * 64, "2" * 64


pytestmark = pytest.mark.usefixtures("own_folder")


def open_page(**query: str) -> AppTest:
    app = opened_pages.open_page("checkpoints", **query)
    assert not app.exception
    return app


def said(app: AppTest) -> str:
    return "\n".join(block.value for block in (*app.markdown, *app.caption, *app.info))


def bundled(name: str = "reverse") -> Checkpoint:
    return Checkpoint.load(bundled_file(name))


def moved(checkpoint: Checkpoint, seed: int) -> Checkpoint:
    """The same model with slightly changed weights."""
    generator = torch.Generator().manual_seed(seed)
    tensors = {
        name: tensor + 0.02 * torch.randn(tensor.shape, generator=generator)
        for name, tensor in sorted(checkpoint.tensors.items())  # a file's order is arbitrary
    }
    summary = replace(checkpoint.summary, steps=seed + 1)  # type: ignore[type-var]
    return Checkpoint(replace(checkpoint.header, summary=summary, sha256=""), tensors)


def run_of(*contents: bytes, **about: Any) -> Run:
    """A run with one snapshot per file, at step 1, 2 and so on."""
    _, config = prepare("reverse", training={"steps": len(contents)})
    run = create_run(config, About(**about))
    for number, content in enumerate(contents, start=1):
        save_snapshot(run.path, number, 1.0 / number, content, b"")
    return run


# --- uploads: names, notes, trash -----------------------------------------------------------------


def test_an_upload_keeps_its_name_and_note() -> None:
    content = make().to_bytes()
    kept, _ = uploads.keep("a.safetensors", content, ME)
    assert (kept.note, kept.owners) == ("", (ME,))
    uploads.change(kept.sha256, name="  My   best\nmodel ", note="of Tuesday")
    [found] = uploads.kept()
    assert (found.name, found.note, found.owners) == ("My best model", "of Tuesday", (ME,))
    # The same file once more: the note stays.
    uploads.keep("b.safetensors", content, YOU)
    [found] = uploads.kept()
    assert (found.name, found.note) == ("b.safetensors", "of Tuesday")
    assert found.owners == (ME, YOU)
    with pytest.raises(CheckpointError, match="at least one letter"):
        uploads.change(kept.sha256, name=" \n ")
    long = uploads.change(kept.sha256, name="x" * 1000, note="y" * 100_000)
    assert (len(long.name), len(long.note)) == (uploads.MAX_NAME, uploads.MAX_NOTE)


def test_a_deleted_upload_comes_back_as_it_was() -> None:
    content = make().to_bytes()
    kept, _ = uploads.keep("a.safetensors", content, ME)
    uploads.change(kept.sha256, note="precious")
    before = uploads.kept()
    assert uploads.delete(kept.sha256)
    assert uploads.kept() == []
    assert [one.note for one in uploads.trash()] == ["precious"]
    assert uploads.restore(kept.sha256) == before[0]
    assert uploads.kept() == before
    assert uploads.trash() == []
    assert kept.path.read_bytes() == content
    with pytest.raises(CheckpointError, match="not here"):
        uploads.restore("0" * 64)
    for name in ("0" * 64, "../../etc/passwd", ""):
        with pytest.raises(CheckpointError, match="not here"):
            uploads.delete(name)


def test_what_two_brought_stays_for_the_other() -> None:
    content = make().to_bytes()
    for owner in (ME, YOU):
        kept, _ = uploads.keep("a.safetensors", content, owner)
    assert not uploads.delete(kept.sha256, ME)
    assert [one.owners for one in uploads.kept()] == [(YOU,)]
    assert uploads.restore(kept.sha256, ME).owners == (YOU, ME)
    assert not uploads.delete(kept.sha256, YOU)
    assert uploads.delete(kept.sha256, ME)


def test_the_trash_does_not_grow_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "TRASH", replace(uploads.TRASH, most=2))
    for seed in range(4):
        kept, _ = uploads.keep(f"{seed}.safetensors", make(seed).to_bytes(), ME)
        uploads.delete(kept.sha256)
        os.utime(uploads.TRASH.path / kept.path.name, (seed, seed))
    assert [one.name for one in uploads.trash()] == ["3.safetensors", "2.safetensors"]
    assert len(list(uploads.TRASH.path.iterdir())) == 4


def test_one_visitor_takes_no_upload_of_another(monkeypatch: pytest.MonkeyPatch) -> None:
    """Uploads and deletions of one visitor remove no other's files from the store or the trash."""
    monkeypatch.setattr(uploads, "STORE", replace(uploads.STORE, most=3))
    monkeypatch.setattr(uploads, "TRASH", replace(uploads.TRASH, most=3))
    uploads.keep("theirs.safetensors", make(100).to_bytes(), YOU)
    deleted, _ = uploads.keep("deleted.safetensors", make(101).to_bytes(), YOU)
    uploads.delete(deleted.sha256, YOU)
    for seed in range(6):
        kept, _ = uploads.keep(f"{seed}.safetensors", make(seed).to_bytes(), ME)
    assert [one.name for one in uploads.kept()] == [
        *("5.safetensors", "4.safetensors", "theirs.safetensors"),
    ]
    for seed in range(6):
        kept, _ = uploads.keep(f"{seed}.safetensors", make(seed).to_bytes(), ME)
        uploads.delete(kept.sha256, ME)
    assert "deleted.safetensors" in [one.name for one in uploads.trash()]
    assert uploads.restore(deleted.sha256, YOU).path.exists()
    # When each owner has one file left, none is removed, and a new one is refused.
    for seed, owner in ((200, ME), (201, "c" * 64)):
        uploads.keep("one.safetensors", make(seed).to_bytes(), owner)
    assert sorted(one.owners for one in uploads.kept()) == sorted([(YOU,), (ME,), ("c" * 64,)])
    with pytest.raises(UserError, match="There is no room for it"):
        uploads.keep("one more.safetensors", make(202).to_bytes(), "d" * 64)
    assert len(uploads.kept()) == 3


@pytest.mark.parametrize("beside", ["[]", '{"name": 5, "note": {}}', '{"note": "\\ud800"}', "x"])
def test_a_damaged_note_takes_nothing_down(beside: str) -> None:
    kept, _ = uploads.keep("a.safetensors", make().to_bytes(), ME)
    kept.path.with_suffix(".json").write_text(beside)
    app = open_page(checkpoint=kept.id)
    assert not messages(app)


def test_a_file_that_is_known_already_is_named() -> None:
    whole = bundled()
    run = run_of(moved(whole, 1).to_bytes(), name="Mine: 2 changed")
    snapshot = run.checkpoints()[0]
    for path, name in (
        (bundled_file("sort"), "Sort letters"),
        (snapshot, "Mine: 2 changed, step 1"),
    ):
        kept, _ = uploads.keep("copy.safetensors", path.read_bytes(), ME)
        same = models.identical(kept.path)
        assert same is not None
        assert same.name == name
    kept, _ = uploads.keep("other.safetensors", moved(whole, 2).to_bytes(), ME)
    assert models.identical(kept.path) is None


def test_downloads_are_called_what_the_model_is_called() -> None:
    run = run_of(bundled().to_bytes(), name="Mine: 2 changed")
    names = {entry.id: file_name(entry) for entry in models.listed_checkpoints().values()}
    assert names[f"run-{run.id}-1"] == "mine-2-changed-step-1.safetensors"
    assert names["reverse"] == "reverse.safetensors"


# --- the card -------------------------------------------------------------------------------------


def test_at_first_glance_the_model_answers_as_it_did() -> None:
    app = open_page(checkpoint="reverse")
    example = bundled().header.examples[0]
    assert f"Decoded now: `{example.source}` → `{example.output}`" in said(app)
    assert "Equal to what it gave when it was saved" in said(app)
    assert any("d_k 32" in str(drawn.proto) for drawn in app.get("bidi_component"))
    assert not messages(app)


def test_an_answer_that_is_another_is_said_to_be() -> None:
    checkpoint = bundled()
    examples = [replace(one, output="never") for one in checkpoint.header.examples]
    header = replace(checkpoint.header, examples=examples, sha256="")
    kept, _ = uploads.keep("a.safetensors", Checkpoint(header, checkpoint.tensors).to_bytes(), ME)
    app = open_page(checkpoint=kept.id)
    assert "When it was saved, it gave `never`" in said(app)


def test_a_model_from_elsewhere_without_examples_has_a_card() -> None:
    one = make()
    made = Checkpoint.of(
        one.model,
        one.source_vocabulary,
        one.target_vocabulary,
        DataConfig(task="imported"),
        None,
        [],
        origin="From a tutorial.",
        licence="MIT",
    )
    kept, _ = uploads.keep("elsewhere.safetensors", made.to_bytes(), ME)
    for card in ("parameters", "training", "vocabulary", "examples", "average", "compare"):
        app = open_page(checkpoint=kept.id, card=card)
        assert not messages(app), card
    assert "brings no example" in said(app)
    app = open_page(checkpoint=kept.id, card="training")
    assert "trained elsewhere" in said(app)


@pytest.mark.parametrize("card", ["parameters", "training", "vocabulary", "examples", "<b>"])
def test_every_part_of_the_card_is_drawn(card: str) -> None:
    app = open_page(checkpoint="sort", card=card)
    assert not messages(app)
    if card == "vocabulary":
        app.text_input(key="vocabulary search").set_value("letter").run()
        assert "26 of 30" in said(app)
    if card == "examples":
        assert set(app.dataframe[0].value["Right"]) == {"✓"}
    if card == "<b>":
        assert app.session_state["card"] == "examples"


def test_the_curve_of_a_file_is_drawn_up_to_its_step() -> None:
    checkpoint = bundled()
    curve: list[list[float]] = [[0, 5.0, 0.0], [100, 1.0, 0.5], [1500, 0.1, 1.0]]
    header = replace(
        checkpoint.header,
        summary=replace(checkpoint.summary, curve=curve),  # type: ignore[type-var]
        sha256="",
    )
    kept, _ = uploads.keep("a.safetensors", Checkpoint(header, checkpoint.tensors).to_bytes(), ME)
    app = open_page(checkpoint=kept.id, card="training")
    charts = [json.loads(chart.proto.spec) for chart in app.get("plotly_chart")]
    losses, exact = charts
    assert losses["data"][1]["y"] == [5.0, 1.0, 0.1]
    assert losses["data"][2]["name"].startswith("untrained model")
    assert exact["data"][0]["y"] == [0, 50, 100]
    assert "has no curve" in said(open_page(checkpoint="sort", card="training"))


def test_the_parameters_are_drawn_by_part() -> None:
    [chart] = open_page(checkpoint="sort", card="parameters").get("plotly_chart")
    assert len(json.loads(chart.proto.spec)["data"][0]["y"]) == 9


# --- edit, delete, undo ---------------------------------------------------------------------------


def test_an_upload_is_renamed_noted_deleted_and_back() -> None:
    kept, _ = uploads.keep("a.safetensors", make().to_bytes(), ME)
    app = open_page(checkpoint=kept.id)
    app.text_input(key=f"name {kept.id}").set_value("Mine").run()
    app.text_area(key=f"note {kept.id}").set_value("**not** bold <b>").run()
    assert uploads.kept()[0].name == "Mine"
    assert app.selectbox(key="checkpoint").options[0].startswith("Mine · ")
    assert "&#42;&#42;not&#42;&#42; bold" in said(app)
    app.text_input(key=f"name {kept.id}").set_value(" ").run()
    assert "at least one letter" in messages(app)[0]
    app.button(key=f"delete {kept.id}").click().run()
    assert app.selectbox(key="checkpoint").value == "reverse"
    assert "Mine is in the trash" in said(app)
    app.button(key="undo delete").click().run()
    assert app.selectbox(key="checkpoint").value == kept.id
    assert uploads.kept()[0].name == "Mine"
    app.button(key=f"delete {kept.id}").click().run()
    again = open_page()  # a new session: the trash is still there
    again.button(key=f"restore {kept.id}").click().run()
    assert again.selectbox(key="checkpoint").value == kept.id


def test_bundled_ones_say_that_they_stay_and_runs_are_named_as_runs() -> None:
    assert "part of the app" in said(open_page(checkpoint="reverse"))
    run = run_of(bundled().to_bytes(), name="first")
    app = open_page(checkpoint=f"run-{run.id}-1")
    app.text_input(key=f"name {run.id}").set_value("second").run()
    app.text_area(key=f"note {run.id}").set_value("of the run").run()
    assert (run.about()["name"], run.about()["notes"]) == ("second", "of the run")
    assert "of the run" in said(app)


def test_in_a_class_only_its_owner_may_change_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKBENCH_MODE", "class")
    theirs, _ = uploads.keep("theirs.safetensors", make(1).to_bytes(), YOU)
    app = open_page(checkpoint=theirs.id)  # by its link
    assert "Only the browser that uploaded it" in said(app)
    assert not [one for one in app.text_input if one.key == f"name {theirs.id}"]
    run = run_of(bundled().to_bytes(), owner=YOU)
    app = open_page(checkpoint=f"run-{run.id}-1")
    assert "Only the browser that started this run" in said(app)
    uploads.delete(theirs.sha256, YOU)
    assert not [one for one in open_page().button if one.key == f"restore {theirs.id}"]


# --- the check ------------------------------------------------------------------------------------


def test_the_check_stays_and_can_be_saved() -> None:
    app = open_page(checkpoint="reverse")
    app.button(key="check").click().run()
    assert "behaves exactly as it did" in said(app)
    app.run()
    assert "behaves exactly as it did" in said(app)
    labels = [button.proto.label for button in app.get("download_button")]
    assert {"Download", "Evidence to print", "Evidence as JSON"} <= set(labels)
    app.selectbox(key="checkpoint").set_value("sort").run()
    assert "behaves exactly as it did" not in said(app)


# --- averages and comparisons ---------------------------------------------------------------------


def test_several_are_averaged_scored_and_kept() -> None:
    whole = bundled()
    run = run_of(*(moved(whole, seed).to_bytes() for seed in range(3)))
    app = open_page(checkpoint=f"run-{run.id}-3", card="average")
    [box] = app.multiselect
    assert box.value == [f"run-{run.id}-{step}" for step in (1, 2, 3)]
    assert any(option == "Reverse letters · 99.9 % right · bundled" for option in box.options)
    box.set_value(box.value[:2]).run()
    next(one for one in app.button if one.label.startswith("Average 2")).click().run()
    deadline = time.monotonic() + 60
    while "The score" not in said(app):
        assert time.monotonic() < deadline
        time.sleep(0.2)
        app.run()
    bars = [json.loads(chart.proto.spec) for chart in app.get("plotly_chart")]
    assert [len(one["data"][0]["y"]) for one in bars] == [3, 3]
    app.button(key="keep average").click().run()
    [kept] = uploads.kept()
    assert app.selectbox(key="checkpoint").value == kept.id
    made = Checkpoint.load(kept.path)
    assert made.summary is not None
    assert made.summary.examples == 1000
    for name, tensor in made.tensors.items():
        mean = (moved(whole, 0).tensors[name] + moved(whole, 1).tensors[name]) / 2
        assert torch.allclose(tensor, mean, atol=1e-6)


def test_nothing_to_average_with_says_so() -> None:
    assert "no checkpoint to average this one with" in said(
        open_page(checkpoint="sort", card="average")
    )


def test_two_cards_have_an_address() -> None:
    app = open_page(checkpoint="reverse", compare="sort")
    assert app.session_state["card"] == "compare"
    table = "".join(block.proto.body for block in app.get("html"))
    assert "Encoder layers" in table
    assert "≠" in table
    assert "Width (d_model)" not in table
    assert "different shapes" in said(app)
    app.toggle(key="compare everything").set_value(True).run()
    assert "Width (d_model)" in "".join(block.proto.body for block in app.get("html"))
    assert app.query_params["compare"] == ["sort"] or app.query_params["compare"] == "sort"
    # The Attention page's own comparison is not affected.
    app.switch_page("pages/attention.py").run()
    assert app.selectbox(key="compare").value == ""


def test_a_comparison_with_what_is_not_here_names_it() -> None:
    app = open_page(checkpoint="reverse", compare="nowhere")
    assert "nowhere" in messages(app)[0]


def test_an_upload_is_loaded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = []
    load = Checkpoint.load

    def counted(source: Path | str | bytes) -> Checkpoint:
        loaded.append(source)
        return load(source)

    path = tmp_path / "brought"
    path.write_bytes(make(7).to_bytes())
    monkeypatch.setattr(Checkpoint, "load", counted)
    id = upload._keep(Arrival("mine.safetensors", path), path)
    assert id == st.session_state["outcome"].id
    assert len(loaded) == 1
