"""A process that does stages for another one (`runs.processes`): told by lines of JSON, answered by
lines of JSON.

It ends when the other one does.
"""

from __future__ import annotations

import json
import os
import queue
import sys
import threading
from typing import Any

from sixfold.evaluate.stage_requests import Opened, answer_to
from sixfold.train import threads


def main() -> None:
    """Do stage after stage until standard input ends."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what a library prints is no answer
    requests: queue.Queue[str] = queue.Queue()
    threading.Thread(target=_listen, args=(requests,), daemon=True).start()
    opened: Opened = {}

    def write(answer: dict[str, Any]) -> None:
        answers.write(json.dumps(answer) + "\n")
        answers.flush()

    def emit(kind: str, facts: dict[str, Any]) -> None:
        write({"event": kind, "facts": facts})

    with threads.one_order():
        while True:
            write(answer_to(json.loads(requests.get()), opened, emit))


def _listen(requests: queue.Queue[str]) -> None:
    """Whoever asks is gone when the input ends: then nobody wants what is being done."""
    for line in sys.stdin:
        requests.put(line)
    os._exit(0)


if __name__ == "__main__":
    main()
