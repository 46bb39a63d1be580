"""In the place of `sixfold` in a worker's child: a run of three stages in a real run folder, without what trains.

    three_stages.py NOTES BUNDLE STAGE_S plan|run …

NOTES/JOB: a line when a stage is begun, one when it is sealed; BUNDLE: what the last stage copies. A recipe's first comment
may ask for misbehavior: `deaf` (ignores Ctrl-C), `greedy` (holds 400 MB), `crash` (dies in the second stage).
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import time
from pathlib import Path

from sixfold.core.errors import SixfoldError

STAGES = ("first", "second", "third")
TIME = {"seconds": 1.0, "how": "counted"}
PLAN = {"memory": {"bytes": 100 << 20, "error": 1.2}, "time": TIME, "disk_bytes": 4096}


def note(notes: Path, words: str) -> None:
    """One write: lines of several processes stay whole."""
    handle = os.open(notes / Path.cwd().parent.name, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(handle, f"{words} {os.getpid()}\n".encode())
    os.close(handle)


def run(notes: Path, bundle: Path, stage_s: float, out: Path) -> None:
    from sixfold.runs.folder import RunFolder

    recipe = Path("recipe.yaml").read_text()
    if "deaf" in recipe:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    held = b"x" * (400 << 20) if "greedy" in recipe else b""
    with RunFolder(out) as folder:
        for name in STAGES:
            with folder.stage(name, f"key of {name}") as place:
                if place.aside is None:
                    continue
                note(notes, f"start {name}")
                time.sleep(stage_s)
                if "crash" in recipe and name == "second":
                    os.kill(os.getpid(), signal.SIGSEGV)
                (place.aside / "work.txt").write_text(f"{name}{len(held) and held[0]}")
                if name == STAGES[-1]:
                    shutil.copytree(bundle, place.aside / "bundle")
            note(notes, f"done {name}")
    done = {"bundle": str(out / STAGES[-1] / "bundle"), "receipt": {"kept": 1}, "verdict": []}
    print(json.dumps(done))


def main() -> int:
    notes, bundle, stage_s, verb = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], sys.argv[4]
    if verb == "plan":
        print(json.dumps({"plan": PLAN}))
        return 0
    try:
        run(notes, bundle, float(stage_s), Path(sys.argv[sys.argv.index("--out") + 1]))
    except KeyboardInterrupt:
        return 130
    except (
        SixfoldError
    ) as error:  # as the command line ends: 8 where the machine is at fault, which is tried again
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
