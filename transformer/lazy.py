"""Lazy imports in a package's ``__init__.py``: public names resolve on first use (PEP 562)."""

import ast
import inspect
import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any


def lazy(package: str) -> Callable[[str], Any]:
    """Make a package's ``__getattr__``, which imports a name's module when the name is used.

    The names and their modules are read from the imports under ``if TYPE_CHECKING:`` in the
    package's source, so that each name is written only once.
    """
    tree = ast.parse(inspect.getsource(sys.modules[package]))
    imports = [line for block in tree.body if isinstance(block, ast.If) for line in block.body]
    home_of = {
        alias.asname or alias.name: (line.module, alias.name)
        for line in imports
        if isinstance(line, ast.ImportFrom) and line.module
        for alias in line.names
    }

    def __getattr__(name: str) -> Any:
        if name == "__all__":
            return sorted(home_of)
        if name not in home_of:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module, its_name = home_of[name]
        return getattr(import_module(module), its_name)

    return __getattr__
