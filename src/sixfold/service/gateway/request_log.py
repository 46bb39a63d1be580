"""Sampled requests with their answers, as JSON lines: off until a deployment's `log_share` says otherwise.

One file a deployment, and the one before it: together at most twice MOST_BYTES. Written once a second, in a thread.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

MOST_BYTES: Final = 16 << 20  # of a file
MOST_WAITING: Final = 1000  # lines a second, of all deployments


@dataclass
class RequestLog:
    """`folder`: a folder a tenant, a file a deployment."""

    folder: Path
    _waiting: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)

    def add(self, tenant_id: str, name: str, line: dict[str, Any]) -> None:
        """On the event loop. `body` and `answer` of the line are bytes."""
        if len(self._waiting) < MOST_WAITING:
            self._waiting.append((tenant_id, name, line))

    def flush(self) -> None:
        """In a thread. Raises OSError: what could not be written is lost, as it was a sample."""
        waiting, self._waiting = self._waiting, []
        for place in dict.fromkeys((tenant, name) for tenant, name, _ in waiting):
            lines = [line for tenant, name, line in waiting if (tenant, name) == place]
            self._write(self.folder / place[0] / f"{_file_name(place[1])}.jsonl", lines)

    def _write(self, path: Path, lines: Iterable[dict[str, Any]]) -> None:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        text = b"".join(json.dumps(_plain(line)).encode() + b"\n" for line in lines)
        if path.exists() and path.stat().st_size + len(text) > MOST_BYTES:
            path.replace(path.with_suffix(".before.jsonl"))
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        with os.fdopen(descriptor, "ab") as file:
            file.write(text[:MOST_BYTES])


def _file_name(name: str) -> str:
    """A deployment's name is one already; a served name (`ft:…`) becomes one."""
    return "".join(letter if letter.isalnum() or letter in "-_" else "_" for letter in name)[:100]


def _plain(line: dict[str, Any]) -> dict[str, Any]:
    return {
        key: value.decode("utf-8", "replace") if isinstance(value, bytes) else value
        for key, value in line.items()
    }
