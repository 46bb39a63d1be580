"""`verify` of each folder that is named, each in a process of its own with a limit on its memory:
what it said, took and grew by.

Run as a script; the parent process is small and has imported everything, and every folder gets a
fork of it.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from typing import Any

MOST_BYTES = 4 << 30  # of address space: what grows further dies


def measured(folder: str) -> dict[str, Any]:
    from sixfold.bundle.verify import verify
    from sixfold.core.errors import BundleError
    from sixfold.core.memory import peak_bytes

    before = peak_bytes()
    started = time.monotonic()
    try:
        verify(folder)
        said = "accepted"
    except BundleError as error:
        said = str(error)
    except BaseException as error:  # whatever else comes is what the test looks for
        said = f"not a BundleError: {type(error).__name__} {error}"[:500]
    seconds = time.monotonic() - started
    grown = peak_bytes() - before
    return {"said": said, "seconds": seconds, "grown_bytes": grown}


def forked(folder: str) -> dict[str, Any]:
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read)
        resource.setrlimit(resource.RLIMIT_AS, (MOST_BYTES, MOST_BYTES))
        os.write(write, json.dumps(measured(folder)).encode()[:60_000])
        os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as file:
        content = file.read()
    _, status = os.waitpid(child, 0)
    return (
        dict(json.loads(content))
        if content
        else {"said": f"died with status {status}", "seconds": 0, "grown_bytes": 0}
    )


if __name__ == "__main__":
    first, *folders = sys.argv[1:]
    assert measured(first)["said"] == "accepted"  # imports everything, and warms up
    for each in folders:
        print(json.dumps(forked(each)), flush=True)
