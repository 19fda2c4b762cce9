"""``results.json``, as Gradescope and Otter-Grader read it, from a report's numbers."""

from typing import Any

from transformer.report.contents import Report
from transformer.runs.goals import PASSED


def results(report: Report) -> dict[str, Any]:
    """A test of one point for each goal, and one with the share of right answers as its score.

    The fields are those of https://gradescope-autograders.readthedocs.io/en/latest/specs/.
    """
    tests: list[dict[str, Any]] = [
        {
            "name": name,
            "score": float(state == PASSED),
            "max_score": 1.0,
            "status": "passed" if state == PASSED else "failed",
            "output": state,
        }
        for name, state in report.goals.items()
    ]
    exact = report.scores["trained"]["exact_match"]
    tests.append(
        {
            "name": "exact match",
            "score": exact or 0.0,
            "max_score": 1.0,
            "output": str(report.verdict),
        }
    )
    return {
        "score": sum(test["score"] for test in tests),
        "output": str(report.verdict),
        "tests": tests,
    }
