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
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from functools import cache
from pathlib import Path

CODE = """
import importlib, json, os, select, signal, socket, sys, warnings
for name in ("sixfold.__main__", "sixfold.cli.run", "sixfold.pipeline", "sixfold.bundle.load", "pandas", "sklearn"):
    importlib.import_module(name)

def forked():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of threads that libraries have
        return os.fork()

def command(asked, handles):
    for number, handle in enumerate(handles):
        os.dup2(handle, number)
        os.close(handle)
    os.chdir(asked["folder"])
    os.environ.clear()
    os.environ.update(asked["environment"])
    sys.argv = ["sixfold", *asked["words"]]
    sys.stdin = sys.__stdin__ = open(0, closefd=False)
    for number, name, errors in ((1, "stdout", "strict"), (2, "stderr", "backslashreplace")):
        stream = open(number, "w", errors=errors, closefd=False, encoding="utf-8")
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)
    code = 1
    try:
        sys.modules["sixfold.__main__"].main()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        sys.excepthook(*sys.exc_info())
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            code = 120  # as Python's own end says it
    os._exit(code)  # libraries would wait for threads that a forked process has not

def answered(asking):
    text, handles, _, _ = socket.recv_fds(asking, 1 << 20, 3)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    child = forked()
    if not child:
        asking.close()
        command(json.loads(text), handles)
    for handle in handles:
        os.close(handle)
    asking.send(f"{child}\\n".encode())
    asking.send(f"{os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])}\\n".encode())
    os._exit(0)

signal.signal(signal.SIGCHLD, signal.SIG_IGN)
listening = socket.socket(socket.AF_UNIX)
listening.bind(sys.argv[1])
listening.listen(8)
print("ready", flush=True)
while 0 not in select.select([listening, 0], [], [])[0]:  # stdin ends with whoever started this
    asking, _ = listening.accept()
    if not forked():
        listening.close()
        answered(asking)
        break
    asking.close()
"""
PROGRAM = """#!PYTHON -IS
import json, os, signal, socket, sys
asking = socket.socket(socket.AF_UNIX)
asking.connect(ADDRESS)
asked = {"words": sys.argv[1:], "folder": os.getcwd(), "environment": dict(os.environ)}
socket.send_fds(asking, [json.dumps(asked).encode()], [0, 1, 2])
answer = asking.makefile()
child = int(answer.readline())
for number in (signal.SIGTERM, signal.SIGINT):
    signal.signal(number, lambda number, _: os.kill(child, number))
code = int(answer.readline())
sys.exit(code if code >= 0 else 128 - code)
"""


class ForkedCommands:
    """Any number of them at a time."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.address = folder, str(folder / "socket")
        self.process = subprocess.Popen(
            [sys.executable, "-c", CODE, self.address],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None and self.process.stdin is not None
        assert self.process.stdout.readline() == "ready\n"

    def close(self) -> None:
        self.process.communicate()  # the end of its stdin
        shutil.rmtree(self.folder, ignore_errors=True)

    def run(
        self, words: Sequence[str], folder: Path, handles: Sequence[int], **variables: str
    ) -> int:
        """The exit code. `handles`: of its stdin, stdout and stderr."""
        environment = {**os.environ, **variables}
        asked = {"words": words, "folder": str(folder), "environment": environment}
        with socket.socket(socket.AF_UNIX) as asking:
            asking.connect(self.address)
            socket.send_fds(asking, [json.dumps(asked).encode()], handles)
            with asking.makefile() as answer:
                answer.readline()  # the number of its process
                return int(answer.readline())

    def program(self, folder: Path) -> Path:
        """`sixfold`, for a shell that has `folder` on its path."""
        text = PROGRAM.replace("PYTHON", sys.executable).replace("ADDRESS", repr(self.address))
        folder.mkdir(exist_ok=True)
        (folder / "sixfold").write_text(text)
        (folder / "sixfold").chmod(0o755)
        return folder / "sixfold"


@cache
def commands() -> ForkedCommands:
    """Of this process."""
    found = ForkedCommands(Path(tempfile.mkdtemp(prefix="sixfold-")))
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
