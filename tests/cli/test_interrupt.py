"""Ctrl-C at any moment, the imports included: exit code 130, one line, no traceback; and the run
goes on afterwards.
"""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sixfold.core.interrupt import MESSAGE

RECIPE = """version: 1
name: small
data: {source: "sklearn:digits", target: target, holdout: 0.2}
build: [{family: forest, trees: 4000}, {family: mlp}]
evaluate: {folds: 3, metrics: [accuracy]}
"""
# From its first own line on; what Python does before (20 ms) is not in our hands.
START = (
    "from sixfold import __main__; from sixfold.core import interrupt; interrupt.guard(); "
    "print('begun', flush=True); __main__.main()"
)


def begun(folder: Path, *arguments: str) -> subprocess.Popen[bytes]:
    (folder / "r.yaml").write_text(RECIPE)
    command = [
        sys.executable,
        "-c",
        START,
        *(arguments or ("run", "r.yaml", "--out", "run", "--quiet")),
    ]
    child = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert child.stdout is not None
    child.stdout.readline()
    return child


def assert_interrupted(child: subprocess.Popen[bytes]) -> None:
    _, errors = child.communicate(timeout=60)
    assert (child.returncode, errors.decode().strip()) == (130, MESSAGE)


def interrupt(folder: Path, after_s: float, times: int = 1) -> None:
    child = begun(folder)
    time.sleep(after_s)
    for _ in range(times):
        child.send_signal(signal.SIGINT)
    assert_interrupted(child)


@pytest.mark.parametrize("after_s", [0.0, 0.3, 0.9])
def test_ctrl_c_while_importing(tmp_path: Path, after_s: float) -> None:
    interrupt(tmp_path, after_s)


@pytest.mark.slow
def test_ctrl_c_at_random_moments_once_or_twice(tmp_path: Path) -> None:
    rng = random.Random(0)
    for number in range(5):
        interrupt(tmp_path, rng.uniform(0.0, 4.0), times=1 + number % 2)


def run_python(code: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60
    )
    return done.returncode, done.stderr


def test_an_interrupt_in_a_callback_is_not_lost() -> None:
    """A finalizer, or a callback of C, cannot raise it: Python would print it and go on."""
    code = (
        "import os, signal\nfrom sixfold.core import interrupt\ninterrupt.guard()\ninterrupt.orderly()\n"
        "class Thing:\n    def __del__(self): os.kill(os.getpid(), signal.SIGINT)\n"
        "thing = Thing()\ndel thing\nprint('went on')"
    )
    assert run_python(code) == (130, f"{MESSAGE}\n")


def test_what_swallows_an_interrupt_is_not_waited_for() -> None:
    code = (
        "import os, signal, time\nfrom sixfold.core import interrupt\ninterrupt.guard()\ninterrupt.orderly()\n"
        "interrupt.GRACE_S = 1\n"
        "try:\n    os.kill(os.getpid(), signal.SIGINT)\nexcept BaseException:\n    pass\n"
        "while True: time.sleep(0.1)"
    )
    assert run_python(code) == (130, f"{MESSAGE}\n")


def test_a_job_in_the_background_goes_on() -> None:
    """`nohup`, and `&` in a script, ignore SIGINT."""
    code = (
        "import os, signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nfrom sixfold.core import interrupt\n"
        "interrupt.guard()\nos.kill(os.getpid(), signal.SIGINT)\nprint('went on')"
    )
    assert run_python(code) == (0, "")


def test_the_command_is_guarded_from_its_first_import_on() -> None:
    """Nothing that takes long is imported before: neither click nor a number."""
    code = (
        "import sys; import sixfold.__main__; "
        "sys.exit(any(name in sys.modules for name in ('click', 'numpy', 'sixfold.cli', 'pydantic')))"
    )
    assert run_python(code)[0] == 0
