"""Does training on many images hold a budget of memory? Makes a folder of JPEGs and runs a recipe
on it.

    python -m bench.images_memory [IMAGES] [SIDE] [BUDGET]       # 50000 224 2GiB: needs 8 GB of
    disk, and time

Prints the peak of the process as the system saw it. One epoch of `cnn`, two folds: memory does not
depend on either.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from sixfold import pipeline
from sixfold.core.memory import peak_bytes
from sixfold.recipe.load import load

RECIPE = """
version: 1
name: many_images
data: {{source: photos, target: label, holdout: 0.1}}
build: {{family: cnn, size: nano}}
prepare: {{features: {{image: {{name: pixels, side: {side}, color: true}}}}}}
train: {{epochs: 1, batch_size: 32}}
evaluate: {{scheme: holdout, share: 0.1, metrics: [accuracy]}}
budget: {{memory: {memory}}}
"""


def draw(folder: Path, count: int, side: int) -> None:
    """Stripes that lie or stand, of random colors, each different."""
    rng, at = np.random.default_rng(0), np.arange(side)
    for number in range(count):
        wave = (
            np.sin(at * rng.uniform(0.1, 0.6) + rng.uniform(0, 6))[:, None, None]
            * rng.uniform(40, 120, 3)
            + 128
        )
        image = np.broadcast_to(wave, (side, side, 3)) + rng.normal(0, 8, (side, side, 1))
        image = image if number % 2 else image.transpose(1, 0, 2)
        path = folder / ("lying" if number % 2 else "standing") / f"{number:06}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image.clip(0, 255).astype(np.uint8)).save(path, quality=85)


def main(count: int = 50_000, side: int = 224, memory: str = "2GiB") -> None:
    """Draw, train, measure."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        draw(folder / "photos", count, side)
        (folder / "recipe.yaml").write_text(RECIPE.format(side=side, memory=memory))
        started = time.monotonic()
        pipeline.run(load(folder / "recipe.yaml"), folder / "run")
        took_s = time.monotonic() - started
    peak = peak_bytes()
    print(
        json.dumps(
            {
                "images": count,
                "side": side,
                "budget": memory,
                "peak_bytes": peak,
                "took_s": round(took_s),
            }
        )
    )


if __name__ == "__main__":
    values = sys.argv[1:]
    main(*(int(value) for value in values[:2]), *values[2:])  # type: ignore[arg-type]
