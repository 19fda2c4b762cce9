"""Addresses that an earlier version wrote open the same view, so that old links keep working."""

import shutil
from collections.abc import Mapping

import pytest
from streamlit.testing.v1 import AppTest

from tests.support.opened_pages import open_page
from tests.support.places import ROOT

pytestmark = pytest.mark.usefixtures("own_folder")

SAVED = ROOT / "tests" / "data" / "before"
FINISHED, PAUSED = "0123456789ab", "ba9876543210"

ADDRESSES: tuple[tuple[str, Mapping[str, str], str], ...] = (
    ("attention", {"checkpoint": "sort", "input": "zebra", "head": "cross.1.0"}, "`aberz`"),
    ("attention", {"checkpoint": "sort", "input": "zebra", "panel": "number"}, "`aberz`"),
    ("attention", {"checkpoint": "sort", "input": "zebra", "panel": "cause"}, "`aberz`"),
    ("attention", {"checkpoint": "sort", "input": "zebra", "panel": "evidence"}, "`aberz`"),
    ("attention", {"checkpoint": "sort", "input": "zebra", "compare": "untrained"}, "`aberz`"),
    ("attention", {"checkpoint": "sort", "input": "zebra", "output": "zebra"}, "`zebra`"),
    ("attention", {"checkpoint": f"run-{PAUSED}-93", "input": "abc"}, ""),
    ("decode", {"checkpoint": "reverse", "input": "abc", "step": "2"}, "`cba`"),
    ("decode", {"checkpoint": "reverse", "input": "abc", "target": "cba"}, "`cba`"),
    ("decode", {"checkpoint": "reverse", "input": "abc", "temperature": "0.5", "seed": "3"}, ""),
    ("decode", {"checkpoint": "reverse", "input": "abc", "part": "strategies", "beam": "8"}, ""),
    ("decode", {"checkpoint": "reverse", "input": "abc", "part": "lens"}, ""),
    ("decode", {"checkpoint": "reverse", "input": "abc", "part": "batch"}, ""),
    ("decode", {"checkpoint": "reverse", "input": "abc", "part": "errors", "examples": "1000"}, ""),
    ("checkpoints", {"checkpoint": "sort", "card": "parameters"}, ""),
    ("checkpoints", {"checkpoint": f"run-{FINISHED}-30", "card": "training"}, ""),
    ("train", {"run": FINISHED}, ""),
    ("train", {"task": "sort", "preset": "tiny", "steps": "7", "d_model": "32"}, ""),
    ("runs", {"runs": f"{FINISHED},{PAUSED}"}, ""),
    ("runs", {"search": "six"}, ""),
)


@pytest.mark.parametrize(("page", "query", "shown"), ADDRESSES)
def test_it_opens_the_same_view(page: str, query: Mapping[str, str], shown: str) -> None:
    shutil.copytree(SAVED, "runs")
    app = open_page(page, **query)
    assert not app.exception
    assert not [error.value for error in app.error]
    assert {name: read(app, name) for name in query} == query
    assert shown in " ".join(block.value for block in app.markdown)


def read(app: AppTest, name: str) -> str:
    """The parameter's current value: a page removes parameters that it does not understand."""
    value = app.query_params.get(name, "")
    return value if isinstance(value, str) else value[-1]
