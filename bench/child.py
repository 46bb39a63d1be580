"""A peer in a process, or an environment, of its own: a JSON object a line in, one a line out.
Standard library only.

What the peer's libraries print goes to standard error, so that standard output holds answers alone.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
Answer = dict[str, Any]


class Refused(Exception):
    """The child answered with an error; the text is its own."""


class Child:
    """Started at the first question, and asked one question after the other."""

    def __init__(
        self, module: str, *arguments: str, python: str = sys.executable, **environment: str
    ) -> None:
        self.command = [python, "-m", module, *arguments]
        self.environment = environment
        self._process: subprocess.Popen[str] | None = None

    def ask(self, **question: Any) -> Answer:
        """The child's answer. Raises Refused."""
        if self._process is None:
            path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
            self._process = subprocess.Popen(
                self.command,
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": path, **self.environment},
                text=True,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._log(),
            )
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise Refused(f"{' '.join(self.command[1:])} ended with {self._process.wait()}")
        answer: Answer = json.loads(line)
        if "error" in answer:
            raise Refused(answer["error"])
        return answer

    def close(self) -> None:
        """Ends it."""
        if (
            self._process is not None
            and self._process.stdin is not None
            and self._process.stdout is not None
        ):
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()
            self._process.wait()
            self._process.stdout.close()
        self._process = None

    def _log(self) -> int | None:
        """Where its libraries talk to: nobody, or here with SIXFOLD_BENCH_VERBOSE."""
        return None if os.environ.get("SIXFOLD_BENCH_VERBOSE") else subprocess.DEVNULL


@contextlib.contextmanager
def child(
    module: str, *arguments: str, python: str = sys.executable, **environment: str
) -> Iterator[Child]:
    """One that is ended afterwards."""
    one = Child(module, *arguments, python=python, **environment)
    try:
        yield one
    finally:
        one.close()


def serve(start: Callable[[], Callable[[Answer], Answer]]) -> None:
    """The child's side: `start` imports and returns what answers a question; an exception is an
    answer, too.
    """
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    answer: Callable[[Answer], Answer] | None = None
    for line in sys.stdin:
        try:
            answer = answer or start()
            notes = answer(json.loads(line))
        except Exception as error:
            notes = {"error": f"{type(error).__name__}: {error}"[:300]}
        answers.write(json.dumps(notes) + "\n")
        answers.flush()
