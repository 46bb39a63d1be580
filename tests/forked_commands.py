"""Commands of Sixfold as a shell starts them, each in a process of its own: forked from one that has imported what commands
import, so that a test waits a tenth of a second for one, not two or three.

What is looked at of a process's start is not tested by these: tests/cli/test_interrupt.py, tests/test_docs.py and the tests of
kills start the interpreter.
"""

from __future__ import annotations

import atexit
import json
import os
import pty
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from functools import cache
from pathlib import Path

CODE = """
import importlib, json, os, socket, sys, warnings
for name in ("sixfold.__main__", "sixfold.cli.run", "sixfold.pipeline", "sixfold.bundle.load", "pandas", "sklearn"):
    importlib.import_module(name)
asking = socket.socket(fileno=int(sys.argv[1]))

def command(asked, handles):
    asking.close()
    for number, handle in enumerate(handles):
        os.dup2(handle, number)
        os.close(handle)
    for number in asked["closed"]:
        os.close(number)
    os.chdir(asked["folder"])
    os.environ.clear()
    os.environ.update(asked["environment"])
    sys.argv = ["sixfold", *asked["words"]]
    sys.stdin = sys.__stdin__ = open(0, closefd=False)
    for number, name, errors in ((1, "stdout", "strict"), (2, "stderr", "backslashreplace")):
        opened = number not in asked["closed"]
        stream = open(number, "w", errors=errors, closefd=False, encoding="utf-8") if opened else None
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)
    sys.modules["sixfold.__main__"].main()

while True:
    text, handles, _, _ = socket.recv_fds(asking, 1 << 20, 3)
    if not text:
        break
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of threads that libraries have
        child = os.fork()
    if not child:
        command(json.loads(text), handles)
        break
    for handle in handles:
        os.close(handle)
    asking.send(str(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])).encode())
"""


class ForkedCommands:
    """One at a time."""

    def __init__(self) -> None:
        self.asked, theirs = socket.socketpair()
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-c", CODE, str(theirs.fileno())], pass_fds=[theirs.fileno()]
            )

    def close(self) -> None:
        self.asked.close()
        self.process.wait()

    def run(
        self,
        words: Sequence[str],
        folder: Path,
        handles: Sequence[int],
        closed: Sequence[int] = (),
        **variables: str,
    ) -> int:
        """The exit code. `handles`: of its stdin, stdout and stderr; `closed`: those that it has not."""
        asked = {
            "words": words,
            "folder": str(folder),
            "closed": closed,
            "environment": {**os.environ, **variables},
        }
        socket.send_fds(self.asked, [json.dumps(asked).encode()], handles)
        return int(self.asked.recv(100))


@cache
def commands() -> ForkedCommands:
    """Of this process."""
    found = ForkedCommands()
    atexit.register(found.close)
    return found


def sixfold(
    *words: object, cwd: Path | None = None, stdout: int | None = None, **variables: str
) -> subprocess.CompletedProcess[bytes]:
    """What it wrote to stdout and stderr. `stdout`: a handle of the caller's that it has instead."""
    arguments = [str(word) for word in words]
    with (
        Path(os.devnull).open("rb") as nothing,
        tempfile.TemporaryFile() as out,
        tempfile.TemporaryFile() as error,
    ):
        handles = [nothing.fileno(), out.fileno() if stdout is None else stdout, error.fileno()]
        code = commands().run(arguments, cwd or Path.cwd(), handles, **variables)
        for file in (out, error):
            file.seek(0)
        return subprocess.CompletedProcess(arguments, code, out.read(), error.read())


def sixfold_as_text(*words: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """The same, decoded."""
    done = sixfold(*words, cwd=cwd, COLUMNS="120")
    return subprocess.CompletedProcess(
        done.args, done.returncode, done.stdout.decode(), done.stderr.decode()
    )


def on_a_terminal(*words: str, cwd: Path) -> str:
    """What a terminal gets of both streams."""
    leader, follower = pty.openpty()
    asking = threading.Thread(target=commands().run, args=(words, cwd, [follower] * 3))
    asking.start()
    parts: list[bytes] = []
    reading = threading.Thread(target=_read, args=(leader, parts))
    reading.start()
    asking.join()
    os.close(follower)
    reading.join()
    os.close(leader)
    return b"".join(parts).decode("utf-8", "surrogateescape").replace("\r\n", "\n")


def _read(leader: int, parts: list[bytes]) -> None:
    try:
        while part := os.read(leader, 1 << 16):
            parts.append(part)
    except OSError:  # the other side is closed
        pass
