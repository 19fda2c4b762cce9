"""The Runs page in Streamlit's test runner: selection, editing, deletion, and damaged runs."""

import hashlib
import json
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from tests.runs.test_table import CONFIG, make, some_metrics
from tests.support.nursery import Nursery
from tests.support.opened_pages import messages, open_page
from tests.support.trainers import ended, no_trainer_left, tiny
from transformer.runs import trash
from transformer.runs.creation import About, create_run
from transformer.runs.directory import ROOT, Run, Status, list_runs, note_change
from transformer.tasks.presets import prepare

NAME = "**bold** <b>x</b> =1 [a](http://b)"


pytestmark = pytest.mark.usefixtures("own_folder")


def open_runs(**query: str) -> AppTest:
    return open_page("runs", **query)


def shown(app: AppTest) -> list[dict[str, object]]:
    """The table's rows as they were sent to the browser."""
    [table] = [data for block in app.get("bidi_component") if "rows" in (data := sent(block))]
    rows: list[dict[str, object]] = table["rows"]
    return rows


def sent(block: object) -> dict[str, Any]:
    """The data sent to a component, which come in a list."""
    found: dict[str, Any]
    [found] = json.loads(block.proto.json or "[{}]")  # type: ignore[attr-defined]
    return found


def texts(app: AppTest) -> str:
    return "\n".join(block.value for block in (*app.markdown, *app.caption))


def test_without_runs_the_page_says_where_to_begin() -> None:
    app = open_runs()
    assert not app.exception
    assert "No run yet" in app.info[0].value


def test_a_link_opens_the_comparison_it_was_copied_from() -> None:
    one, two = (make(ROOT, name, some_metrics(5)) for name in ("one", "two"))
    app = open_runs(runs=f"{one.id},{two.id}", x="tokens", scale="log", order="name")
    assert not messages(app)
    assert [row["name"] for row in shown(app)] == ["one", "two"]
    assert "2 runs side by side" in app.subheader[0].value
    assert "equal bit for bit" in texts(app)
    assert app.query_params["runs"] == f"{one.id},{two.id}"
    assert app.query_params["x"] == "tokens"
    assert app.query_params["scale"] == "log"
    app.button(key="none").click().run()
    assert "runs" not in app.query_params
    assert not app.subheader


def test_a_bad_link_is_named_or_put_right() -> None:
    run = make(ROOT, "one")
    app = open_runs(runs=f"{run.id},0123456789ab,", x="parsecs", scale="5", order="__x")
    assert "0123456789ab" in messages(app)[0]
    assert len(messages(app)) == 1
    assert app.query_params["x"] == "step"
    app = open_runs(runs=",".join(["x"] * 500))
    assert not app.exception
    assert len(messages(app)) <= 8


def test_runs_that_part_are_told_where() -> None:
    metrics = '{"kind": "eval", "step": %d, "loss": %s, "seconds": 1}\n'
    same = metrics % (0, 3.5)
    ids = [make(ROOT, "r", same + metrics % (7, loss)).id for loss in (2.25, 2.5)]
    app = open_runs(runs=",".join(ids))
    assert "part at step 7: evaluation loss 2.25 against 2.5" in texts(app)


def test_search_narrows_the_table() -> None:
    for name in ("apple", "pear"):
        make(ROOT, name)
    app = open_runs()
    app.text_input(key="search").set_value("PEAR").run()
    assert [row["name"] for row in shown(app)] == ["pear"]
    assert app.query_params["search"] == "PEAR"
    app.text_input(key="search").set_value("plum").run()
    assert "No run has all these words" in app.info[0].value


def test_a_name_is_changed_and_shown_as_it_is() -> None:
    run = make(ROOT, "before", some_metrics(6))
    app = open_runs(runs=run.id)
    app.text_input(key=f"name {run.id}").set_value(NAME).run()
    app.text_area(key=f"notes {run.id}").set_value("first\nsecond").run()
    assert run.about()["name"] == NAME
    assert run.about()["notes"] == "first\nsecond"
    assert shown(app)[0]["name"] == NAME
    assert "**" not in app.expander[0].label
    assert [toggle.key for toggle in app.toggle] == ["figure to save"]
    assert not messages(app)


def owned(app: AppTest, run: Run) -> None:
    """Make this session's browser the owner of the run."""
    token = app.session_state["proposed token"]
    about = run.about() | {"owner": hashlib.sha256(token.encode()).hexdigest()}
    (run.path / "about.json").write_text(json.dumps(about))
    note_change()


