"""How far the plan of a run is from the truth: memory and time of 26 recipes, each predicted in one fresh process and run in
another; and of the step of a module, beside `accelerate estimate-memory` and torch's own estimators.

`python -m bench plan` records all of it; `python -m bench.plan` prints a table of the recipes, `python -m bench.plan counted` one
of plans that try nothing; further words are parts of names of recipes. Memory is the most that the process of the run held; time
is that of the whole command, wall-clock, so nothing else may work on the machine meanwhile.
"""

from __future__ import annotations

import itertools
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from PIL import Image
from torch import nn

from bench.pairs import Result, need
from sixfold.build._language_shape import SIZES
from sixfold.parts.language_model import LanguageModel
from sixfold.parts.language_network import PackedNetwork
from sixfold.parts.text_tokenizer import learned

MEMORY_GOOD, TIME_GOOD = 0.08, 0.20


class Case(NamedTuple):
    """A table of so many rows and numbers (or images, or texts of so many words) and what is built on it; `checkpoint`:
    the size of one of random weights, which a language model goes on from.
    """

    data: str
    rows: int
    build: Any
    width: int = 20
    train: dict[str, Any] = {}  # noqa: RUF012  (a NamedTuple's default, which nobody changes)
    checkpoint: str = ""


EPOCHS, FEW = {"epochs": 10, "batch_size": 256}, {"epochs": 1, "batch_size": 4}
NANO = {"family": "language", "size": "nano", "vocabulary": 512}
TUNED = {"family": "language", "adapt": "lora", "context": 128}
CASES = {
    "linear, 20,000 × 20": Case("classes", 20_000, {"family": "linear"}),
    "linear, 60,000 × 100": Case("classes", 60_000, {"family": "linear"}, 100),
    "tree, 20,000 × 20": Case("classes", 20_000, {"family": "tree"}),
    "forest, 8,000 × 20": Case("classes", 8_000, {"family": "forest"}),
    "forest, 300 trees, 12,000 × 20": Case("classes", 12_000, {"family": "forest", "trees": 300}),
    "boosting, 20,000 × 20": Case("classes", 20_000, {"family": "boosting", "patience": None}),
    "boosting, 60,000 × 100": Case("classes", 60_000, {"family": "boosting", "rounds": 60}, 100),
    "svm, 3,000 × 20": Case("classes", 3_000, {"family": "svm"}),
    "svm, 6,000 × 20": Case("classes", 6_000, {"family": "svm"}),
    "kernel_ridge, 6,000 × 20": Case("values", 6_000, {"family": "kernel_ridge"}),
    "mlp, 20,000 × 20": Case("classes", 20_000, {"family": "mlp"}, 20, EPOCHS),
    "mlp, 60,000 × 100": Case("classes", 60_000, {"family": "mlp"}, 100, EPOCHS),
    "mlp, 512-512, 20,000 × 50": Case(
        "classes", 20_000, {"family": "mlp", "hidden": [512, 512]}, 50, EPOCHS
    ),
    "residual_mlp, 20,000 × 50": Case("classes", 20_000, {"family": "residual_mlp"}, 50, EPOCHS),
    "tabm, 10,000 × 20": Case("classes", 10_000, {"family": "tabm"}, 20, {**EPOCHS, "epochs": 3}),
    "cnn, nano, 1,000 × 32": Case(
        "images", 1_000, {"family": "cnn", "size": "nano"}, 32, {"epochs": 3}
    ),
    "cnn, small, 1,000 × 32": Case(
        "images", 1_000, {"family": "cnn", "size": "small"}, 32, {"epochs": 2}
    ),
    "cnn, nano, 600 × 96": Case(
        "images", 600, {"family": "cnn", "size": "nano"}, 96, {"epochs": 2}
    ),
    "text_cnn, 2,000": Case("texts", 2_000, {"family": "text_cnn"}, 60, {"epochs": 3}),
    "linear on n-grams, 5,000": Case("texts", 5_000, {"family": "linear"}, 60),
    "language, nano, 400 texts": Case("documents", 400, NANO, 60, {"epochs": 1}),
    "language, bytes, 100 texts": Case(
        "documents", 100, {**NANO, "vocabulary": "bytes", "context": 64}, 60, {"epochs": 2}
    ),
    "language, micro, 100 texts": Case("documents", 100, {**NANO, "size": "micro"}, 60, FEW),
    "language, small, 16 texts": Case(
        "documents", 16, {**NANO, "size": "small", "context": 128}, 60, FEW
    ),
    "LoRA, micro, 80 texts": Case("documents", 80, TUNED, 60, FEW, "micro"),
    "LoRA on int4, small, 16 texts": Case(
        "documents", 16, {**TUNED, "base": "int4"}, 60, FEW, "small"
    ),
}


