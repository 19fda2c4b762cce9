"""Public names that resolve on first use (PEP 562): a package's face that imports nothing."""

import ast
import inspect
import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any


def lazy(package: str) -> Callable[[str], Any]:
    """A package's ``__getattr__``, which imports a name's module when the name is first asked for.

    Which names it has, and of which modules, is what its ``if TYPE_CHECKING:`` imports: that is
    read in its source, so that each name is said once.
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
