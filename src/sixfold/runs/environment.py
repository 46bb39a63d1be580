"""Where a run computes: processor, instruction sets, versions. A run that goes on elsewhere says
so.

The same recipe gives the same bytes on any number of cores. It does not on another kind of
processor, whose libraries take other instructions, nor with another version of one of them: the
last digits differ.
"""

from __future__ import annotations

import hashlib
import os
import platform
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

from sixfold.runs.events import Event
from sixfold.runs.folder import RunFolder

KIND: Final = "environment"
ENGINES: Final = (
    "sixfold",
    "numpy",
    "scipy",
    "scikit-learn",
    "lightgbm",
    "torch",
    "onnx",
    "onnxruntime",
    "pyarrow",
)
# What makes libraries take other instructions than those of the processor, or other block sizes.
SETTINGS: Final = (
    "OPENBLAS_CORETYPE",
    "OPENBLAS_L2_SIZE",
    "ATEN_CPU_CAPABILITY",
    "MKL_CBWR",
    "MKL_ENABLE_INSTRUCTIONS",
    "ONEDNN_MAX_CPU_ISA",
    "NPY_DISABLE_CPU_FEATURES",
)


def tell(folder: RunFolder) -> None:
    """Emit `environment` where it is the first or another one; then a warning, too."""
    now, before = facts(), last(folder.history())
    if before == now:
        return
    folder.emit(KIND, now)
    if before is not None:
        text = "; ".join(changes(before, now))
        folder.emit(
            "warning",
            {
                "text": (
                    f"This run goes on in another environment ({text}): what it computes from here on may differ in the "
                    "last digits "
                    "from a run in one environment. For equal bytes run it anew, with --out, in one place."
                )
            },
        )


def facts() -> dict[str, Any]:
    """Of this process."""
    return {
        "processor": _of_cpuinfo("model name") or platform.processor() or platform.machine(),
        "instructions": hashlib.sha256(_of_cpuinfo("flags").encode()).hexdigest()[:12],
        "system": f"{platform.system()} {platform.machine()}",
        "versions": {
            "python": platform.python_version(),
            **{name: _version(name) for name in ENGINES},
        },
        "settings": {name: os.environ[name] for name in SETTINGS if name in os.environ},
    }


def last(events: Iterable[Event]) -> dict[str, Any] | None:
    """The newest environment in a stream of events."""
    found = None
    for event in events:
        if event["event"] == KIND:
            found = {name: value for name, value in event.items() if name not in ("event", "time")}
    return found


def changes(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """ "numpy 2.1.0, before 2.0.2" of everything that is not as it was."""
    old, new = _flat(before), _flat(now)
    return [
        f"{name} {new.get(name)}, before {old.get(name)}"
        for name in {**old, **new}
        if old.get(name) != new.get(name)
    ]


def _flat(facts: dict[str, Any]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in facts.items():
        found |= (
            {key: str(one) for key, one in value.items()}
            if isinstance(value, dict)
            else {name: str(value)}
        )
    return found


def _of_cpuinfo(key: str) -> str:
    """The first processor's entry, where the system tells: flags in one order."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text(errors="replace").splitlines() if path.exists() else []
    found = next(
        (line.split(":", 1)[1].strip() for line in lines if line.split(":")[0].strip() == key), ""
    )
    return " ".join(sorted(found.split())) if key == "flags" else found


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "none"
