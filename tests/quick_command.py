"""The command line in a process of its own, for tests of kills: its runs start no server at their end to time their bundle."""

from __future__ import annotations

import sys

CODE = """
from sixfold.package import http_latency
from sixfold.recipe.receipt import OverHttp
http_latency.over_http = lambda parts, deadline: OverHttp(why="this is a test")
from sixfold.__main__ import main
main()
"""


def quick(*words: str) -> list[str]:
    """What a process is started with."""
    return [sys.executable, "-c", CODE, *words]
