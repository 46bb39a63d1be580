"""What was predicted before the run, beside what was measured in it."""

from __future__ import annotations

import time
from collections.abc import Callable

from sixfold.core.memory import peak_bytes
from sixfold.core.units import show_bytes, show_seconds
from sixfold.plan.run_plan import FILE, STAGE
from sixfold.recipe.plan import PlanLine, RunPlan
from sixfold.runs.folder import RunFolder

STAGES = {"evaluate": "evaluate", "refit": "refit", "compress": "compress"}


def lines(folder: RunFolder, started: float) -> tuple[PlanLine, ...]:
    """Memory, the stages that are done, and all of it until now. `started`: time.monotonic() of the command. A run of
    several commands has the stages of all of them.
    """
    plan = RunPlan.model_validate_json((folder.path / STAGE / FILE).read_text(encoding="utf-8"))
    found = [_line("memory", plan.memory.bytes, peak_bytes(), show_bytes)]
    if plan.time is None:
        return tuple(found)
    took_s = _stages(folder)
    for stage in plan.time.stages:
        if stage.stage in took_s:
            found.append(_line(stage.stage, stage.seconds, took_s[stage.stage], show_seconds))
    whole_s = max(time.monotonic() - started, sum(took_s.values()))
    found.append(_line("all of it, until here", plan.time.seconds, whole_s, show_seconds))
    return tuple(found)


def _stages(folder: RunFolder) -> dict[str, float]:
    """Seconds of each kind of stage."""
    took_s: dict[str, float] = {}
    for event in folder.history():
        if event["event"] != "stage_finished" or "/" in event["stage"]:
            continue
        kind = STAGES.get(str(event["stage"]).partition("-")[0])
        if kind is not None:
            took_s[kind] = took_s.get(kind, 0.0) + float(event["duration_s"])
    return took_s


def _line(what: str, predicted: float, measured: float, show: Callable[[float], str]) -> PlanLine:
    ratio = round(measured / predicted, 3) if predicted > 0 else None
    return PlanLine(what=what, predicted=show(predicted), measured=show(measured), ratio=ratio)
