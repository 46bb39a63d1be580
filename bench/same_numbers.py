"""Whether a change of the code moved a number: recipes of all families, run by two checkouts,
compared bit by bit.

`python -m bench.same_numbers OTHER_CHECKOUT` prints a line a recipe: losses of every epoch, scores
of every fold, answers of the bundle for its own stored rows, bytes of its graph. Losses and scores
must be equal bit by bit; a graph's bytes may differ where its export was changed, and its answers
are then equal to 1e-6.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
CLASSES, VALUES, DIGITS = "sklearn:breast_cancer", "sklearn:diabetes", "sklearn:digits"
FEW = {"scheme": "kfold", "folds": 3}


def recipe(source: str, build: Any, **sections: Any) -> dict[str, Any]:
    return {
        "version": 1,
        "name": "same",
        "data": {"source": source, "target": "target"},
        "build": build,
        "evaluate": FEW,
        **sections,
    }


RECIPES: dict[str, dict[str, Any]] = {
    "linear, grid of C": recipe(CLASSES, {"family": "linear", "C": [0.1, 1, 10]}),
    "linear, ridge grid": recipe(VALUES, {"family": "linear", "penalty": "l2", "C": [0.1, 1, 10]}),
    "kernel ridge": recipe(VALUES, {"family": "kernel_ridge", "alpha": [0.1, 1.0]}),
    "svm, grid": recipe(
        CLASSES, {"family": "svm", "C": [1, 10]}, evaluate={**FEW, "calibrate": "platt"}
    ),
    "tree, forest": recipe(
        CLASSES, ["tree", {"family": "forest", "trees": 40}], compress={"keep": {"accuracy": -0.02}}
    ),
    "boosting": recipe(
        VALUES, {"family": "boosting", "rounds": 60}, compress={"keep": {"rmse": 3}}
    ),
    "mlp, optimizers": recipe(
        DIGITS,
        {"family": "mlp", "hidden": [32, 16], "dropout": 0.1},
        train={
            "epochs": 6,
            "optimizer": [
                {"name": "adam", "learning_rate": 0.01},
                {"name": "muon"},
                {"name": "sgd", "momentum": 0.9},
            ],
        },
    ),
    "mlp, average, watched, compressed": recipe(
        CLASSES,
        "mlp",
        train={
            "epochs": 12,
            "average": {"ema": 0.9},
            "clip": 1.0,
            "stop": {"patience": 3, "validation": 0.2},
        },
        compress={"prune": "neurons", "quantize": {"weights": "int8"}, "keep": {"accuracy": -0.02}},
    ),
    "mlp, values, lbfgs": recipe(
        VALUES,
        {"family": "mlp", "hidden": [8]},
        train={"epochs": 10, "optimizer": "lbfgs", "batch_size": "full"},
    ),
    "residual_mlp": recipe(VALUES, "residual_mlp", train={"epochs": 4}),
    "tabm": recipe(CLASSES, "tabm", train={"epochs": 4}),
    "auto rates": recipe(
        DIGITS,
        {"family": "mlp", "hidden": [16]},
        train={"epochs": 3, "optimizer": {"name": "adam", "learning_rate": "auto"}},
    ),
    "sparse": recipe("SPARSE", ["linear", {"family": "mlp", "hidden": [8]}], train={"epochs": 3}),
    "nested": recipe(CLASSES, {"family": "linear", "C": [0.1, 1]}, evaluate={**FEW, "nested": 2}),
    "search": recipe(
        CLASSES,
        {"family": "linear", "C": {"low": 0.01, "high": 10, "log": True}},
        evaluate={**FEW, "search": {"trials": 5}},
    ),
    "racing": recipe(
        CLASSES,
        {"family": "linear", "C": [0.001, 0.1, 1, 10]},
        evaluate={**FEW, "select": "racing"},
    ),
    "ensemble": recipe(CLASSES, ["linear", "tree", "svm"], evaluate={**FEW, "ensemble": True}),
    "reconstruction": recipe(
        "sklearn:iris",
        {"family": "mlp", "hidden": [2]},
        task="reconstruction",
        train={"epochs": 5},
        data={"source": "sklearn:iris"},
    ),
}


def sparse_table(folder: Path) -> str:
    """A table with a category of many levels."""
    draw = np.random.default_rng(0)
    levels, sizes = draw.integers(0, 700, 3000), draw.normal(size=3000)
    target = ((levels % 2) ^ (sizes > 0)).astype(int)
    lines = [
        f"l{level},{size:.6f},{value}"
        for level, size, value in zip(levels, sizes, target, strict=True)
    ]
    path = folder / "sparse.csv"
    path.write_text("\n".join(["level,size,target", *lines]) + "\n")
    return str(path)


def numbers(folder: Path) -> dict[str, Any]:
    """What a run did, from its folder."""
    losses, scores = dict[str, float](), list[dict[str, Any]]()
    for line in (folder / "events.jsonl").read_text().splitlines():
        fact = json.loads(line)
        fact = fact if "kind" in fact or "event" in fact else fact.get("fact", fact)
        kind = fact.get("kind") or fact.get("event")
        kept = {
            key: value
            for key, value in fact.items()
            if key not in ("time", "at", "crc", "kind", "event")
        }
        if kind == "epoch":  # how many of them are told depends on the time, not what they say
            losses[
                " ".join(
                    str(kept.get(key)) for key in ("stage", "candidate", "fold", "step", "epoch")
                )
            ] = kept["loss"]
        elif kind in ("fold_scored", "candidate_finished", "compression_step"):
            scores.append(
                {
                    key: value
                    for key, value in kept.items()
                    if not key.endswith(("_s", "_ms", "_us"))
                }
            )
    return {"losses": losses, "scores": scores}


def child(name: str, folder: Path) -> None:
    """Run one recipe in this process's checkout, and print what came of it."""
    import gzip

    import sixfold
    from sixfold.recipe.schema import Evaluate

    made = json.loads(json.dumps(RECIPES[name]))
    if (
        "calibrate" in made["evaluate"] and "calibrate" not in Evaluate.model_fields
    ):  # an old checkout has it in `train`
        made["train"] = {"calibrate": made["evaluate"].pop("calibrate")}
    if made["data"]["source"] == "SPARSE":
        made["data"] = {"source": sparse_table(folder), "target": "target"}
    done = sixfold.run(made, folder / "run")
    found = numbers(folder / "run")
    stored = gzip.decompress((done.bundle / "parity.jsonl.gz").read_bytes()).decode().splitlines()
    found["answers"] = [json.loads(line) for line in stored]
    graph = (done.bundle / "model.onnx").read_bytes()
    found["graph"] = f"{hashlib.sha256(graph).hexdigest()}, {len(graph):,} bytes"
    print("RESULT", json.dumps(found))


