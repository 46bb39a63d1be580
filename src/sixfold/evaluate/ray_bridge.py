"""A process that has stages done by a Ray cluster for another one (`runs.ray_tasks`): told by lines
of JSON, answered by lines of JSON.

Tasks get text and return text. A task whose node or process is lost is told as lost; who asked
starts it again.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import re
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

os.environ["RAY_USAGE_STATS_ENABLED"] = (
    "0"  # it would tell its makers, and looks when it is imported
)

os.environ.setdefault(
    "RAY_raylet_start_wait_time_s", "120"
)  # a busy machine takes longer than 30 s

import ray
from ray import exceptions

from sixfold.core.cores import cores
from sixfold.core.errors import BudgetError, SixfoldError, SystemFault
from sixfold.core.units import show_bytes
from sixfold.evaluate.ray_task import do_stage, own_environment
from sixfold.runs import environment
from sixfold.runs.side_by_side import Answer, parts_of

ADDRESS: Final = re.compile(r"^(?:ray://)?(.+):(\d{1,5})$")
LOCAL: Final = "local"
NODE: Final = "ray_node"  # what a task tells first
KNOCK_S: Final = (
    5.0  # for a connection: Ray itself waits for two minutes, and then ends the process
)
LOOK_S: Final = 0.1  # between two looks at what has been told
JOINS: Final = 3  # tries, each of which Ray gives half a minute
NODES_S: Final = 2.0  # between two looks at which nodes are there
WAIT_S: Final = 60.0  # for a node that is large enough: guessed, what an autoscaler takes
END_S: Final = 8.0  # for Ray to end
LOST: Final = (
    exceptions.NodeDiedError,
    exceptions.WorkerCrashedError,
    exceptions.ObjectLostError,
    exceptions.TaskCancelledError,
    exceptions.LocalRayletDiedError,
)


@dataclass
class Running:
    """A task. `told`: bytes of its events that were passed on; `node`: that it said it is on."""

    number: int
    task: Any
    events: Path
    told: int = 0
    node: str | None = None

    def news(self) -> Iterator[Answer]:
        """Whole lines that were not passed on yet."""
        try:
            with self.events.open("rb") as file:
                file.seek(self.told)
                data = file.read()
        except FileNotFoundError:
            return
        whole = data[: data.rfind(b"\n") + 1]
        self.told += len(whole)
        for told in map(json.loads, whole.splitlines()):
            if NODE in told:
                self.node = told[NODE]
            else:
                yield {"number": self.number, **told}


class Bridge:
    """`asked`: the cluster's section of the recipe, with `workers`."""

    def __init__(self, asked: dict[str, Any]) -> None:
        self.asked = asked
        self.address: str = asked["address"] or os.environ.get("RAY_ADDRESS") or LOCAL
        self.running: list[Running] = []
        self.waiting: list[tuple[float, dict[str, Any]]] = []  # for a node that is large enough
        self.warned: set[str] = set()
        self.do_stage = ray.remote(do_on_node)
        self.looked_at = time.monotonic()  # which nodes are there
        self.dead: set[str] = set()

    def joined(self) -> Answer:
        """Raises SystemFault."""
        if self.address != LOCAL:
            self._knock()
        options = {"num_cpus": cores(), "include_dashboard": False} if self.address == LOCAL else {}
        self._join(options)
        nodes, each = alive(), self.asked["cores"]
        total = sum(int(node.get("CPU", 0)) for node in nodes)
        workers = self.asked["workers"] or sum(int(node.get("CPU", 0)) // each for node in nodes)
        if workers == 0:
            raise SystemFault(
                "budget.executor, cores",
                f"at most the cores of a node of the Ray cluster at {self.address}",
                f"{each}, and nodes of {', '.join(str(int(n.get('CPU', 0))) for n in nodes)} cores",
                "Lower cores, or add a node that has as many.",
            )
        where = "Ray on this machine" if self.address == LOCAL else f"Ray at {self.address}"
        count = f"{len(nodes)} node{'s' if len(nodes) > 1 else ''}, {total} cores"
        return {"workers": workers, "description": f"{where} ({count}), {workers} at a time."}

    def _join(self, options: dict[str, Any]) -> None:
        """A cluster starts a server for each of Ray's clients, and refuses one whose server is not up in half a minute: a
        busy one is asked again. Raises SystemFault.
        """
        for left in reversed(range(JOINS)):
            try:
                ray.init(self.address, log_to_driver=False, configure_logging=False, **options)
            except (Exception, SystemExit) as error:
                if left and isinstance(error, ConnectionAbortedError):
                    continue
                told = [line.strip() for line in str(error).splitlines() if line.strip()]
                raise self._no_cluster(" ".join(told[:2]) or repr(error)) from error
            return

    def start(self, request: dict[str, Any]) -> None:
        """Where a node is large enough; else it waits for one."""
        self.waiting.append((time.monotonic(), request))

    def answers(self) -> Iterator[Answer]:
        """What is new."""
        yield from self._begin()
        for each in list(self.running):
            yield from each.news()
        tasks = [each.task for each in self.running]
        ready = ray.wait(tasks, num_returns=len(tasks), timeout=0)[0] if tasks else []
        for each in [each for each in self.running if each.task in ready]:
            self.running.remove(each)
            end = self._end(each)
            yield from each.news()
            yield from self._warning(each.number, end)
            yield {"number": each.number, **end}
        if self.running and time.monotonic() - self.looked_at > NODES_S:
            yield from self._of_dead_nodes()

    def _of_dead_nodes(self) -> Iterator[Answer]:
        """Tasks whose node the cluster has given up, or that may have been on their way to it. Ray tells of them when the
        connection ends: where a network is cut, that takes it minutes.
        """
        self.looked_at = time.monotonic()
        dead = {str(node["NodeID"]) for node in ray.nodes() if not node["Alive"]}
        new, self.dead = dead - self.dead, dead
        lost = [each for each in self.running if each.node is None or each.node in new]
        for each in lost if new else ():
            self.running.remove(each)
            ray.cancel(each.task, force=True)
            yield {"number": each.number, "lost": "its node is gone"}

    def _begin(self) -> Iterator[Answer]:
        if not self.waiting:
            return
        nodes, still = alive(), []
        for since, request in self.waiting:
            needs = {"CPU": self.asked["cores"], "memory": request["needs_bytes"] or 0}
            if any(
                all(node.get(name, 0) >= each for name, each in needs.items()) for node in nodes
            ):
                self._submit(request)
            elif time.monotonic() - since < WAIT_S:
                still.append((since, request))
            else:
                yield {
                    "number": request["number"],
                    "error": parts_of(self._too_large(needs, nodes)),
                }
        self.waiting = still

    def _submit(self, request: dict[str, Any]) -> None:
        events = Path(request["into"]).with_suffix(".events")
        context, deadline = request["context"], request["context"]["deadline"]
        told = {
            **request,
            "until": None if deadline is None else time.time() + deadline - time.monotonic(),
            "environment": own_environment(),
            "events": str(events),
            "cores": self.asked["cores"],
        }
        task = self.do_stage.options(
            name=Path(request["into"]).name,
            num_cpus=self.asked["cores"],
            num_gpus=1 if context["device"] == "cuda" else 0,
            memory=request["needs_bytes"] or None,
            max_retries=0,
            scheduling_strategy="SPREAD",
        ).remote(json.dumps(told))
        self.running.append(Running(request["number"], task, events))

    def _end(self, each: Running) -> Answer:
        try:
            found: Answer = json.loads(ray.get(each.task))
        except exceptions.OutOfMemoryError:
            remedy = "Lower budget.workers, raise the memory of the nodes, or set budget.memory, so that it is planned."
            error = BudgetError(
                "memory of a node", "a task", "one that Ray ended for its memory", remedy
            )
            return {"error": parts_of(error)}
        except LOST as error:
            return {"lost": _short(error)}
        except (exceptions.RayError, RuntimeError, ImportError) as error:
            remedy = "Install Sixfold with the extra `ray` on all nodes, the same version as here."
            fault = SystemFault(
                "a node of the Ray cluster", "one that does stages", _short(error), remedy
            )
            return {"error": parts_of(fault)}
        return found

    def _warning(self, number: int, end: Answer) -> Iterator[Answer]:
        """Of a node that computes otherwise, once."""
        node, there = end.pop("node", ""), end.pop("environment", None)
        if there is None or node in self.warned:
            return
        self.warned.add(node)
        text = "; ".join(environment.changes(own_environment(), there)).replace("before", "here")
        if text:
            text = f"Node {node} computes otherwise ({text}): what it does may differ in the last digits."
            yield {"number": number, "event": "warning", "facts": {"text": text}}

    def _knock(self) -> None:
        """Raises SystemFault where nobody listens."""
        found = ADDRESS.match(self.address)
        if found is None:
            expected = "HOST:PORT, or ray://HOST:PORT"
            remedy = "Say it in budget.executor, as {name: ray, address: …}, or in RAY_ADDRESS."
            raise SystemFault("the address of the Ray cluster", expected, self.address, remedy)
        try:
            socket.create_connection((found[1].strip("[]"), int(found[2])), KNOCK_S).close()
        except (OSError, OverflowError) as error:
            raise self._no_cluster(str(error)) from error

    def _no_cluster(self, why: str) -> SystemFault:
        return SystemFault(
            f"the Ray cluster at {self.address}",
            f"one of Ray {ray.__version__} that answers",
            why,
            "See with `ray status` whether it is there; a HOST:PORT needs a node of the cluster on this machine (`ray start "
            "--address=HOST:PORT`), a ray://HOST:PORT does not. Or go on without it: --set budget.executor=processes.",
        )

    def _too_large(self, needs: dict[str, Any], nodes: list[dict[str, float]]) -> BudgetError:
        largest = max((node.get("memory", 0) for node in nodes), default=0)
        return BudgetError(
            "memory of a node",
            f"a node with {needs['CPU']} cores and {show_bytes(needs['memory'])}, as planned",
            f"{len(nodes)} nodes with at most {show_bytes(int(largest))}",
            "Add a larger node, or lower cores of budget.executor.",
        )


def do_on_node(text: str) -> str:
    """A task: it tells where it is, and does a stage."""
    with contextlib.suppress(OSError), Path(json.loads(text)["events"]).open("a") as told:
        told.write(json.dumps({NODE: ray.get_runtime_context().get_node_id()}) + "\n")
    return do_stage(text)


def alive() -> list[dict[str, float]]:
    """The resources of each node that is there and can do tasks."""
    found = (node["Resources"] for node in ray.nodes() if node["Alive"])
    return [each for each in found if each.get("CPU", 0) > 0]


def _short(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[-1] if isinstance(error, exceptions.RayTaskError) else lines[0]}"[
        :300
    ]


def main() -> None:
    """Until standard input ends."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what a library prints is no answer
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # who asks ends this
    requests: queue.Queue[str | None] = queue.Queue()
    threading.Thread(target=_listen, args=(requests,), daemon=True).start()

    def write(answer: Answer) -> None:
        answers.write(json.dumps(answer) + "\n")
        answers.flush()

    bridge = Bridge(json.loads(requests.get() or "{}"))
    try:
        write(bridge.joined())
        _serve(bridge, requests, write)
    except SixfoldError as error:
        write({"error": parts_of(error)})
    ray.shutdown()


def _serve(
    bridge: Bridge, requests: queue.Queue[str | None], write: Callable[[Answer], None]
) -> None:
    while True:
        try:
            line = requests.get(timeout=LOOK_S)
            while line is not None:
                bridge.start(json.loads(line))
                line = requests.get_nowait()
            return
        except queue.Empty:
            pass
        for answer in bridge.answers():
            write(answer)


def _listen(requests: queue.Queue[str | None]) -> None:
    """Whoever asks is gone when the input ends."""
    for line in sys.stdin:
        requests.put(line)
    requests.put(None)
    time.sleep(END_S)
    os._exit(0)


if __name__ == "__main__":
    main()
