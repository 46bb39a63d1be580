"""A process that is told things by lines of JSON on its standard input, and answers by lines on its
standard output.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import tempfile
import threading
from collections.abc import Callable, Sequence
from typing import Any

TAIL = 600  # bytes of what a process that ended by itself wrote to its standard error


class Talking:
    """`heard` is called with every answer, `gone` with the exit code and the last words of a
    process that ended by itself; both in a thread of their own.
    """

    def __init__(
        self,
        command: Sequence[str],
        heard: Callable[[dict[str, Any]], None],
        gone: Callable[[int, str], None],
    ) -> None:
        self._heard, self._gone = heard, gone
        self._words = tempfile.TemporaryFile()  # noqa: SIM115  # closed by `end`
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._words,
            text=True,
            encoding="utf-8",
        )
        self._ended = False
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    def tell(self, what: dict[str, Any]) -> None:
        """One line. Where the process is gone nothing happens here: `gone` is called."""
        with contextlib.suppress(OSError):
            if self._process.stdin is not None:
                self._process.stdin.write(json.dumps(what) + "\n")
                self._process.stdin.flush()

    def end(self, patience_s: float = 0.0) -> None:
        """Close its input, wait for its end, and kill it where it does not come."""
        self._ended = True
        if self._process.stdin is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.close()
        try:
            if patience_s:
                self._process.wait(patience_s)
        except subprocess.TimeoutExpired:
            pass
        self._process.kill()
        self._process.wait()
        self._thread.join()
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._words.close()

    def _read(self) -> None:
        with contextlib.suppress(OSError, ValueError):  # it is gone: told below
            for line in self._process.stdout or ():
                self._heard(json.loads(line))
        code = self._process.wait()
        if not self._ended:
            self._words.seek(0)
            self._gone(code, self._words.read().decode(errors="replace").strip()[-TAIL:])
