"""Which service, and with which key: `sixfold login` writes it down for the user alone, the environment goes before it."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sixfold.core.errors import SystemFault
from sixfold.core.paths import write_atomic

SERVER: Final = "SIXFOLD_SERVER"
KEY: Final = "SIXFOLD_API_KEY"


@dataclass(frozen=True)
class Login:
    """A server's address and a key."""

    server: str
    key: str


def place() -> Path:
    """Where `login` writes: $XDG_CONFIG_HOME/sixfold/login.json."""
    base = os.environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    return Path(base) / "sixfold" / "login.json"


def save(login: Login) -> Path:
    """Readable by its owner alone. Raises SystemFault."""
    path = place()
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    old = os.umask(0o077)
    try:
        write_atomic(path, json.dumps({"server": login.server, "key": login.key}))
    finally:
        os.umask(old)
    return path


def found() -> Login:
    """From the environment, else from what `login` wrote. Raises SystemFault where neither has both."""
    written = _written()
    server = os.environ.get(SERVER) or written.get("server")
    key = os.environ.get(KEY) or written.get("key")
    if not server or not key:
        raise SystemFault(
            "the service",
            f"an address and a key in {SERVER} and {KEY}, or from `sixfold login`",
            "none",
            "Run: sixfold login URL",
        )
    return Login(server, key)


def _written() -> dict[str, str]:
    try:
        value = json.loads(place().read_bytes())
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}
