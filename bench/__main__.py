"""Run every measurement, print one table, write `bench/results.json`."""

from __future__ import annotations

import importlib
import json
import platform
from pathlib import Path

HERE = Path(__file__).parent
NOT_MEASUREMENTS = {"__init__", "__main__", "networks", "pairs"}


def main() -> None:
    """Each other file in this folder has `measure() -> list[Result]`."""
    names = sorted(path.stem for path in HERE.glob("*.py") if path.stem not in NOT_MEASUREMENTS)
    results = [result for name in names for result in importlib.import_module(f"bench.{name}").measure()]
    print(f"{'workload':44} {'peer':34} {'ours':>12} {'peer':>12} {'ratio':>8}  equal")
    for r in results:
        print(f"{r.workload:44} {r.peer:34} {r.ours:12.6g} {r.peers:12.6g} {r.ratio:8.2f}  {r.quality} ({r.unit})")
    record = {"machine": platform.processor() or platform.machine(), "results": [r.record() for r in results]}
    (HERE / "results.json").write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
