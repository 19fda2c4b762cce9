"""Files that would run a program: none runs, and each is refused in one sentence."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.attacks.gadgets import FORMS, GADGETS, as_legacy, as_zip
from tests.support.checkpoint_files import assert_sentence
from tests.support.places import ROOT
from transformer.errors import CheckpointError
from transformer.interop.files.state_dicts import read_state_dict
from transformer.interop.files.unpickling import Refused, flat, opened
from transformer.interop.formats import recognise

ALL = [(name, form) for name in GADGETS for form in FORMS]
SAMPLE = [("os.system", "zip"), ("the opcode INST", "legacy"), ("protocol 4", "zip")]


def assert_harmless(name: str, form: str, folder: Path) -> None:
    canary, path = folder / "canary", folder / "model.pt"
    path.write_bytes(FORMS[form](GADGETS[name](canary)))
    assert recognise(path).name == "state-dict"  # nothing but the check itself stops it
    with pytest.raises(CheckpointError) as caught:
        read_state_dict(path)
    assert not canary.exists()
    assert_sentence(caught.value)
    assert "weights_only" not in str(caught.value)
    assert "safe_globals" not in str(caught.value)
    assert "torch.save(model.state_dict()" in str(caught.value)


@pytest.mark.parametrize(("name", "form"), SAMPLE)
def test_a_gadget_does_not_run(name: str, form: str, tmp_path: Path) -> None:
    assert_harmless(name, form, tmp_path)


@pytest.mark.parametrize(("name", "form"), ALL)
def test_none_runs_where_it_is_opened(name: str, form: str, tmp_path: Path) -> None:
    """The reader process's code, run in this process: a gadget that ran would leave its canary."""
    canary, path = tmp_path / "canary", tmp_path / "model.pt"
    path.write_bytes(FORMS[form](GADGETS[name](canary)))
    with pytest.raises(Refused):
        flat(opened(str(path)), path.stat().st_size)
    assert not canary.exists()


@pytest.mark.long
@pytest.mark.parametrize(("name", "form"), ALL)
def test_no_gadget_runs(name: str, form: str, tmp_path: Path) -> None:
    assert_harmless(name, form, tmp_path)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_every_gadget_runs_where_nothing_stops_it(tmp_path: Path) -> None:
    """Otherwise the tests above would prove nothing. Each runs in its own process."""
    script = (
        "import os, pathlib, pickle, sys\n"
        "for path in map(pathlib.Path, sys.argv[1:]):\n"
        "    if os.fork() == 0:\n"
        "        try:\n"
        "            pickle.loads(path.read_bytes())\n"
        "        finally:\n"
        "            os._exit(0)\n"
        "    os.wait()\n"
    )
    payloads = []
    for number, gadget in enumerate(GADGETS.values()):
        payloads.append(tmp_path / f"payload-{number}")
        payloads[-1].write_bytes(gadget(tmp_path / f"canary-{number}"))
    subprocess.run(
        [sys.executable, "-c", script, *map(str, payloads)],
        check=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stderr=subprocess.DEVNULL,
    )
    asleep = [name for n, name in enumerate(GADGETS) if not (tmp_path / f"canary-{n}").exists()]
    assert not asleep


def test_the_wrappers_are_sound(tmp_path: Path) -> None:
    """A harmless payload passes through both formats, and is refused only for lack of tensors."""
    import pickle

    for form in (as_zip, as_legacy):
        path = tmp_path / "model.pt"
        path.write_bytes(form(pickle.dumps({"epoch": 3}, protocol=2)))
        content = opened(str(path))  # in this process, since it is harmless
        assert content == {"epoch": 3}
        with pytest.raises(Refused, match="no tensors"):
            flat(content, path.stat().st_size)


BREAKOUTS = (
    "import os; os.system('touch {canary}')",
    "import subprocess; subprocess.run(['touch', '{canary}'])",
    "open('{canary}', 'w')",
    "import os; os.open('{canary}', os.O_CREAT | os.O_WRONLY)",
    "import pathlib; pathlib.Path('{canary}').write_text('x')",
    "import os; os.posix_spawn('/usr/bin/touch', ['touch', '{canary}'], {{}})",
    "import socket; socket.create_connection(('localhost', 9)); open('{canary}', 'w')",
    "import ctypes; ctypes.CDLL(None).system(b'touch {canary}')",
    "import os; os.mkdir('{canary}')",
    "import os; os.symlink('/', '{canary}')",
)


def test_confinement_alone_stops_every_breakout(tmp_path: Path) -> None:
    """If torch's own check let code through, the confined process could still do no harm."""
    from transformer.interop.files.confinement import EXIT_FORBIDDEN_ACTION

    canary = tmp_path / "canary"
    script = (
        "import os, sys\n"
        "from transformer.interop.files.confinement import confine\n"
        "for code in sys.argv[1:]:\n"
        "    if os.fork() == 0:\n"
        "        confine()\n"
        "        try:\n"
        "            exec(code)\n"
        "        finally:\n"
        "            os._exit(0)\n"
        "    print(os.waitstatus_to_exitcode(os.wait()[1]))\n"
    )
    codes = [code.format(canary=canary) for code in BREAKOUTS]
    done = subprocess.run(
        [sys.executable, "-c", script, *codes],
        check=True,
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert done.stdout.split() == [str(EXIT_FORBIDDEN_ACTION)] * len(BREAKOUTS)
    assert not canary.exists()


def test_the_process_inherits_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    from transformer.interop.files.confinement import environment

    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hush")
    monkeypatch.setenv("HOME", "/home/somebody")
    assert not {"AWS_SECRET_ACCESS_KEY", "HOME"} & set(environment())


def test_a_whole_model_is_named(tmp_path: Path) -> None:
    """The file that users upload by mistake most often."""
    path = tmp_path / "model.pt"
    torch.save(torch.nn.Linear(2, 2), path)
    with pytest.raises(CheckpointError, match=r"torch\.nn\.modules\.linear\.Linear"):
        read_state_dict(path)
