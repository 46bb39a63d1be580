"""A folder that is sealed: its manifest, written last, holds the bytes and the SHA-256 of every
file, and what it is for.
"""

from __future__ import annotations

import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from sixfold.core.paths import sha256_file, write_atomic

MANIFEST = "manifest.json"
SYNCED_AT_ONCE = 8  # files: measured, six take 4 ms so, and 22 ms one after the other


def seal(folder: Path, key: str) -> None:
    """Sync every file of `folder`, then write the manifest. `key`: what its content depends on."""
    paths = sorted(p for p in folder.rglob("*") if p.is_file())
    with ThreadPoolExecutor(SYNCED_AT_ONCE) as threads:  # a file system does several syncs as one
        facts = list(threads.map(_synced, paths))
    files = {str(path.relative_to(folder)): found for path, found in zip(paths, facts, strict=True)}
    write_atomic(folder / MANIFEST, json.dumps({"key": key, "files": files}, indent=1))


def _synced(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        os.fsync(file.fileno())
    return {"bytes": path.stat().st_size, "sha256": sha256_file(path)}


def problem_of(folder: Path) -> str:
    """What is wrong with a sealed folder, or '' when every file has the bytes of its manifest."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text())
        if not isinstance(manifest["key"], str):
            return f"{MANIFEST} is damaged"
        for name, facts in manifest["files"].items():
            path = folder / name
            if not path.is_file():
                return f"{name} is missing"
            if path.stat().st_size != facts["bytes"] or sha256_file(path) != facts["sha256"]:
                return f"{name} is damaged"
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return f"{MANIFEST} is damaged"
    return ""


def is_sealed(folder: Path) -> bool:
    """Whether a manifest says that this folder was sealed; its files may be damaged."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text())
        return isinstance(manifest["key"], str) and isinstance(manifest["files"], dict)
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return False


def key_of(folder: Path) -> str:
    """The key of a folder that is whole."""
    return str(json.loads((folder / MANIFEST).read_text())["key"])
