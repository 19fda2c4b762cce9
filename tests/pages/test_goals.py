"""The three goal cards, drawn from a run's files alone, and the check behind the button."""

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from pages.components.runs.goals import cards
from pages.components.runs.health import check, findings_list
from transformer.errors import UserError
from transformer.runs.creation import create_run
from transformer.runs.directory import Run, Status
from transformer.runs.facts import RunFacts
from transformer.runs.goals import OverfitCheck, add_evidence, read_goals
from transformer.runs.health import read_health
from transformer.runs.metrics import by_step
from transformer.tasks.presets import prepare

CHECK = OverfitCheck(8, 8, [[0, 4.5], [20, 1.0], [40, 0.009]], 0.009, 40, 1.2)
UNTRAINED = [
    {"kind": "eval", "step": 0, "loss": 4.9, "token_accuracy": 0.0, "unigram": 3.2, "seconds": 1},
    {"kind": "eval", "step": 0, "exact_match": 0.0, "seconds": 1},
]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    _, config = prepare("reverse")
    return create_run(config, path=tmp_path / "run")


def states(run: Run, *records: dict[str, Any]) -> list[str]:
    return [re.findall(r'class="state">(.*?)</p>', card)[0] for card in shown(run, *records)]


def shown(run: Run, *records: dict[str, Any]) -> list[str]:
    lines = [json.dumps(record) + "\n" for record in (*UNTRAINED, *records)]
    (run.path / "metrics.jsonl").write_text("".join(lines))
    return cards(facts(run))


def facts(run: Run) -> RunFacts:
    records = run.metrics()
    train, evaluations = by_step(records, "train"), by_step(records, "eval")
    goals = read_goals(run.path)
    return RunFacts.of(run.config(), run.status(), train, evaluations, goals, read_health(run.path))


def evaluated(step: int, loss: float, exact: float) -> list[dict[str, Any]]:
    return [
        {"kind": "eval", "step": step, "loss": loss, "token_accuracy": 0.5, "seconds": 2},
        {"kind": "eval", "step": step, "exact_match": exact, "seconds": 2},
    ]


def end(run: Run) -> None:
    run.set_status(Status("finished"))


def reload(ok: bool) -> dict[str, Any]:
    check = {"name": "logits", "ok": ok, "detail": "<b>90</b> logits equal"}
    return {"step": 100, "ok": ok, "checks": [check]}


def test_a_new_run_waits_for_all_evidence(run: Run) -> None:
    assert states(run) == ["… pending"] * 3


def test_the_cards_fill_in_as_evidence_arrives(run: Run) -> None:
    add_evidence(run.path, "twin", CHECK.to_dict())
    assert states(run)[0] == "✓ passed"
    assert states(run, *evaluated(100, 4.0, 0.0))[1] == "… pending"  # above unigram
    assert states(run, *evaluated(100, 2.0, 0.0))[1] == "… pending"  # no answer right
    assert states(run, *evaluated(100, 2.0, 0.1))[1] == "✓ passed"
    add_evidence(run.path, "reload", reload(ok=True))
    assert states(run, *evaluated(100, 2.0, 0.1)) == ["✓ passed"] * 3


def test_evidence_against_a_goal_is_said(run: Run) -> None:
    add_evidence(run.path, "twin", replace(CHECK, right=0).to_dict())
    add_evidence(run.path, "reload", reload(ok=False))
    assert states(run, *evaluated(100, 5.5, 0.0)) == ["✗ failed", "… pending", "✗ failed"]
    end(run)
    assert states(run, *evaluated(100, 5.5, 0.0)) == ["✗ failed"] * 3
    assert "sees what it has to predict" in shown(run)[0]


def test_an_overfit_check_cut_short_has_failed_nothing(run: Run) -> None:
    short = replace(CHECK, loss=1.0, right=2, cut_short=True)
    add_evidence(run.path, "twin", short.to_dict())
    assert states(run)[0] == "○ not measured"
    assert "cut short after 1 s" in shown(run)[0]
    add_evidence(run.path, "twin", replace(short, cut_short=False, loss=None, curve=[]).to_dict())
    assert states(run)[0] == "✗ failed"


def test_after_the_end_nothing_is_pending(run: Run) -> None:
    end(run)
    assert states(run) == ["○ not measured"] * 3
    assert "The run ended before it" in shown(run)[0]
    run.set_status(Status("failed", "No memory.", "memory"))
    assert states(run, *evaluated(100, 2.0, 0.1))[1] == "✓ passed"
    assert "pending" not in "".join(shown(run))


def test_the_numbers_stand_beside_their_baselines(run: Run) -> None:
    card = shown(run, *evaluated(100, 2.0, 0.25))[1]
    rows = re.findall(r'<th scope="row">(.*?)</th><td>(.*?)</td><td>(.*?)</td>', card)
    assert rows == [
        ("this model", "2.00", "25.0 %"),
        ("untrained", "4.90", "0.0 %"),
        ("uniform guess", "3.40", ""),
        ("guess by frequency", "3.20", ""),
    ]


def test_nothing_from_a_file_becomes_markup(run: Run) -> None:
    class Tags(HTMLParser):
        def handle_starttag(self, tag: str, attributes: object) -> None:
            assert tag != "script"

    hostile = "<script>alert(1)</script>"
    check = {"name": hostile, "ok": False, "detail": hostile}
    add_evidence(run.path, "reload", {"step": 1, "ok": False, "checks": [check]})
    finding = {"name": hostile, "state": "problem", "sentence": hostile, "advice": hostile}
    Tags().feed("".join(shown(run)) + findings_list([finding]))
    assert "alert(1)" in shown(run)[2]


def test_what_is_wrong_comes_first() -> None:
    found = [
        {"name": name, "state": state, "sentence": "", "advice": ""}
        for name, state in (("A", "ok"), ("B", "waiting"), ("C", "problem"), ("D", "warning"))
    ]
    assert re.findall(r"<b>(.)</b>", findings_list(found)) == ["C", "D", "A", "B"]


def test_a_check_that_cannot_be_made_says_why(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="There is no run gone"):
        list(check(tmp_path / "gone"))
