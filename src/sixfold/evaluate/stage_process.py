"""A process that does stages for another one (`runs.processes`)."""

from __future__ import annotations

from typing import Any

from sixfold.evaluate.stage_requests import Opened, answer_to
from sixfold.runs.told_process import Write, answer_requests
from sixfold.train import threads


def main() -> None:
    """Do stage after stage."""
    opened: Opened = {}

    def do(request: dict[str, Any], write: Write) -> dict[str, Any]:
        return answer_to(
            request, opened, lambda kind, facts: write({"event": kind, "facts": facts})
        )

    with threads.one_order():
        answer_requests(do)


if __name__ == "__main__":
    main()