def test_a_run_on_own_pairs_is_private_until_it_is_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKBENCH_MODE", "class")
    run = make(ROOT, "mine")
    (run.path / "data.tsv").write_text("a\tb\n")
    app = open_runs()
    owned(app, run)
    app.query_params["runs"] = run.id
    app.run()
    assert shown(app)[0]["private"]
    app.toggle(key=f"shared {run.id}").set_value(True).run()
    assert run.about()["shared"] is True
    assert not shown(app)[0]["private"]
    monkeypatch.setenv("WORKBENCH_MODE", "personal")
    run.change(shared=False)
    app.run()
    assert not shown(app)[0]["private"]


def test_deleting_can_be_undone() -> None:
    gone, left = (make(ROOT, name, some_metrics(7)) for name in ("gone", "left"))
    app = open_runs(runs=f"{gone.id},{left.id}")
    app.button(key=f"delete {gone.id}").click().run()
    assert [run.id for run in list_runs()] == [left.id]
    assert app.query_params["runs"] == left.id
    assert "gone is in the trash" in app.info[0].value
    app.button(key="undo delete").click().run()
    assert {run.id for run in list_runs()} == {gone.id, left.id}
    # Without the undo button, the trash still has the run.
    app.button(key=f"delete {left.id}").click().run()
    app = open_runs()
    app.button(key=f"restore {left.id}").click().run()
    assert {run.id for run in list_runs()} == {gone.id, left.id}
    assert not trash.deleted_runs()
    assert not messages(app)


def test_a_run_deleted_elsewhere_is_named_and_the_page_goes_on() -> None:
    run = make(ROOT, "one", some_metrics(8))
    app = open_runs(runs=run.id)
    trash.delete(run)
    app.text_input(key=f"name {run.id}").set_value("new name").run()
    assert not app.exception
    assert all("our fault" not in message for message in messages(app))
    assert any(run.id in message for message in messages(app))


def test_a_damaged_run_stands_beside_sound_ones_and_can_be_deleted() -> None:
    sound, damaged = (make(ROOT, name, some_metrics(9)) for name in ("sound", "damaged"))
    (damaged.path / "config.json").write_text("{")
    app = open_runs(runs=f"{sound.id},{damaged.id}")
    assert not messages(app)
    assert {row["state"] for row in shown(app)} == {"finished", "damaged"}
    assert "is damaged" in texts(app)
    app.button(key=f"delete {damaged.id}").click().run()
    assert [run.id for run in list_runs()] == [sound.id]
    assert not messages(app)


def test_a_private_run_of_another_browser_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKBENCH_MODE", "class")
    public, private = make(ROOT, "public"), make(ROOT, "private")
    (private.path / "data.tsv").write_text("a\tb\n")
    app = open_runs(runs=f"{private.id},{public.id}")
    assert [row["name"] for row in shown(app)] == ["public"]
    assert private.id in messages(app)[0]
    # Only its owner may change a run, even if anyone may see it.
    assert "Only the browser that started this run" in texts(app)
    keys = {button.key for button in app.button}
    assert f"delete {public.id}" not in keys
    assert not [field for field in app.text_input if field.key == f"name {public.id}"]


def test_runs_that_have_measured_nothing_yet_can_be_compared() -> None:
    config = prepare("sort")[1]
    ids = [create_run(one, root=ROOT).id for one in (CONFIG, CONFIG, config)]
    for name in ids:
        Run(ROOT / name).set_status(Status("stopped"))
    app = open_runs(runs=",".join(ids), scale="log-log", x="seconds")
    assert not app.exception
    assert not messages(app)
    assert "nothing that both recorded" in texts(app)


def test_a_trained_run_can_be_trained_on(nursery: Nursery) -> None:
    run = create_run(tiny(steps=20), about=About("first"), root=ROOT.resolve())
    assert nursery.train(run, environment={}).wait() == 0
    app = open_runs(runs=run.id)
    app.number_input(key=f"more steps {run.id}").set_value(10).run()
    with no_trainer_left(ROOT.resolve()):
        app.button(key=f"train on {run.id}").click().run()
        assert not messages(app)
        [made] = [one for one in list_runs() if one.id != run.id]
        ended(made, "finished")
    assert made.config().training.steps == 30
    app.run()
    assert [row["parent"] for row in shown(app)] == [run.id, ""]
    assert [row["steps"] for row in shown(app)] == ["30 / 30", "20 / 20"]


def test_a_run_with_nothing_saved_cannot_be_trained_on() -> None:
    run = make(ROOT, "one")
    app = open_runs(runs=run.id)
    assert f"train on {run.id}" not in {button.key for button in app.button}
