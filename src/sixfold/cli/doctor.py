"""sixfold doctor: what this machine and this installation have."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import zipfile
from pathlib import Path

import click

from sixfold.cli import EXISTING, JSON, show_json

BASE = ("numpy", "onnxruntime", "pydantic", "starlette", "uvicorn", "uvloop", "httptools")
EXCEL = ("openpyxl",)
LANGUAGE = ("openvino", "openvino-genai", "openvino-tokenizers", "tokenizers", "gguf", "peft")
TRAIN = (
    "torch",
    "scikit-learn",
    "lightgbm",
    "pandas",
    "pyarrow",
    "onnx",
    "optuna",
    "safetensors",
    "scipy",
)
EVENTS = "events.jsonl"
LAST_EVENTS = 200
FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "amx_int8")


@click.command(name="doctor")
@click.option("--report", type=EXISTING, metavar="FILE", help="The zip file to write, redacted.")
@click.option("--run", type=EXISTING, metavar="FOLDER", help="Of a run; its last events go along.")
@JSON
def command(report: Path | None, run: Path | None, as_json: bool) -> None:
    """Versions, extras, cores, memory, disk, and what the processor can do for int8; --report writes
    them as a file to send.
    """
    facts = look()
    if run is not None and report is None:
        raise click.UsageError("--run goes with --report FILE")
    if report is not None:
        _write(report, facts, run)
    if as_json:
        show_json(facts)
        return
    for section, values in facts.items():
        click.echo(section)
        for name, value in values.items():
            click.echo(f"  {name:20} {value}")


def _write(out: Path, facts: dict[str, dict[str, object]], run: Path | None) -> None:
    """Texts alone, without keys, tokens, passwords in addresses, and the names of homes."""
    from sixfold.core import strict_json
    from sixfold.core.paths import system_fault
    from sixfold.core.redacted import redacted
    from sixfold.recipe.schema import Recipe

    texts = {
        "doctor.json": strict_json.text(
            {**facts, "recipe": {"version": Recipe.model_fields["version"].default}}, 1
        )
    }
    try:
        if run is not None:
            lines = (run / EVENTS).read_text(encoding="utf-8", errors="replace").splitlines()
            texts[EVENTS] = "\n".join(lines[-LAST_EVENTS:]) + "\n"
        with zipfile.ZipFile(out, "x", zipfile.ZIP_DEFLATED) as file:
            for name, text in texts.items():
                file.writestr(name, redacted(text))
    except OSError as error:
        raise system_fault(out, error) from error


def look() -> dict[str, dict[str, object]]:
    """Section → name → value."""
    import psutil

    from sixfold import __version__
    from sixfold.core.units import show_bytes

    flags = _flags()
    return {
        "sixfold": {"version": __version__, "python": platform.python_version()},
        "base install": {name: _version(name) for name in BASE},
        "extra train": {name: _version(name) for name in TRAIN},
        "extra excel": {name: _version(name) for name in EXCEL},
        "extra language": {name: _version(name) for name in LANGUAGE},
        "machine": {
            "system": f"{platform.system()} {platform.release()} {platform.machine()}",
            "cores": len(os.sched_getaffinity(0))
            if hasattr(os, "sched_getaffinity")
            else os.cpu_count(),
            "memory": show_bytes(psutil.virtual_memory().total),
            "memory free": show_bytes(psutil.virtual_memory().available),
            "disk free here": show_bytes(shutil.disk_usage(Path.cwd()).free),
        },
        "device": {"cuda": _gpu()},
        "onnxruntime": {"providers": _providers(), "threads": _threads()},
        "int8": {
            **{flag: "yes" if flag in flags else "no" for flag in FLAGS},
            "note": "without VNNI, int8 makes files smaller, seldom faster"
            if not _vnni(flags)
            else "int8 products are fast",
        },
    }


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _gpu() -> str:
    """What `budget.device: cuda` would train on, or why there is nothing."""
    if _version("torch") == "not installed":
        return "no torch here: the extra train installs it"
    import torch

    if torch.version.cuda is None:
        return f"none: torch {torch.__version__} was built without CUDA"
    return torch.cuda.get_device_name() if torch.cuda.is_available() else "none that torch can use"


def _providers() -> str:
    import onnxruntime

    return ", ".join(onnxruntime.get_available_providers())


def _threads() -> str:
    """What numeric libraries will use: one thread a core, unless the environment says otherwise."""
    given = [
        f"{name}={os.environ[name]}"
        for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
        if name in os.environ
    ]
    return ", ".join(given) or "one a core"


def _flags() -> set[str]:
    """The processor's features, where the system tells."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    return {
        flag for line in lines if line.startswith("flags") for flag in line.split(":", 1)[1].split()
    }


def _vnni(flags: set[str]) -> bool:
    return bool(flags & {"avx512_vnni", "avx_vnni", "amx_int8"})
