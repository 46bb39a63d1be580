"""Images in, a small model that answers out: handwritten digits, 8,000 to train and 2,000 unseen;
and the speed of training.

`SIXFOLD_BENCH_MNIST` names the folder of `mnist_images.gz` and `mnist_labels.gz` (10,000 images,
IDX). They are written as PNG files, a subfolder a class. Wall time is of the command, from the
files to the bundle: two folds side by side, and the network of all 8,000 again. The second recipe
differs in `compress` alone: the same run folder, so nothing is trained twice. Accuracy is that of
the 2,000 held-out images.

Training: five folds of the same network (nano) over 5,000 images, images and augmentation in
memory, one epoch; beside a plain eager loop, and Lightning's Trainer, fold after fold, with as many
threads as torch takes by itself; ours has one thread a fold.
"""

from __future__ import annotations

import gzip
import json
import logging
import os
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from PIL import Image
from torch import nn
from torch.nn import functional

from bench.pairs import Result, against, close, interleaved, need
from sixfold.build._residual_network import ImageResidualNetwork, network_shape
from sixfold.build.candidate import Candidate, fits_of
from sixfold.parts.fit import FeatureGroup, Fit
from sixfold.parts.image_resize import ImageShape
from sixfold.recipe.kinds import FAMILY
from sixfold.recipe.schema import Initialize, Prepare, Train
from sixfold.runs.context import Context

MNIST = "SIXFOLD_BENCH_MNIST"
GOOD, FAST_S, STILL_GOOD, SMALL, ONE_S, FASTER, FOLDS_FASTER = (
    0.99,
    300.0,
    0.987,
    300_000,
    0.001,
    1.3,
    1.5,
)
SIDE, BATCH, FOLDS, SHIFT = 28, 64, 5, 2
RECIPE = {
    "version": 1,
    "name": "digits",
    "data": {"source": "digits", "target": "label", "holdout": 0.2},
    "build": [{"family": "cnn", "size": "nano", "shift": 0.08}],
    "train": {"epochs": 12},
    "evaluate": {"scheme": "kfold", "folds": 2, "metrics": ["accuracy"]},
}
COMPRESS = {
    "keep": {"accuracy": -0.005},
    "prune": {"target": "channels", "ratio": 0.5, "epochs": 8},
    "quantize": {"activations": "static"},
}


def measure(rounds: int = 3, images: int = 10_000, epochs: int = 12) -> Iterator[Result]:
    """Score, time, bytes, latency; then images a second. `images`: of all the first ones."""
    named = os.environ.get(MNIST)
    if not named:
        yield Result("digits", "all", absent=f"{MNIST} does not name the folder of mnist_images.gz")
        return
    pixels, labels = digits(Path(named))
    yield from _runs(pixels[:images], labels[:images], epochs, rounds)
    some = min(images, 5_000)
    yield from _training(pixels[:some], labels[:some], rounds)