def write(case: Case, folder: Path) -> dict[str, Any]:
    """The data of a case, and the recipe that reads them."""
    rng, target = np.random.default_rng(0), "y"
    source = folder / "data.parquet"
    if case.data == "documents":
        return _of_documents(case, folder, rng)
    if case.data == "images":
        source, target = folder / "images", "label"
        for number in range(case.rows):
            own = source / ("a" if number % 2 else "b")
            own.mkdir(parents=True, exist_ok=True)
            pixels = rng.integers(0, 256, (case.width, case.width, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(own / f"{number}.png")
    elif case.data == "texts":
        words = np.array([f"w{number}" for number in range(5_000)])
        texts = [" ".join(rng.choice(words, case.width)) for _ in range(case.rows)]
        label = np.where(rng.random(case.rows) < 0.5, "a", "b")
        pd.DataFrame({"x": texts, "y": label}).to_parquet(source)
    else:
        x = rng.normal(size=(case.rows, case.width))
        score = x[:, 0] + x[:, 1] * x[:, 2] + rng.normal(size=case.rows)
        y = score if case.data == "values" else np.where(score > 0, "a", "b")
        frame = pd.DataFrame({f"n{at}": x[:, at] for at in range(case.width)})
        frame.assign(y=y).to_parquet(source)
    return {
        "version": 1,
        "name": "case",
        "data": {"source": str(source), "target": target, "holdout": 0.1},
        "build": case.build,
        "train": case.train,
        "evaluate": {"folds": 3},
    }


def _of_documents(case: Case, folder: Path, rng: np.random.Generator) -> dict[str, Any]:
    """Texts of words that a few letters make up, and the recipe of a language model."""
    source, build = folder / "texts.jsonl", dict(case.build)
    words = ["".join(rng.choice(list("etaoin shrdlu"), 5)) for _ in range(400)]
    texts = (" ".join(rng.choice(words, case.width)) for _ in range(case.rows))
    source.write_text("\n".join(json.dumps({"text": text}) for text in texts), encoding="utf-8")
    if case.checkpoint:
        build["checkpoint"] = str(folder / "checkpoint")
        Path(build["checkpoint"]).mkdir()
        _write_checkpoint(Path(build["checkpoint"]), case.checkpoint, words)
    return {
        "version": 1,
        "name": "case",
        "task": "generation",
        "data": {"source": str(source), "holdout": 0.1},
        "build": build,
        "train": case.train,
        "evaluate": {"scheme": "holdout", "share": 0.2},
    }


def _write_checkpoint(folder: Path, size: str, words: list[str]) -> None:
    """Of random weights."""
    tokenizer = learned([" ".join(words)], 512)
    shape = SIZES[size]
    network = PackedNetwork(shape.config(tokenizer))
    model = LanguageModel(network.config, network.arrays(), tokenizer, shape.context)
    for name, content in model.files().items():
        (folder / name).write_bytes(content)


def predicted(recipe: Path, probe: bool) -> dict[str, Any]:
    """What `sixfold plan --json` says."""
    options = ["--json", "--probe" if probe else "--no-probe"]
    done = _run("sixfold", "plan", str(recipe), *options)
    found: dict[str, Any] = json.loads(done)["plan"]
    return found


def taken(recipe: Path, out: Path) -> tuple[float, float]:
    """Bytes that the process of `sixfold run` held at most, and the seconds that it took."""
    started = time.monotonic()
    answer = _run("bench.plan", "run", str(recipe), str(out))
    return float(answer.split()[-1]), time.monotonic() - started


def run(recipe: str, out: str) -> None:
    """In a process of its own: the command, and then the most that was held."""
    from sixfold.cli import group
    from sixfold.core.memory import peak_bytes

    group.main(["run", recipe, "--out", out, "--quiet"], standalone_mode=False)
    print(peak_bytes())


def _run(module: str, *arguments: str) -> str:
    command = [sys.executable, "-m", module, *arguments]
    root = Path(__file__).parents[1]
    path = os.pathsep.join([str(root), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": path}
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()[-300:]}")
    return done.stdout


class Row(NamedTuple):
    """One recipe: what was said, and what it was."""

    name: str
    memory: tuple[float, float]
    time: tuple[float, float]
    errors: tuple[float, float]

    def cells(self) -> str:
        """A row of the table."""
        (said, held), (expected_s, took_s) = self.memory, self.time
        return (
            f"| {self.name} | {said / 1e6:.0f} | {held / 1e6:.0f} | {held / said:.2f} | {expected_s:.1f} | "
            f"{took_s:.1f} | {took_s / expected_s:.2f} |"
        )


def plans(names: tuple[str, ...], probe: bool) -> Iterator[Row]:
    """Recipe by recipe."""
    for name, case in CASES.items():
        if names and not any(part in name for part in names):
            continue
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place)
            recipe = folder / "recipe.yaml"
            recipe.write_text(json.dumps(write(case, folder)), encoding="utf-8")
            plan = predicted(recipe, probe)
            held, took_s = taken(recipe, folder / "run")
        memory, time_ = plan["memory"], plan["time"]
        yield Row(
            name,
            (memory["bytes"], held),
            (time_["seconds"], took_s),
            (memory["error"], time_["error"]),
        )


def measure(rounds: int = 1, names: tuple[str, ...] = ()) -> Iterator[Result]:
    """Of every recipe (or of those whose names have one of the words) what was said and what it took, once; how near that is;
    and the step of a module beside others' estimates.
    """
    need("transformers", "openvino_genai")
    rows = []
    for row in plans(names, probe=True):
        rows.append(row)
        (said, held), (expected_s, took_s) = row.memory, row.time
        quality = f"{row.name}: as a process held, as the command took"
        yield Result(f"memory: {row.name}", "as it was", said, held, "B", quality, rounds=1)
        yield Result(f"time: {row.name}", "as it was", expected_s, took_s, "s", quality, rounds=1)
    yield from summary(rows)
    yield from beside([taken_step(name) for name in STEPS if not names or "steps" in names])


def summary(rows: list[Row]) -> Iterator[Result]:
    """The medians, and how many recipes took no more than the plan's own margin."""
    for what, pairs, most in (
        ("memory", [row.memory for row in rows], MEMORY_GOOD),
        ("time", [row.time for row in rows], TIME_GOOD),
    ):
        right = 1 - median(abs(took / said - 1) for said, took in pairs)
        yield Result(
            f"{what} of {len(rows)} recipes: 1 - median error",
            f"the {most:.0%} that are asked for",
            right,
            1 - most,
            "share",
            "predicted in one process, measured in another",
            target=0.0,
            rounds=1,
        )
    within = [
        row.memory[1] <= row.errors[0] * row.memory[0]
        and row.time[1] <= row.errors[1] * row.time[0]
        for row in rows
    ]
    beyond = ", ".join(row.name for row, fits in zip(rows, within, strict=True) if not fits)
    yield Result(
        f"share of {len(rows)} recipes that took no more than the stated margin",
        "all of them",
        sum(within) / len(within),
        1.0,
        "share",
        f"beyond: {beyond or 'none'}",
        target=0.0,
        rounds=1,
    )


class Estimates(NamedTuple):
    """Bytes of a step with Adam: as three say, and as a process held. NaN: it has no answer."""

    ours: float
    accelerate: float
    torch: float
    held: float


def taken_step(name: str) -> Estimates:
    """In a process of its own."""
    return Estimates(*json.loads(_run("bench.plan", "step", name)))


def beside(found: list[Estimates]) -> Iterator[Result]:
    """The median error of each, over the steps that it has an answer for."""
    for peer, values in (
        ("accelerate estimate-memory", [one.accelerate for one in found]),
        ("torch's MemTracker under fake tensors", [one.torch for one in found]),
    ):
        pairs = [
            (one, value) for one, value in zip(found, values, strict=True) if not math.isnan(value)
        ]
        if not pairs:
            continue
        yield Result(
            f"memory of a step, {len(pairs)} modules: 1 - median error",
            peer,
            1 - median(abs(one.held / one.ours - 1) for one, _ in pairs),
            1 - median(abs(one.held / value - 1) for one, value in pairs),
            "share",
            "two steps with Adam in a process of their own",
            target=0.0,
            rounds=1,
        )


Maker = Callable[[], tuple[nn.Module, torch.Tensor]]


def residual(size: Any, side: int) -> Maker:
    """The network of the family cnn, and an image."""

    def make() -> tuple[nn.Module, torch.Tensor]:
        from sixfold.build._residual_network import ImageResidualNetwork, network_shape

        return ImageResidualNetwork(network_shape(size, 3, 10, side)), torch.zeros(1, 3, side, side)

    return make


def perceptron(*widths: int) -> Maker:
    """Linear layers with GELU between."""

    def make() -> tuple[nn.Module, torch.Tensor]:
        layers: list[nn.Module] = []
        for before, after in itertools.pairwise(widths):
            layers += [nn.Linear(before, after), nn.GELU()]
        return nn.Sequential(*layers[:-1]), torch.zeros(1, widths[0])

    return make


def decoder(size: str, tokens: int) -> Maker:
    """A language model from scratch, and a window."""

    def make() -> tuple[nn.Module, torch.Tensor]:
        network = PackedNetwork(SIZES[size].config(learned(["one two three four"], 2_000)))
        x = torch.zeros(1, 3, tokens, dtype=torch.int64)
        x[:, 1] = torch.arange(tokens)
        return network, x

    return make


STEPS = {
    "residual network, small, 32 pixels, 64 rows": (residual("small", 32), 64),
    "residual network, medium, 64 pixels, 32 rows": (residual("medium", 64), 32),
    "perceptron, 6 × 1024, 4,096 rows": (perceptron(*[1024] * 7), 4096),
    "language model, micro, 8 windows of 256": (decoder("micro", 256), 8),
    "language model, small, 4 windows of 512": (decoder("small", 512), 4),
    "perceptron, 4 × 2048, 512 rows": (perceptron(*[2048] * 5), 512),
}


def step(name: str) -> None:
    """In a process of its own: bytes of one step with Adam, as four say, and as it was."""
    from sixfold.train.step_cost import step_cost

    make, rows = STEPS[name]
    module, x = make()
    weights = sum(one.nbytes for one in module.parameters())
    ours = step_cost(module, x, rows).peak_bytes + 4 * weights
    others = (_accelerate(module), tracked(make, rows))
    print(json.dumps([ours, *others, _stepped(module, x, rows)]))


def _accelerate(module: nn.Module) -> float:
    """What `accelerate estimate-memory` says of training with Adam: four times the weights."""
    from accelerate.utils.modeling import calculate_maximum_sizes

    total, _ = calculate_maximum_sizes(module)
    return 4.0 * float(total)


def tracked(make: Maker, rows: int) -> float:
    """torch's MemTracker under its fake tensors; NaN where that does not go through the module."""
    try:
        return _tracked(make, rows)
    except (RuntimeError, NotImplementedError, TypeError, AttributeError) as error:
        print(f"MemTracker: {error}"[:200], file=sys.stderr)
        return math.nan


def _tracked(make: Maker, rows: int) -> float:
    from torch._subclasses.fake_tensor import FakeTensorMode
    from torch.distributed._tools.mem_tracker import MemTracker

    with FakeTensorMode(allow_non_fake_inputs=True):
        own, x = make()
        optimizer = torch.optim.Adam(own.parameters(), foreach=True)
        tracker = MemTracker()
        tracker.track_external(own, optimizer)
        inputs = x[:1].expand(rows, *x.shape[1:]).clone()
        with tracker:
            for _ in range(2):
                own(inputs).sum().backward()
                optimizer.step()
                optimizer.zero_grad()
                tracker.reset_mod_stats()
        peak = tracker.get_tracker_snapshot("peak")
    return float(next(iter(peak.values()))["Total"])


def _stepped(module: nn.Module, x: torch.Tensor, rows: int) -> float:
    """What a process holds more after two steps than before."""
    import psutil

    from sixfold.core.memory import peak_bytes

    weights = sum(one.nbytes for one in module.parameters())
    before = psutil.Process().memory_info().rss
    optimizer = torch.optim.Adam(module.parameters(), foreach=True)
    inputs = x[:1].expand(rows, *x.shape[1:]).clone()
    for _ in range(2):
        module(inputs).sum().backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=False)
    return float(peak_bytes() - before + weights)


def main() -> None:
    """Print the tables; or be one of the processes that are measured."""
    words = sys.argv[1:]
    if words[:1] == ["run"]:
        run(words[1], words[2])
    elif words[:1] == ["step"]:
        step(words[1])
    elif words[:1] == ["steps"]:
        print("| step | plan | accelerate | torch | held |\n| --- | --- | --- | --- | --- |")
        for name in STEPS:
            sizes = " | ".join(f"{one / 1e6:.0f}" for one in taken_step(name))
            print(f"| {name} | {sizes} |", flush=True)
    else:
        probe = words[:1] != ["counted"]
        print(
            "| recipe | memory said, MB | held | held / said | time said, s | taken | taken / said |"
        )
        print("| --- | --- | --- | --- | --- | --- | --- |")
        rows = []
        for row in plans(tuple(words if probe else words[1:]), probe):
            rows.append(row)
            print(row.cells(), flush=True)
        for one in summary(rows):
            print(f"{one.workload}: {one.ours:.1%} ({one.peer}: {one.peers:.1%}); {one.quality}")


if __name__ == "__main__":
    main()
