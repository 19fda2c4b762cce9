"""The architecture's rules hold: layers, import circles, sizes, modules without torch."""

from pathlib import Path

import pytest

from tests import structure


def test_no_rule_of_the_architecture_is_broken() -> None:
    assert not list(structure.violations())


def test_a_circle_an_arrow_up_and_a_long_file_are_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a small tree that breaks the rules, each violation is found."""
    texts = {
        "app.py": "",
        "transformer/__init__.py": "",
        "transformer/config/__init__.py": "",
        "transformer/config/run.py": "from transformer.runs import queue\n",
        "transformer/runs/__init__.py": "",
        "transformer/runs/queue.py": "def f():\n    from transformer.runs import trash\n",
        "transformer/runs/trash.py": "import transformer.runs.queue\nimport pages.train\n",
        "pages/train.py": "\n" * (structure.MOST_LINES + 1),
    }
    for name, text in texts.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.setattr(structure, "ROOT", tmp_path)
    structure.modules.cache_clear()
    structure.arrows.cache_clear()
    try:
        assert structure.import_cycles() == [["transformer.runs.queue", "transformer.runs.trash"]]
        assert [str(arrow) for arrow in structure.layer_violations()] == [
            "transformer.config.run:1 -> transformer.runs.queue",
            "transformer.runs.trash:2 -> pages.train",
        ]
        assert structure.long_files() == [f"pages/train.py: {structure.MOST_LINES + 1} lines"]
    finally:
        structure.modules.cache_clear()
        structure.arrows.cache_clear()


def test_a_module_that_loads_torch_is_seen() -> None:
    assert structure.loading_torch(["transformer.model"]) == "transformer.model"
