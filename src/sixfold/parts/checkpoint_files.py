"""The files of a local checkpoint: JSON that is bounded before it is read, and the digest of what a
folder holds.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final

from sixfold.core import json_limits
from sixfold.core.errors import DataError
from sixfold.core.json_limits import JsonLimits

CONFIG: Final = "config.json"
WEIGHTS: Final = "model.safetensors"
TOKENIZER: Final = "tokenizer.json"
EXTRACTOR: Final = "preprocessor_config.json"  # how recordings are prepared
PROCESSOR: Final = "processor_config.json"  # of newer versions: the extractor's is a part of it
LIMITS: Final = JsonLimits(
    64 << 20, values=4_000_000
)  # of a tokenizer; multilingual ones have 20 MB
AGAIN: Final = "Save it with save_pretrained(folder, safe_serialization=True); files with pickle in them are not read."


def present(folder: Path, needed: Sequence[str], optional: Sequence[str] = ()) -> list[str]:
    """`needed`, and what is there of `optional`. Raises DataError for a folder without a needed
    file.
    """
    missing = next((name for name in needed if not (folder / name).is_file()), None)
    if missing is not None:
        pickled = sorted(file.name for file in folder.glob("*.bin")) if folder.is_dir() else []
        found = (
            f"no {missing}" + (f", but {pickled[0]}" if pickled else "")
            if folder.is_dir()
            else "no such folder"
        )
        raise DataError(str(folder), f"a checkpoint: {', '.join(needed)}", found, AGAIN)
    return [*needed, *(name for name in optional if (folder / name).is_file())]


def extractor_file(folder: Path) -> str:
    """Of a checkpoint that hears. Raises DataError for a folder without one."""
    if not (folder / EXTRACTOR).is_file() and (folder / PROCESSOR).is_file():
        return PROCESSOR
    return present(folder, [CONFIG, EXTRACTOR])[1]


def read_extractor(folder: Path, limits: JsonLimits = LIMITS) -> dict[str, Any]:
    """What it says; nothing where it is no mapping. Raises DataError."""
    file = folder / extractor_file(folder)
    found = read_json(file, limits)
    if file.name == PROCESSOR and isinstance(found, dict):
        found = found.get("feature_extractor")
    return found if isinstance(found, dict) else {}


def digest(folder: Path, names: Sequence[str]) -> str:
    """SHA-256 of these files, which are there."""
    sha = hashlib.sha256()
    for name in names:
        facts = (folder / name).stat()
        sha.update(
            f"{name} {_file_digest(folder / name, facts.st_size, facts.st_mtime_ns)}\n".encode()
        )
    return sha.hexdigest()


@cache
def _file_digest(file: Path, size: int, changed: int) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def read_json(file: Path, limits: JsonLimits = LIMITS) -> Any:
    """Raises DataError for what is no JSON, or too much of it: what is too large is not read."""
    size = file.stat().st_size
    if size > limits.size_bytes:
        raise DataError(str(file), f"at most {limits.size_bytes:,} bytes", f"{size:,}", AGAIN)
    content = file.read_bytes()
    if violation := json_limits.violation(content, limits):
        raise DataError(str(file), *violation, AGAIN)
    try:
        return json.loads(content)
    except ValueError:
        raise DataError(str(file), "JSON", "something else", AGAIN) from None
