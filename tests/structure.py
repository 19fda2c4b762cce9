"""Rules of the architecture: allowed imports, and the size of files.

    python -m tests.structure        print the layers and every violation

``tests/test_structure.py`` enforces them. Imports inside functions count like all others.
"""

import ast
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LAYERS: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "transformer": (
        ("errors", "files", "lazy"),
        ("config",),
        ("vocabulary", "tasks", "model", "hooks", "dropout"),
        ("decoding", "faults"),
        ("checkpoint", "training"),
        ("runs", "analysis", "figures"),
        ("trainer", "evaluation"),
        ("health",),
        ("doctor", "experiments", "anatomy", "report", "lessons"),
        ("interop",),
        ("cli", "__main__"),
    ),
    "pages.components": (
        ("stores",),
        ("shell",),
        ("widgets",),
        ("shared",),
        ("training", "runs", "attention", "decoding", "checkpoints", "overview", "learn", "debug"),
    ),
}
"""Layers from the bottom up: a package imports only from its own layer and from those below."""
NO_TORCH = (
    *("transformer.config", "transformer.vocabulary", "transformer.tasks", "transformer.runs"),
    *("transformer.figures", "transformer.checkpoint.header", "transformer.cli"),
    *("transformer.report", "transformer.lessons"),
)
"""Modules, and packages with all their modules, that pages use before torch is imported."""
CODE = ("transformer", "pages", "tests", "benchmarks", "docs")
MOST_LINES = 450
LONG = ("transformer/model.py", "transformer/doctor/capture.py")
"""Files exempt from MOST_LINES: the model, and the script that users copy beside their code."""
MOST_AT_ROOT = {"transformer": 8, "pages/components": 0}


@dataclass(frozen=True)
class Arrow:
    """An import of one module of the project, ``target``, by another, ``source``."""

    source: str
    target: str
    line: int

    def __str__(self) -> str:
        return f"{self.source}:{self.line} -> {self.target}"


@cache
def modules() -> Mapping[str, Path]:
    """Paths of the project's modules by dotted name; a package's is its ``__init__``."""
    found = {}
    for path in (ROOT / "app.py", *sorted(ROOT.glob("pages/**/*.py"))):
        found[_dotted(path)] = path
    for path in sorted(ROOT.glob("transformer/**/*.py")):
        found[_dotted(path)] = path
    return found


def _dotted(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def arrows() -> tuple[Arrow, ...]:
    """All imports of one module of the project by another."""
    return tuple(arrow for name in modules() for arrow in _imports(name))


def _imports(name: str) -> Iterator[Arrow]:
    for node in ast.walk(ast.parse(modules()[name].read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            wanted = [
                whole if (whole := f"{node.module}.{alias.name}") in modules() else node.module
                for alias in node.names
            ]
        elif isinstance(node, ast.Import):
            wanted = [alias.name for alias in node.names]
        else:
            continue
        for target in dict.fromkeys(wanted):
            if target in modules() and target != name:
                yield Arrow(name, target, node.lineno)


def import_cycles() -> list[list[str]]:
    """Sets of modules that all import each other, directly or indirectly (Tarjan's algorithm)."""
    below: dict[str, set[str]] = {name: set() for name in modules()}
    for arrow in arrows():
        below[arrow.source].add(arrow.target)
    number: dict[str, int] = {}
    lowest: dict[str, int] = {}
    path: list[str] = []
    found: list[list[str]] = []

    def visit(name: str) -> None:
        number[name] = lowest[name] = len(number)
        path.append(name)
        for target in sorted(below[name]):
            if target not in number:
                visit(target)
            if target in path:
                lowest[name] = min(lowest[name], lowest[target])
        if lowest[name] == number[name]:
            at = path.index(name)
            if len(path) - at > 1:
                found.append(sorted(path[at:]))
            del path[at:]

    for name in below:
        if name not in number:
            visit(name)
    return found


def layer_of(module: str) -> tuple[str, int] | None:
    """A module's root in LAYERS ("transformer"), and its layer from the bottom; -1 without one.

    None for modules above all layers: pages, ``app.py`` and the package's ``__init__``.
    """
    for root, layers in LAYERS.items():
        if module.startswith(f"{root}."):
            room = module.removeprefix(f"{root}.").split(".")[0]
            for height, rooms in enumerate(layers):
                if room in rooms:
                    return root, height
            return root, -1
    return None


def layer_violations() -> list[Arrow]:
    """Imports from a higher layer, in a package without a layer, or of the app by the library."""
    return [arrow for arrow in arrows() if not _goes_down(arrow)]


def _goes_down(arrow: Arrow) -> bool:
    if arrow.source.startswith("transformer") and not arrow.target.startswith("transformer"):
        return False
    source, target = layer_of(arrow.source), layer_of(arrow.target)
    if source is None:  # above all layers
        return True
    if source[1] < 0 or target is None:
        return False
    return source[0] != target[0] or target[1] <= source[1]


def long_files() -> list[str]:
    """Files of code with more than MOST_LINES lines, each with its number of lines."""
    patterns = ("app.py", *(f"{d}/**/*.{e}" for d in CODE for e in ("py", "js", "css")))
    found = []
    for path in sorted({path for pattern in patterns for path in ROOT.glob(pattern)}):
        name, lines = path.relative_to(ROOT).as_posix(), len(path.read_text("utf-8").splitlines())
        if lines > MOST_LINES and name not in LONG:
            found.append(f"{name}: {lines} lines")
    return found


def modules_at_root() -> dict[str, list[str]]:
    """The modules directly in each folder that should contain mostly packages."""
    return {
        folder: [path.stem for path in sorted((ROOT / folder).glob("*.py"))]
        for folder in MOST_AT_ROOT
    }


def loading_torch(names: Iterable[str] = NO_TORCH) -> str:
    """The first module that imports torch in a new process; errors too; empty if none does."""
    wanted = [
        module
        for module in modules()
        if any(module == name or module.startswith(f"{name}.") for name in names)
    ]
    code = (
        "import importlib, sys\n"
        f"for name in {wanted!r}:\n"
        "    importlib.import_module(name)\n"
        "    if 'torch' in sys.modules: print(name); break\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return (done.stdout + done.stderr).strip()


def violations() -> Iterator[str]:
    """One line for each violation of a rule."""
    for folder, names in modules_at_root().items():
        if len(names) > MOST_AT_ROOT[folder]:
            yield f"{len(names)} modules at the root of {folder}/: {', '.join(names)}"
    for cycle in import_cycles():
        yield f"import circle: {', '.join(cycle)}"
    for arrow in layer_violations():
        yield f"against the layers: {arrow}"
    for line in long_files():
        yield f"more than {MOST_LINES} lines: {line}"
    if found := loading_torch():
        yield f"loads torch: {found}"


def main() -> int:
    for root, layers in LAYERS.items():
        print(f"{root}, from the top down")
        for rooms in reversed(layers):
            sizes = [f"{room} ({n})" for room in rooms if (n := _size(f"{root}.{room}"))]
            if sizes:
                print("   ", "  ".join(sizes))
    found = list(violations())
    print(f"{len(modules())} modules, {len(arrows())} imports, {len(found)} violations")
    for line in found:
        print(line)
    return 1 if found else 0


def _size(room: str) -> int:
    """The number of lines in all modules of a package."""
    return sum(
        len(path.read_text("utf-8").splitlines())
        for name, path in modules().items()
        if name == room or name.startswith(f"{room}.")
    )


if __name__ == "__main__":
    sys.exit(main())
