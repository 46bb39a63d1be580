"""Tasks of a Ray cluster that do stages (`runs.side_by_side`).

Ray lives in a process of its own, the bridge, since a driver whose cluster goes away is ended by
Ray itself: the run is told, and keeps what it has.
"""

from __future__ import annotations

import queue
import sys
import threading
from pathlib import Path
from typing import Any, Final, Self

from sixfold.core.errors import SystemFault
from sixfold.recipe.budget import Cluster
from sixfold.runs.side_by_side import Answer, Answers, Request, error_of, parts_of
from sixfold.runs.talking import Talking

BRIDGE: Final = "sixfold.evaluate.ray_bridge"
PATIENCE_S: Final = 10.0  # for Ray's processes to end


class RayTasks:
    """As many at a time as the cluster has cores for, or as asked. Made by `joined`."""

    def __init__(self) -> None:
        self.workers = 1
        self.sharing = 1
        self.description = ""
        self._first: queue.Queue[Answer] = queue.Queue()
        self._wanted: dict[int, Answers] = {}
        self._error: dict[str, str] | None = None  # why the bridge is gone
        self._lock = threading.Lock()
        self._bridge = Talking([sys.executable, "-m", BRIDGE], self._heard, self._gone)

    @classmethod
    def joined(cls, cluster: Cluster, workers: int | None, run: Path) -> Self:
        """Joins the cluster, or starts one of this machine. Raises SystemFault."""
        found = cls()
        found._bridge.tell({**cluster.model_dump(), "workers": workers, "run": str(run.absolute())})
        first = found._first.get()
        if "error" in first:
            found.end()
            raise error_of(first["error"])
        found.workers, found.description = first["workers"], first["description"]
        return found

    def start(self, number: int, request: Request, answers: Answers) -> None:
        """Ray chooses the node."""
        self._wanted[number] = answers
        self._bridge.tell({"number": number, **request})
        if self._error is not None:
            self._end(number, {"error": self._error})

    def end(self) -> None:
        """Ray ends what is unfinished, and a cluster that was started for the run."""
        self._bridge.end(PATIENCE_S)

    def _heard(self, answer: dict[str, Any]) -> None:
        if "number" not in answer:
            self._first.put(answer)
        elif "event" in answer:
            answers = self._wanted.get(answer["number"])
            if answers is not None:
                answers.put((answer["number"], answer))
        else:
            self._end(answer["number"], answer)

    def _end(self, number: int, answer: Answer) -> None:
        with self._lock:
            answers = self._wanted.pop(number, None)
        if answers is not None:
            answers.put((number, answer))

    def _gone(self, code: int, written: str) -> None:
        found = f"exit code {code}: {written or 'no word'}"
        if "No module named 'ray'" in written:
            remedy = "Install it: pip install 'sixfold[ray]', here and on all nodes."
            error = SystemFault("budget.executor", "Ray, which is an extra", "none", remedy)
        else:
            remedy = (
                "Run the same command again when it is there: finished stages and saved folds are kept. Or go on without "
                "it: --set budget.executor=processes."
            )
            error = SystemFault(
                "the Ray cluster", "one that stays", f"one that went away ({found})", remedy
            )
        self._error = parts_of(error)
        self._first.put({"error": self._error})
        for number in list(self._wanted):
            self._end(number, {"error": self._error})
