"""A process that is told things by lines of JSON on its standard input, and answers by lines of JSON on its
standard output (`runs.talking` is the other side).

It ends when the other one does.
"""

from __future__ import annotations

import json
import os
import queue
import sys
import threading
from collections.abc import Callable
from typing import Any

Write = Callable[[dict[str, Any]], None]


def answer_requests(do: Callable[[dict[str, Any], Write], dict[str, Any]]) -> None:
    """`do` gets a request and what writes further answers, and returns the last one; until standard input ends."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what a library prints is no answer
    requests: queue.Queue[str] = queue.Queue()
    threading.Thread(target=_listen, args=(requests,), daemon=True).start()

    def write(answer: dict[str, Any]) -> None:
        answers.write(json.dumps(answer) + "\n")
        answers.flush()

    while True:
        write(do(json.loads(requests.get()), write))


def _listen(requests: queue.Queue[str]) -> None:
    """Whoever asks is gone when the input ends: then nobody wants what is being done."""
    for line in sys.stdin:
        requests.put(line)
    os._exit(0)