def digits(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """uint8 [10000, 28, 28] and int64 [10000]."""
    pixels = np.frombuffer(
        gzip.decompress((folder / "mnist_images.gz").read_bytes())[16:], dtype=np.uint8
    )
    labels = np.frombuffer(
        gzip.decompress((folder / "mnist_labels.gz").read_bytes())[8:], dtype=np.uint8
    )
    return pixels.reshape(-1, SIDE, SIDE), labels.astype(np.int64)


def _runs(pixels: np.ndarray, labels: np.ndarray, epochs: int, rounds: int) -> Iterator[Result]:
    import sixfold

    name = f"digits, {len(labels) * 8 // 10:,} to train, {len(labels) // 5:,} unseen"
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        for number, (image, label) in enumerate(zip(pixels, labels, strict=True)):
            file = folder / "digits" / str(label) / f"{number:05}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(file)
        whole_s = _run(folder, {**RECIPE, "train": {"epochs": epochs}})
        yield Result(
            f"{name}: accuracy",
            "the 99.0% that are asked for",
            _score(folder),
            GOOD,
            "accuracy",
            "",
            0.0,
        )
        yield Result(
            f"{name}: wall time",
            "the 5 minutes that are asked for",
            whole_s,
            FAST_S,
            "s",
            "",
            1.0,
            rounds=1,
        )
        _run(folder, {**RECIPE, "train": {"epochs": epochs}, "compress": COMPRESS})
        steps = json.loads((folder / "run" / "bundle" / "receipt.json").read_text())["steps"]
        quality = "; ".join(
            f"{one['name']}: {'accepted' if one['accepted'] else 'refused'}" for one in steps
        )
        name = f"{name}, half of the multiply-adds, int8"
        yield Result(
            f"{name}: accuracy",
            "the 98.7% that are asked for",
            _score(folder),
            STILL_GOOD,
            "accuracy",
            quality,
            0.0,
        )
        stored = sum(path.stat().st_size for path in (folder / "run" / "bundle").iterdir())
        graph = (folder / "run" / "bundle" / "model.onnx").stat().st_size
        yield Result(
            f"{name}: bytes of the graph",
            "the 300 kB that are asked for",
            graph,
            SMALL,
            "B",
            "",
            1.0,
            rounds=1,
        )
        yield Result(
            f"{name}: bytes on disk",
            "the 300 kB that are asked for",
            stored,
            SMALL,
            "B",
            "",
            1.0,
            rounds=1,
        )
        bundle = sixfold.load(folder / "run" / "bundle")
        one = [{"image": next((folder / "digits").rglob("*.png")).read_bytes()}]
        bundle.predict(one)
        mine, _ = interleaved(lambda: bundle.predict(one), lambda: None, 50 * rounds)
        yield Result(
            f"{name}: one image",
            "the 1 ms that are asked for",
            mine,
            ONE_S,
            "s",
            "",
            1.0,
            rounds=50 * rounds,
        )


def _run(folder: Path, recipe: dict[str, Any]) -> float:
    (folder / "digits.yaml").write_text(yaml.safe_dump(recipe))
    started = time.perf_counter()
    command = [sys.executable, "-m", "sixfold", "run", "digits.yaml", "--out", "run", "--quiet"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    return time.perf_counter() - started


def _score(folder: Path) -> float:
    """Of the bundle's model on the images that were held out."""
    receipt = json.loads((folder / "run" / "bundle" / "receipt.json").read_text())
    (quality,) = [one for one in receipt["quality"] if one["metric"] == "accuracy"]
    return float(quality["holdout_after"])


def _training(pixels: np.ndarray, labels: np.ndarray, rounds: int) -> Iterator[Result]:
    """One epoch of five folds, and of one."""
    numbers = np.arange(len(labels))
    folds = [np.flatnonzero(numbers % FOLDS != k) for k in range(FOLDS)]
    for name, some in (
        ("one epoch of five folds of a small cnn", folds),
        ("one epoch of a small cnn", folds[:1]),
    ):
        read = sum(len(rows) for rows in some)
        for peer, loop in (("eager torch loop", _eager), ("Lightning Trainer", _lightning)):
            wanted = FASTER if peer != "eager torch loop" or len(some) == 1 else FOLDS_FASTER
            form = Result(f"{name}, {read:,} images", peer, unit="s", target=wanted)
            yield against(
                form,
                lambda some=some: _ours(pixels, labels, some),  # type: ignore[misc]
                lambda some=some, loop=loop: loop(pixels, labels, some),  # type: ignore[misc]
                close("loss", 0.25),
                rounds,
            )


def _ours(pixels: np.ndarray, labels: np.ndarray, folds: list[np.ndarray]) -> float:
    """Mean loss on the images that a fold was trained on, one epoch of a constant rate."""
    family = FAMILY.load("cnn")(size="nano", shift=SHIFT / SIDE)
    optimizer = {
        "name": "sgd",
        "learning_rate": 0.005,
        "momentum": 0.9,
        "nesterov": True,
        "weight_decay": 5e-4,
    }
    train = Train.model_validate({"epochs": 1, "batch_size": BATCH, "optimizer": optimizer})
    one = Candidate("cnn", "cnn", family, Prepare(), Initialize(), train)
    x = pixels.reshape(len(pixels), -1).astype(np.float32)
    layout = (FeatureGroup("pixels", ("image",), 0, x.shape[1], ImageShape(SIDE, SIDE, 1)),)
    fits = [
        Fit(x[rows], labels[rows], "classification", 10, seed=k, layout=layout)
        for k, rows in enumerate(folds)
    ]
    losses = []
    for fitted, rows in zip(one.family.fit(fits_of([one], fits), Context()), folds, strict=True):
        some = rows[:512]
        losses.append(
            -np.log(
                np.maximum(fitted.predict(x[some])[np.arange(len(some)), labels[some]], 1e-12)
            ).mean()
        )
    return float(np.mean(losses))


def _batch(pixels: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
    """[B, 1, 28, 28] in [-1, 1], the whole batch shifted: less than ours, which shifts each
    image.
    """
    dy, dx = torch.randint(-SHIFT, SHIFT + 1, (2,)).tolist()
    return torch.roll((pixels[rows].float() - 33) / 78, (dy, dx), (2, 3))


def _loss(module: nn.Module, pixels: torch.Tensor, labels: torch.Tensor, rows: np.ndarray) -> float:
    module.eval()
    with torch.no_grad():
        some = torch.from_numpy(rows[:512])
        return float(
            functional.cross_entropy(module((pixels[some].float() - 33) / 78), labels[some])
        )


def _network(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return ImageResidualNetwork(network_shape("nano", 1, 10, SIDE))


def _eager(pixels: np.ndarray, labels: np.ndarray, folds: list[np.ndarray]) -> float:
    x, y = torch.from_numpy(pixels[:, None].copy()), torch.from_numpy(labels)
    losses = []
    for number, rows in enumerate(folds):
        module = _network(number).train()
        optimizer = torch.optim.SGD(
            module.parameters(), 0.005, momentum=0.9, nesterov=True, weight_decay=5e-4
        )
        for some in torch.from_numpy(rows)[torch.randperm(len(rows))].split(BATCH):
            optimizer.zero_grad()
            functional.cross_entropy(module(_batch(x, some)), y[some]).backward()
            optimizer.step()
        losses.append(_loss(module, x, y, rows))
    return float(np.mean(losses))


def _lightning(pixels: np.ndarray, labels: np.ndarray, folds: list[np.ndarray]) -> float:
    need("lightning")
    import lightning

    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    x, y = torch.from_numpy(pixels[:, None].copy()), torch.from_numpy(labels)

    class Trained(lightning.LightningModule):
        def __init__(self, number: int) -> None:
            super().__init__()
            self.network = _network(number)

        def training_step(self, batch: list[torch.Tensor], number: int) -> torch.Tensor:
            return functional.cross_entropy(self.network(_batch(x, batch[0])), y[batch[0]])

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.SGD(
                self.parameters(), 0.005, momentum=0.9, nesterov=True, weight_decay=5e-4
            )

    losses = []
    for number, rows in enumerate(folds):
        data = torch.utils.data.TensorDataset(torch.from_numpy(rows))
        loader: Any = torch.utils.data.DataLoader(data, BATCH, shuffle=True)
        quiet: dict[str, Any] = {
            "logger": False,
            "enable_progress_bar": False,
            "enable_model_summary": False,
        }
        trainer: Callable[..., Any] = lightning.Trainer
        module = Trained(number)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            trainer(max_epochs=1, accelerator="cpu", enable_checkpointing=False, **quiet).fit(
                module, loader
            )
        losses.append(_loss(module.network, x, y, rows))
    return float(np.mean(losses))
