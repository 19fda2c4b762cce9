"""Find source lines by name and read them from the file, so that the code shown is what runs."""

import ast
import inspect
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path

MODEL = "transformer.model"


@dataclass(frozen=True)
class Lines:
    """The lines of a function or a statement in one file.

    name: the name that was looked up. file: the file's name. first, last: line numbers, from 1.
    text: the lines without their common indentation.
    """

    name: str
    file: str
    first: int
    last: int
    text: str


def code_of(names: Sequence[str]) -> list[Lines]:
    """The lines of several names, in this order; ``module::name`` is a name outside model.py.

    Raises:
        LookupError: a name does not exist.
    """
    return [
        lines
        for name in names
        for lines in lines_of(name.rpartition("::")[2], name.rpartition("::")[0] or MODEL)
    ]


@cache
def lines_of(name: str, module: str = MODEL) -> tuple[Lines, ...]:
    """The lines of a function, or of the statements in it that assign to a variable.

    Args:
        name: such as ``attention_scores``, ``MultiHeadAttention.forward``, or for a nested function
            ``EncoderLayer.forward.attend``; with ``:weights`` only the statements that assign to
            this variable or attribute, with ``:return`` only the return statements.
        module: the module that defines it.

    Returns:
        A function as one piece, without its docstring; statements as one piece each.

    Raises:
        LookupError: the name does not exist.
    """
    path = inspect.getsourcefile(import_module(module))
    assert path is not None
    source = Path(path).read_text("utf-8")
    place, _, variable = name.partition(":")
    scope: ast.AST = ast.parse(source)
    for part in filter(None, place.split(".")):
        scope = _named(scope, part, name)
    lines = source.splitlines()
    file = Path(path).name
    if variable:
        found = [node for node in _own(scope) if _gives(node, variable)]
        if not found:
            raise LookupError(f"{file} has no {name!r}: {place} never gives {variable!r} a value")
        return tuple(_piece(name, file, lines, [(node.lineno, _end(node))]) for node in found)
    start = min([scope.lineno, *(one.lineno for one in getattr(scope, "decorator_list", ()))])  # type: ignore[attr-defined]
    pieces = [(start, _end(scope))]
    body: list[ast.stmt] = getattr(scope, "body", [])
    if isinstance(scope, ast.FunctionDef) and ast.get_docstring(scope):
        pieces = [(start, body[0].lineno - 1), (_end(body[0]) + 1, _end(scope))]
    return (_piece(name, file, lines, pieces),)


def _named(scope: ast.AST, part: str, whole: str) -> ast.AST:
    """The function, class or variable named ``part`` directly in a scope."""
    for node in getattr(scope, "body", []):
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name == part:
            return node
        if isinstance(node, ast.Assign | ast.AnnAssign) and _gives(node, part):
            return node
    raise LookupError(f"there is no {part!r} in the source, which {whole!r} asks for")


def _own(scope: ast.AST) -> Iterator[ast.stmt]:
    """The statements of a function in order, without those of nested functions."""
    for node in ast.iter_child_nodes(scope):
        if isinstance(node, ast.stmt) and not isinstance(node, ast.FunctionDef | ast.ClassDef):
            if hasattr(node, "body"):
                yield from _own(node)
            else:
                yield node


def _gives(node: ast.stmt, variable: str) -> bool:
    if variable == "return":
        return isinstance(node, ast.Return)
    targets: Sequence[ast.expr] = ()
    if isinstance(node, ast.Assign):
        targets = node.targets
    elif isinstance(node, ast.AnnAssign):
        targets = [node.target]
    named = [
        element
        for target in targets
        for element in (target.elts if isinstance(target, ast.Tuple) else [target])
    ]
    return variable in [getattr(one, "id", getattr(one, "attr", None)) for one in named]


def _end(node: ast.AST) -> int:
    end = getattr(node, "end_lineno", None)
    assert isinstance(end, int)
    return end


def _piece(name: str, file: str, lines: Sequence[str], pieces: list[tuple[int, int]]) -> Lines:
    shown = [line for first, last in pieces for line in lines[first - 1 : last]]
    return Lines(name, file, pieces[0][0], pieces[-1][1], textwrap.dedent("\n".join(shown)))