def run(checkout: Path, name: str) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "PYTHONPATH": f"{checkout / 'src'}:{ROOT}"}
        command = [sys.executable, "-m", "bench.same_numbers", "--child", name, folder]
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, check=False, cwd=folder
        )
    for line in done.stdout.splitlines():
        if line.startswith("RESULT "):
            return json.loads(line.removeprefix("RESULT "))
    return {"error": done.stderr.strip().splitlines()[-3:]}


def flat(value: Any) -> list[float]:
    """Every number in it, in order."""
    if isinstance(value, dict):
        return [number for item in value.values() for number in flat(item)]
    if isinstance(value, list):
        return [number for item in value for number in flat(item)]
    return [float(value)] if isinstance(value, (int, float)) and not isinstance(value, bool) else []


def difference(old: Any, new: Any) -> str:
    """'equal', or the largest difference of two answers."""
    if isinstance(old, str):
        return (
            "equal"
            if old == new
            else f"DIFFERS ({old.partition(', ')[2]}, then {new.partition(', ')[2]})"
        )
    before, after = np.array(flat(old)), np.array(flat(new))
    if old == new or np.array_equal(before, after, equal_nan=True):
        return "equal"
    if before.shape != after.shape:
        return f"DIFFERENT SHAPE {before.shape} {after.shape}"
    return f"DIFFERS by {np.nanmax(np.abs(before - after), initial=0.0):.3g}"


def main(other: Path, names: list[str]) -> None:
    moved = 0
    for name in names or list(RECIPES):
        old, new = run(other, name), run(ROOT, name)
        if "error" in old or "error" in new:
            moved += old != new
            print(
                f"{name}: old {old.get('error', 'ran')}, new {new.get('error', 'ran')}", flush=True
            )
            continue
        both = old["losses"].keys() & new["losses"].keys()
        for found in (old, new):
            found["losses"] = {key: found["losses"][key] for key in sorted(both)}
        told = {
            part: difference(old[part], new[part])
            for part in ("losses", "scores", "answers", "graph")
        }
        moved += any(told[part] != "equal" for part in ("losses", "scores"))
        print(
            f"{name}: "
            + ", ".join(f"{part} {text}" for part, text in told.items())
            + f" ({len(both)} losses)",
            flush=True,
        )
    sys.exit(moved > 0)


if __name__ == "__main__":
    if sys.argv[1] == "--child":
        child(sys.argv[2], Path(sys.argv[3]))
    else:
        main(Path(sys.argv[1]).resolve(), sys.argv[2:])
