"""A checkpoint by its name on the hub (`org/name`): its safetensors, configuration and tokenizer are fetched once, into the
cache that all tools of that ecosystem share. No pickle and no code is asked for.
"""

from __future__ import annotations

import importlib
import re
from functools import cache
from pathlib import Path
from typing import Any, Final

from sixfold.core.errors import DataError, SystemFault
from sixfold.parts.checkpoint_files import CONFIG, TOKENIZER, WEIGHTS

NAME: Final = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}")
FETCHED: Final = (  # patterns, of the repository's first level
    CONFIG,
    "generation_config.json",
    TOKENIZER,
    "tokenizer_config.json",
    "chat_template.jinja",
    WEIGHTS,
    f"{WEIGHTS}.index.json",
    "model-*-of-*.safetensors",
)


def local_folder(named: Path) -> Path:
    """The folder itself, where there is one or the name is none of the hub's; else that in which the hub's
    files lie. Raises DataError where they cannot be fetched.
    """
    name = named.as_posix()
    if named.exists() or not NAME.fullmatch(name):
        return named
    return _fetched(name)


@cache
def _fetched(name: str) -> Path:
    library = _library()
    try:
        return Path(library.snapshot_download(name, allow_patterns=list(FETCHED)))
    except Exception as error:  # those of its HTTP client among them
        raise DataError(
            name,
            "a folder, or a name on the hub that can be reached",
            f"no such folder, and {type(error).__name__}: {str(error).splitlines()[0][:120]}",
            "Name the folder of a checkpoint that was downloaded before, or look at name and network.",
        ) from None


def _library() -> Any:
    """Raises SystemFault where it is not installed."""
    try:
        return importlib.import_module("huggingface_hub")
    except ImportError:
        raise SystemFault(
            "build, language",
            "huggingface_hub, which fetches checkpoints by their name",
            "none",
            'pip install "sixfold[language]"',
        ) from None
