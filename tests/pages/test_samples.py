"""The held-out examples on the page: when each was learned, and which errors are left."""

import json
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from pages.components.runs.samples import (
    MOST_MARKS,
    Errors,
    errors_sentence,
    errors_table,
    example_line,
    samples_table,
    when_learned,
)
from transformer.runs.metrics import History, Sample, Samples


def entry(step: int, *rights: bool, token: str = "a") -> Samples:
    samples: list[Sample] = [
        {
            "source": "s",
            "target": [token, "b"],
            "output": [token, "b"] if right else ["c"],
            "right": right,
        }
        for right in rights
    ]
    return {"step": step, "samples": samples}


def test_when_an_example_was_learned_is_said_in_words() -> None:
    def seen(marks: str) -> list[tuple[int, bool]]:
        return [(100 * i, mark == "+") for i, mark in enumerate(marks)]

    assert when_learned(seen("--")) == "not yet"
    assert when_learned(seen("--+")) == "since step 200"
    assert when_learned(seen("-+++")) == "since step 100"
    assert when_learned(seen("+")) == "since step 0"
    assert when_learned(seen("-+-+")) == "since step 300; first at 100, lost once"
    assert when_learned(seen("-+-+-+")) == "since step 500; first at 100, lost 2 times"
    assert when_learned(seen("-+-")) == "was right from step 100, lost once; wrong now"


@given(st.lists(st.booleans(), min_size=1, max_size=12))
def test_the_step_since_which_it_is_right_is_the_last_turn(rights: list[bool]) -> None:
    words = when_learned(list(enumerate(rights)))
    if rights[-1]:
        start = max([i + 1 for i, right in enumerate(rights) if not right], default=0)
        assert words.startswith(f"since step {start}")
    else:
        assert ("wrong now" in words) == any(rights)
        assert (words == "not yet") == (not any(rights))


def test_each_evaluation_has_its_mark() -> None:
    table = samples_table([entry(0, False, False), entry(50, True, False), entry(90, True, True)])
    assert table.count('<div class="marks"') == 2
    assert table.count('title="step 50: right"') == 1
    assert table.count('title="step 50: wrong"') == 1
    assert "After 90 steps" in table
    assert "since step 50" in table
    assert "since step 90" in table


def test_the_first_evaluation_alone_has_no_column_for_later_ones() -> None:
    table = samples_table([entry(0, False)])
    assert "Untrained model" in table
    assert "After" not in table
    assert 'class="marks"' not in table


def test_a_long_run_has_a_bounded_row_of_marks() -> None:
    table = samples_table([entry(step, step > 500) for step in range(1000)])
    assert table.count("<i") == MOST_MARKS
    assert 'title="step 0: wrong"' in table
    assert 'title="step 999: right"' in table


def test_tokens_and_kinds_are_shown_as_they_are() -> None:
    table = samples_table([entry(0, True, token="<b>"), entry(1, True, token="<b>")])
    assert "<b>" not in table
    evaluation = Errors(5, 4, {"<b>*x*": 2})
    assert "<b>*x*" not in errors_table([evaluation])
    assert "*x*" not in errors_sentence(evaluation)


def test_errors_are_shares_of_all_examples() -> None:
    evaluations = [
        Errors(0, 400, {"too long": 400}),
        Errors(50, 200, {"too short": 30, "one letter wrong": 20}),
        Errors(100, 200, {"one letter wrong": 1}),
    ]
    table = errors_table(evaluations)
    assert [table.index(kind) for kind in ("one letter wrong", "too short", "too long")] == sorted(
        table.index(kind) for kind in ("one letter wrong", "too short", "too long")
    )
    for share in ("100.0 %", "15.0 %", "10.0 %", "75.0 %", "0.5 %", "99.5 %"):
        assert share in table
    assert "199 of 200 are right" in errors_sentence(evaluations[-1])
    assert errors_sentence(evaluations[-1]).endswith("Wrong in the other: “one letter wrong”.")
    assert "The most frequent error is “too short” (30 of 50)" in errors_sentence(evaluations[1])
    assert errors_sentence(Errors(7, 3, {})).endswith("no error is left.")


def test_many_evaluations_show_the_first_the_last_and_some_between() -> None:
    evaluations = [Errors(step, 2, {"x": 1}) for step in range(0, 100, 5)]
    table = errors_table(evaluations)
    assert [f"Step {step}<" in table for step in (5, 30, 65, 95)] == [False, True, True, True]
    assert "Untrained" in table


def test_entries_are_read_once_each_while_the_file_grows_and_is_cut_back(tmp_path: Path) -> None:
    history = History(tmp_path)
    entries = [entry(step, step > 2) for step in range(5)]
    lines = [json.dumps(one) + "\n" for one in entries]
    file = tmp_path / "samples.jsonl"
    for content, known in (
        ("", []),
        (lines[0] + lines[1][:9], entries[:1]),
        (lines[0] + lines[1], entries[:2]),
        (lines[0] + lines[1] + '{"step": 2, "samples": [1]}\n', entries[:2]),
        (lines[0], entries[:1]),  # a resumed run goes on from its snapshot
        ("".join(lines), entries),
    ):
        file.write_text(content)
        for _ in range(2):
            history.update()
            assert history.samples == known


def test_of_a_long_example_the_part_is_shown_that_went_wrong() -> None:
    words = [f"word{number}" for number in range(30)]
    wrong = [*words[:20], "other", *words[21:]]
    long: Sample = {"source": " ".join(words), "target": words, "output": wrong, "right": False}
    line = example_line([{"step": 50, "samples": [long]}])
    assert "other" in line
    assert line.count("…") == 5
    assert line.count("word20") == 1
    assert "word29" not in line
    short = example_line([entry(50, False)])
    assert "…" not in short
