"""Images as pixels: what is learned is learned of training rows alone; the cache gives every row
its own image.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from sixfold.bundle.images import read
from sixfold.parts.fit import Needs
from sixfold.parts.image_resize import ImageShape, Resizer
from sixfold.parts.table import Column, Table, Target
from sixfold.prepare import preparer
from sixfold.prepare.features.pixels import Settings
from sixfold.recipe.schema import Prepare


def images(folder: Path, sides: list[int], color_from: int = 99) -> Table:
    random, paths = np.random.default_rng(0), []
    for number, side in enumerate(sides):
        shape = (side, side, 3) if number >= color_from else (side, side)
        paths.append(str(folder / f"{number}.png"))
        Image.fromarray(random.integers(0, 256, shape, dtype=np.uint8)).save(paths[-1])
    codes = np.arange(len(sides), dtype=np.int32)
    return Table({"scan": Column("image", codes, tuple(paths))}, len(sides))


def fitted(table: Table) -> tuple[preparer.Preparer, np.ndarray]:
    target = Target("classification", np.arange(table.rows) % 2, ("y",), ("a", "b"))
    made, x, _ = preparer.fit(table, target, Prepare(), Needs(precision="float32"), 0)
    assert isinstance(x, np.ndarray)
    return made, x


def test_size_and_colors_are_those_of_the_training_rows_alone(tmp_path: Path) -> None:
    table = images(tmp_path, [8, 8, 8, 32, 32, 32], color_from=3)
    made, x = fitted(table.take(np.arange(3)))
    assert made.layout[0].image == ImageShape(8, 8, 1)
    assert x.shape == (3, 64)
    assert made.transform(table).shape == (6, 64)
    assert fitted(table.take(np.arange(3, 6)))[0].layout[0].image == ImageShape(32, 32, 3)


def test_every_row_has_the_pixels_of_its_own_file_in_any_order(tmp_path: Path) -> None:
    table = images(tmp_path, [8, 9, 12, 8, 20])
    order = np.array([4, 0, 0, 3, 1])
    made, x = fitted(table.take(order))
    assert made.layout[0].image is not None
    resize = Resizer(made.layout[0].image)
    column = table.columns["scan"]
    wanted = np.stack([resize(read(Path(column.levels[row]), 1)).reshape(-1) for row in order])
    np.testing.assert_array_equal(x, wanted)
    np.testing.assert_array_equal(made.transform(table.take(order)), wanted)


@pytest.mark.parametrize("options", [{"side": 3}, {"side": 5000}, {"color": "blue"}])
def test_what_it_refuses(options: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Settings(**options)


def test_what_is_asked_for_is_given(tmp_path: Path) -> None:
    table = images(tmp_path, [16, 16])
    from_recipe = Prepare.model_validate(
        {"features": {"image": {"name": "pixels", "side": 8, "color": True}}}
    )
    target = Target("classification", np.array([0, 1]), ("y",), ("a", "b"))
    made, _, _ = preparer.fit(table, target, from_recipe, Needs(), 0)
    assert made.layout[0].image == ImageShape(8, 8, 3)
