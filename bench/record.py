"""`bench/results.json`: per measurement its rows, when, on which machine, at which rates, with
which peers.
"""

from __future__ import annotations

import json
import os
import platform
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from bench import floor
from bench.pairs import Result
from sixfold.core.cores import cores

FILE = Path(__file__).with_name("results.json")
PEERS = (
    "numpy",
    "torch",
    "scikit-learn",
    "lightgbm",
    "keras",
    "jax",
    "tensorflow-cpu",
    "lightning",
    "flaml",
    "scikit-learn-intelex",
    "onnxruntime",
    "starlette",
    "uvicorn",
    "openvino-genai",
    "transformers",
    "peft",
    "accelerate",
    "implicit",
)
Record = dict[str, Any]

# In the order in which they run and stand in the page; each is one file with
# `measure(rounds=…) -> Iterator[Result]`.
MEASUREMENTS = (
    "folds_mlp",
    "on_gpu",
    "one_fold",
    "tiny_steps",
    "events",
    "ridge_grid",
    "svm_grid",
    "boosting_folds",
    "selection",
    "one_row",
    "explain",
    "serving",
    "gateway",
    "console_pages",
    "tabular_networks",
    "end_to_end",
    "tables",
    "texts",
    "images",
    "speech",
    "transcription",
    "language_corpus",
    "language_training",
    "lora_memory",
    "language_target",
    "quantization",
    "language_serving",
    "recommend",
    "recommend_next",
    "recommend_memory",
    "growth",
    "plan",
)


def read(file: Path = FILE) -> Record:
    """Measurement → what is known of it. Empty where nothing was measured."""
    return (
        dict(json.loads(file.read_text(encoding="utf-8"))["measurements"]) if file.exists() else {}
    )


def write(record: Record, file: Path = FILE) -> None:
    """Whole or not at all; in the order of MEASUREMENTS."""
    known = {name: place for place, name in enumerate(MEASUREMENTS)}
    ordered = dict(sorted(record.items(), key=lambda item: known.get(item[0], len(known))))
    text = json.dumps({"measurements": ordered}, indent=1, ensure_ascii=False)
    aside = file.with_suffix(".tmp")
    aside.write_text(text + "\n", encoding="utf-8")
    aside.replace(file)


def of(results: list[Result], took_s: float, load: float) -> Record:
    """One measurement. `load`: of the machine before it began."""
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "took_s": round(took_s, 1),
        "machine": machine(),
        "load": round(load, 1),
        "rates": {name: float(f"{rate:.3g}") for name, rate in vars(floor.rates()).items()},
        "versions": versions(),
        "rows": [one.record() for one in results],
    }


def machine() -> dict[str, Any]:
    """Processor, cores used of those there are, a limit on threads that somebody set, system,
    Python.
    """
    names = [
        line.split(":")[1].strip()
        for line in _lines("/proc/cpuinfo")
        if line.startswith("model name")
    ]
    flags = next(
        (
            set(line.split(":")[1].split())
            for line in _lines("/proc/cpuinfo")
            if line.startswith("flags")
        ),
        set(),
    )
    wide = [name for name in ("avx2", "avx512f", "avx512_bf16", "amx_tile") if name in flags]
    return {
        "processor": names[0] if names else platform.processor() or platform.machine(),
        "instructions": wide,
        "cores_used": cores(),
        "cores": os.cpu_count(),
        "omp_num_threads": os.environ.get("OMP_NUM_THREADS"),
        "system": f"{platform.system()} {platform.release().split('-')[0]}",
        "python": platform.python_version(),
    }


def versions() -> dict[str, str]:
    """Of ours and of the peers that are installed here."""
    found = {}
    for name in PEERS:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines() if Path(path).exists() else []
