"""A Ray task: one stage, on whatever node it is. It is given JSON and returns JSON; what it tells
meanwhile goes into a file of the run's folder.
"""

from __future__ import annotations

import json
import platform
import time
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import Any, Final

from sixfold.core.cores import planned_for
from sixfold.core.errors import SixfoldError, SystemFault
from sixfold.evaluate.stage_requests import Opened, answer_to
from sixfold.runs import environment
from sixfold.runs.folder import code_digest
from sixfold.runs.side_by_side import parts_of
from sixfold.train import threads

OPENED: Final[Opened] = {}  # of this process, which does one task after the other
CODE: Final = "Sixfold's own code"


def do_stage(text: str) -> str:
    """`text`: a request, with the `environment` of the run, the file of its `events`, and `cores`."""
    request = json.loads(text)
    try:
        _check(request)
    except SixfoldError as error:
        return json.dumps({"error": parts_of(error)})
    with ExitStack() as inside:
        inside.enter_context(planned_for(request["cores"]))
        inside.enter_context(threads.one_order())
        told = inside.enter_context(Path(request["events"]).open("a", encoding="utf-8"))

        def emit(kind: str, facts: dict[str, Any]) -> None:
            told.write(json.dumps({"event": kind, "facts": facts}) + "\n")
            told.flush()

        if (
            request["until"] is not None
        ):  # a time of day: each machine has its own clock for the rest
            left_s = request["until"] - time.time()
            request["context"]["deadline"] = time.monotonic() + left_s
        answer = answer_to(request, OPENED, emit)
    return json.dumps({**answer, "node": platform.node(), "environment": own_environment()})


@cache
def own_environment() -> dict[str, Any]:
    """Of this process: what has to be equal everywhere (`versions`), and what should."""
    facts = environment.facts()
    return {**facts, "versions": {**facts["versions"], CODE: code_digest()[:12]}}


def _check(request: dict[str, Any]) -> None:
    """Raises SystemFault where this node is none for the run."""
    node = f"node {platform.node()}"
    if not Path(request["into"]).is_dir():
        raise SystemFault(
            f"{node}, {request['run']}",
            "the run's folder, which all nodes see at this path",
            "none, or another one",
            "Put --out on a file system that all nodes mount at the same place (NFS, a persistent volume): what is there "
            "is kept, and the same command goes on.",
        )
    asked, own = request["environment"]["versions"], own_environment()["versions"]
    others = [
        f"{name} {own.get(name)}, where the run has {asked[name]}"
        for name in asked
        if asked[name] != own.get(name)
    ]
    if others:
        raise SystemFault(
            node,
            "the versions of the run, so that all stages have the same bytes",
            "; ".join(others),
            "Install the same ones on all nodes (one image, or one lock file), or take the node out of the cluster.",
        )
