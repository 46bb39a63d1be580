"""Run every measurement, or those that are named: one table, `bench/results.json` and
`docs/reference/bench.md`.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import time
import traceback
from collections.abc import Iterator
from pathlib import Path

from bench import page, record
from bench.pairs import ROUNDS, Result
from bench.record import MEASUREMENTS

CORES = 2


def main(arguments: list[str] | None = None) -> int:
    """0; 1 where a measurement failed. Rows of measurements that did not run stay as they are."""
    options = _options(arguments)
    _keep_to(options.cores)
    failed = False
    for name in options.names or MEASUREMENTS:
        print(f"\n{name}", flush=True)
        started, load, results = time.monotonic(), os.getloadavg()[0], []
        for one in _measured(name, options.rounds):
            results.append(one)
            print("  " + "  ".join(page.cells(one)) + f"  ({one.quality})", flush=True)
        failed = failed or any(one.failed for one in results)
        known = {
            **record.read(options.results),
            name: record.of(results, time.monotonic() - started, load),
        }
        record.write(known, options.results)
        options.page.write_text(page.markdown(record.read(options.results)), encoding="utf-8")
    print(f"\n{page.table(record.read(options.results))}\n\n{options.results}\n{options.page}")
    return int(failed)


def _measured(name: str, rounds: int | None) -> Iterator[Result]:
    """The measurement's rows as they come. One that breaks is a row that says so."""
    try:
        yield from importlib.import_module(f"bench.{name}").measure(
            **({} if rounds is None else {"rounds": rounds})
        )
    except Exception as error:
        traceback.print_exc()
        yield Result(
            name, "—", absent=f"failed: {type(error).__name__}: {error}"[:300], failed=True
        )


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"some of: {', '.join(MEASUREMENTS)}; none: all"
    )
    parser.add_argument(
        "--rounds",
        type=int,
        help=f"interleaved runs; left out: {ROUNDS}, or what the measurement says",
    )
    parser.add_argument(
        "--cores", type=int, default=CORES, help="cores that everything keeps to (%(default)s)"
    )
    parser.add_argument("--results", type=Path, default=record.FILE, help=argparse.SUPPRESS)
    parser.add_argument("--page", type=Path, default=page.PAGE, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if unknown := set(options.names) - set(MEASUREMENTS):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(MEASUREMENTS)}")
    return options


def _keep_to(cores: int) -> None:
    """This process and its children, on the first cores it has; where the system can (Linux)."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])


if __name__ == "__main__":
    sys.exit(main())
