"""The library uses neither PyTorch's own attention nor the app."""

import ast
from pathlib import Path

import pytest

import transformer

SOURCES = sorted(Path(transformer.__file__).parent.rglob("*.py"))


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_nothing_comes_from_pytorchs_own_attention(path: Path) -> None:
    forbidden = ("Transformer", "MultiheadAttention", "multi_head_attention", "scaled_dot_product")
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        # Attributes such as nn.X and F.x, and names imported from torch.
        if isinstance(node, ast.Attribute):
            assert not node.attr.startswith(forbidden), node.attr
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("torch"):
            for name in node.names:
                assert not name.name.startswith(forbidden), name.name


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_the_library_does_not_import_the_app(path: Path) -> None:
    imported = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            imported |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add((node.module or "").split(".")[0])
    assert not imported & {"streamlit", "pages", "app"}
