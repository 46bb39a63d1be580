"""What `sixfold plan` is asked before a job may run, and what its answer says: the worker that admits a job and the page that
shows the plan before it is submitted ask the same.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

ARGUMENTS: Final = ("plan", "recipe.yaml", "--json")
COUNTED, TRIED = "--no-probe", "--probe"  # how
PARTS: Final = ("where", "expected", "found", "remedy")


def needs(plan: Mapping[str, Any]) -> dict[str, Any]:
    """What a worker must have free, by the plan: peak memory at its worst, seconds, bytes of disk; and how it was found."""
    memory, taken = plan["memory"], plan["time"]
    return {
        "memory_bytes": 0 if memory is None else int(memory["bytes"] * memory["error"]),
        "time_s": 0.0 if taken is None else float(taken["seconds"]),
        "disk_bytes": int(plan["disk_bytes"] or 0),
        "how": "counted" if taken is None else taken["how"],
    }


def settings(answer: Mapping[str, Any]) -> dict[str, Any]:
    """Of the training, where there is one candidate alone; nothing where several are compared."""
    found = list(answer.get("settings", {}).values())
    if len(found) != 1:
        return {}
    build, train = found[0]["build"], found[0]["train"]
    told = {name: train[name] for name in ("epochs", "batch_size")}
    told |= {"learning_rate": train["optimizer"].get("learning_rate")}
    told |= {name: build.get(name) for name in ("adapt", "beta")}
    return {name: one for name, one in told.items() if isinstance(one, int | float | str)}


def problems(answer: bytes) -> list[dict[str, str]]:
    """What the command says of the recipe or the data, each in four parts; nothing where it says none."""
    try:
        told = json.loads(answer)
        found = [told["error"]] if "error" in told else told["problems"]
        return [{name: str(one[name]) for name in PARTS} for one in found]
    except (ValueError, KeyError, TypeError):
        return []
