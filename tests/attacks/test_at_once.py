"""Several users act at the same moment: nothing that any of them gives is lost."""

import io
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from pages.components.stores import answers, arrivals, pairs, uploads
from tests.runs.test_table import make as make_run
from tests.support.checkpoint_files import make
from tests.support.opened_pages import open_page
from transformer.errors import TaskError, UserError
from transformer.files import change_object
from transformer.runs.directory import ROOT, Run

pytestmark = pytest.mark.usefixtures("own_folder")
OWNERS = [f"{number:02}" * 32 for number in range(30)]


def at_once(*acts: Callable[[], object]) -> None:
    """Run all functions at the same moment, each in its own thread; fail if one raises."""
    ready, failed = threading.Barrier(len(acts)), list[BaseException]()

    def do(act: Callable[[], object]) -> None:
        ready.wait()
        try:
            act()
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=do, args=(act,)) for act in acts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed


# --- answers to a lesson ------------------------------------------------------------------------


@contextmanager
def lesson_in_two_tabs(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[AppTest, AppTest]]:
    monkeypatch.setattr("pages.components.shell.browser.owner", lambda: OWNERS[1])
    yield (
        open_page("learn", learn="lesson", part="2"),
        open_page("learn", learn="lesson", part="2"),
    )


def test_answers_typed_in_two_tabs_both_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    with lesson_in_two_tabs(monkeypatch) as (one, other):
        one.text_area[0].set_value("the first, here").run()
        other.text_area[1].set_value("the second, there").run()
        # The older tab shows the answer typed in the other, and does not overwrite it.
        assert other.text_area[0].value == "the first, here"
        assert any("2 of" in caption.value for caption in other.caption)
        one.text_area[0].set_value("the first, again").run()
        assert one.text_area[1].value == "the second, there"
        third = open_page("learn", learn="lesson", part="2")
        assert [area.value for area in third.text_area][:2] == [
            "the first, again",
            "the second, there",
        ]


def test_an_answer_that_was_not_written_goes_with_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    with lesson_in_two_tabs(monkeypatch) as (one, other):
        answers.FOLDER.parent.mkdir(exist_ok=True)
        answers.FOLDER.write_text("in the way")
        one.text_area[0].set_value("no room for it").run()
        assert "kept until this tab is closed" in one.warning[0].value
        answers.FOLDER.unlink()
        other.text_area[0].set_value("another").run()
        one.text_area[1].set_value("there is room now").run()
        assert not one.warning
        found = open_page("learn", learn="lesson", part="2")
        assert [area.value for area in found.text_area][:2] == [
            "no room for it",
            "there is room now",
        ]


def test_thirty_answers_at_once_all_stay() -> None:
    def answer(owner: str, number: int) -> Callable[[], None]:
        return lambda: answers.keep_answers(owner, "lesson", {f"exercise {number}": f"{number}"})

    at_once(*(answer(OWNERS[number % 3], number) for number in range(30)))
    for which in range(3):
        assert answers.read_answers(OWNERS[which], "lesson") == {
            f"exercise {number}": f"{number}" for number in range(which, 30, 3)
        }


def test_answers_of_one_browser_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "MOST_ANSWERS", 3)
    for number in range(5):
        answers.keep_answers(OWNERS[0], "lesson", {f"{number}": "x"})
    assert list(answers.read_answers(OWNERS[0], "lesson")) == ["2", "3", "4"]


# --- what several users share -------------------------------------------------------------------


def test_a_name_and_notes_given_at_once_both_stay() -> None:
    run = make_run(ROOT, "before", "")
    at_once(lambda: run.change(name="after"), lambda: Run(run.path).change(notes="seen"))
    about = run.about()
    assert (about["name"], about["notes"]) == ("after", "seen")


def test_thirty_bring_the_same_pairs_at_once() -> None:
    ids = list[str]()

    def bring(owner: str) -> Callable[[], None]:
        def act() -> None:
            arrival = pairs.ArrivingFile("same.tsv", owner)
            arrival.add(b"a\tb\n")
            arrival.add(b"c\td\n")
            ids.append(arrival.keep())

        return act

    at_once(*map(bring, OWNERS))
    (id,) = set(ids)
    folder = pairs.FOLDER / id
    assert set(json.loads((folder / "about.json").read_text())["owners"]) == set(OWNERS)
    assert (folder / "source.tsv").read_bytes() == b"a\tb\nc\td\n"
    assert not list(pairs.FOLDER.glob("arriving-*"))


def test_three_bring_the_same_model_at_once(tmp_path: Path) -> None:
    path = tmp_path / "model"
    make().save(path)
    content = path.read_bytes()

    def bring(owner: str) -> Callable[[], None]:
        def act() -> None:
            arrival = arrivals.put("m.safetensors", io.BytesIO(content), len(content), owner)
            uploads.keep(arrival.name, arrival.path, owner)
            arrival.drop()

        return act

    at_once(*map(bring, OWNERS[:3]))
    (kept,) = uploads.kept()
    assert set(kept.owners) == set(OWNERS[:3])
    assert kept.path.read_bytes() == content
    assert not [one for one in uploads.ARRIVING.iterdir() if one.is_file()]
    at_once(*(lambda owner=owner: uploads.delete(kept.sha256, owner) for owner in OWNERS[:2]))
    assert uploads.of(kept.path).owners == (OWNERS[2],)


def test_what_others_change_at_once_is_never_half(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    at_once(
        *(
            lambda number=number: change_object(
                path, lambda before: before | {str(number): "x" * 10_000}
            )
            for number in range(20)
        )
    )
    assert len(json.loads(path.read_text())) == 20
    assert not [one for one in tmp_path.iterdir() if one.suffix not in (".json", ".lock")]
    with pytest.raises(FileNotFoundError):
        change_object(tmp_path / "gone" / "a.json", lambda before: before)
    assert not (tmp_path / "gone").exists()


# --- uploads that break off ---------------------------------------------------------------------


def test_files_that_break_off_make_way_and_take_nothing_of_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pairs, "ARRIVING", replace(pairs.ARRIVING, most=4, most_bytes=1000))
    theirs = pairs.ArrivingFile("theirs.tsv", OWNERS[1])
    theirs.add(b"a\tb\n")
    broken = []
    for _ in range(20):
        broken.append(pairs.ArrivingFile("x.tsv", OWNERS[2]))
        broken[-1].add(b"x" * 300)
    assert len(list(pairs.FOLDER.glob("arriving-*"))) <= 4
    # A file that was removed cannot be continued from its middle.
    with pytest.raises(TaskError, match="send it again"):
        broken[0].add(b"y")
    theirs.add(b"c\td\n")
    id = theirs.keep()
    assert (pairs.FOLDER / id / "source.tsv").read_bytes() == b"a\tb\nc\td\n"


def test_a_file_that_cannot_be_kept_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    class Torn(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            if self.tell():
                raise OSError(28, "No space left on device")
            return super().read(3)

    with pytest.raises(OSError, match="No space left"):
        arrivals.put("x.pt", Torn(b"abcdef"), 6, OWNERS[0])
    assert not list(arrivals.FOLDER.iterdir())
    monkeypatch.setattr(arrivals, "STORE", replace(arrivals.STORE, most=1))
    arrivals.put("mine.pt", io.BytesIO(b"abc"), 3, OWNERS[0])
    with pytest.raises(UserError, match="no room"):
        arrivals.put("yours.pt", io.BytesIO(b"abc"), 3, OWNERS[1])
    assert [one.read_bytes() for one in arrivals.FOLDER.iterdir()] == [b"abc"]
