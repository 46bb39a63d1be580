"""Pixels as features that stay on disk, what a run does with images that cannot be used, and with
copies.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sixfold.build.candidate import Candidate
from sixfold.core.errors import BudgetError, DataError
from sixfold.data.load import load
from sixfold.evaluate.model import fit_of, prepare_rows
from sixfold.parts import decoded_column, image_column, scratch
from sixfold.parts.image_resize import ImageShape
from sixfold.parts.image_store import StoredPixels
from sixfold.parts.sparse import bounds, dense, held_bytes, nonzeros
from sixfold.parts.table import Dataset
from sixfold.recipe.kinds import FAMILY
from sixfold.recipe.reading import ReadFile
from sixfold.recipe.schema import Data, Initialize, Prepare, Train
from sixfold.runs.context import Context

SIDE = 12


def photos(folder: Path, count: int = 24) -> Path:
    """Of two classes, all different."""
    rng = np.random.default_rng(0)
    for number in range(count):
        path = folder / "photos" / ("dark" if number % 2 else "light") / f"{number:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        values = rng.integers(0, 120, (SIDE, SIDE), dtype=np.uint8) + np.uint8(
            0 if number % 2 else 120
        )
        Image.fromarray(values).save(path)
    return folder / "photos"


def loaded(folder: Path, **data: Any) -> Dataset:
    return load(Data(**{"source": "photos", "target": "label", **data}), None, folder)


def prepared(dataset: Dataset, family: str) -> Any:
    made = FAMILY.load(family)()
    candidate = Candidate(family, family, made, Prepare(), Initialize(), Train())
    return prepare_rows(candidate, dataset, Context())


def test_a_network_of_images_reads_them_from_disk_and_others_get_the_same_numbers(
    tmp_path: Path,
) -> None:
    photos(tmp_path)
    dataset = loaded(tmp_path)
    stored, held = prepared(dataset, "cnn").x, prepared(dataset, "linear").x
    assert isinstance(stored, StoredPixels)
    assert isinstance(held, np.ndarray)
    assert stored.shape == (24, SIDE * SIDE)
    assert len(stored) == 24
    assert stored.dtype == np.uint8
    assert held_bytes(stored) == 0
    assert nonzeros(stored) == 24 * SIDE * SIDE
    assert bounds(stored).shape == (2, SIDE * SIDE)
    raw = np.stack(
        [np.asarray(Image.open(name)).ravel() for name in dataset.table.columns["image"].strings()]
    )
    np.testing.assert_array_equal(stored[:], raw)
    np.testing.assert_array_equal(stored[3:7], raw[3:7])
    np.testing.assert_array_equal(stored[np.array([5, 0, 5])], raw[[5, 0, 5]])
    np.testing.assert_array_equal(stored.take(np.array([9, 2]))[np.array([1, 0])], raw[[2, 9]])
    np.testing.assert_array_equal(dense(stored), raw)


def test_some_rows_of_a_fit_are_a_view(tmp_path: Path) -> None:
    photos(tmp_path)
    dataset = loaded(tmp_path)
    fit = fit_of(prepared(dataset, "cnn"), dataset.target, Context()).take(np.array([4, 1]))
    assert isinstance(fit.x, StoredPixels)
    assert fit.rows == 2
    assert fit.y.tolist() == dataset.target.values[[4, 1]].tolist()


def test_images_that_cannot_be_used_are_refused_by_name_or_skipped_and_counted(
    tmp_path: Path,
) -> None:
    root = photos(tmp_path)
    (root / "dark" / "a_text.png").write_text("no image")
    (root / "dark" / "empty.png").write_bytes(b"")
    header = (
        b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"
        + (50_000).to_bytes(4, "big") * 2
        + b"\x08\x02\x00\x00\x00"
    )
    (root / "light" / "huge.png").write_bytes(header + b"\x00" * 40)
    with pytest.raises(DataError) as caught:
        loaded(tmp_path)
    for name in ("a_text.png", "empty.png", "huge.png", "data.read: {unreadable: skip}"):
        assert name in str(caught.value)
    dataset = loaded(tmp_path, read=ReadFile(unreadable="skip"))
    assert dataset.table.rows == 24
    (warning,) = [text for text in dataset.warnings if "skipped" in text]
    assert warning.startswith("image: 3 of 27 images cannot be used and are skipped")
    assert all(name in warning for name in ("a_text.png", "empty.png", "huge.png"))
    names = [Path(name).name for name in dataset.table.columns["image"].strings()]
    assert names == sorted(names, key=lambda name: (int(name[:2]) % 2 == 0, name))
    assert prepared(dataset, "cnn").x.shape == (24, SIDE * SIDE)


def test_every_kind_of_picture_is_read_from_one_folder(tmp_path: Path) -> None:
    """EXIF rotation, CMYK, 16 bits, palette, alpha, and all formats: upright, in the same
    colors.
    """
    plain = np.zeros((40, 40, 3), dtype=np.uint8)
    plain[:20] = (200, 30, 30)
    image, root = Image.fromarray(plain), photos(tmp_path)
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    image.rotate(180).save(root / "light" / "x_exif.jpg", exif=exif, quality=95)
    image.convert("CMYK").save(root / "light" / "x_cmyk.jpg", quality=95)
    image.convert("P").save(root / "light" / "x_palette.gif")
    image.convert("RGBA").save(root / "light" / "x_alpha.png")
    for ending in ("webp", "tiff", "bmp", "png"):
        image.save(root / "light" / f"x_plain.{ending}")
    gray = np.where(np.arange(40)[:, None] < 20, 40_000, 0) + np.zeros((1, 40))
    Image.fromarray(gray.astype(np.uint16)).save(root / "light" / "x_16bit.png")
    column = loaded(tmp_path).table.columns["image"]
    pixels = StoredPixels(image_column.resized(column, ImageShape(8, 8, 3)))
    found = {
        Path(name).name: pixels.cache.images(np.array([row]))[0]
        for row, name in enumerate(column.strings())
    }
    drawn = {name: image for name, image in found.items() if name.startswith("x_")}
    assert len(drawn) == 9
    for name, resized in drawn.items():
        top, bottom = resized[:3].reshape(-1, 3).mean(0), resized[5:].reshape(-1, 3).mean(0)
        assert bottom.max() < 25, name
        wanted = (156, 156, 156) if "16bit" in name else (200, 30, 30)
        assert np.abs(top - wanted).max() < 25, name


def test_copies_stay_on_one_side_and_are_counted(tmp_path: Path) -> None:
    root = photos(tmp_path)
    (root / "dark" / "copy.png").write_bytes((root / "dark" / "01.png").read_bytes())
    dataset = loaded(tmp_path)
    assert any("a copy of another" in text for text in dataset.notes)
    names = [Path(name).name for name in dataset.table.columns["image"].strings()]
    assert dataset.together is not None
    units = dict(zip(names, dataset.together.tolist(), strict=True))
    assert units["copy.png"] == units["01.png"]
    assert len(set(units.values())) == 24
    assert loaded(tmp_path, duplicates="ignore").together is None


def test_a_cache_beyond_the_disk_that_there_is_is_refused(tmp_path: Path) -> None:
    photos(tmp_path)
    with (
        scratch.of_run(tmp_path / "run", 1_000),
        pytest.raises(BudgetError, match=r"budget.disk: expected room for 24 images"),
    ):
        loaded(tmp_path)


def test_an_interrupted_run_keeps_its_resized_images_and_decodes_none_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos(tmp_path)
    with pytest.raises(KeyboardInterrupt), scratch.of_run(tmp_path / "run", None):
        column = loaded(tmp_path).table.columns["image"]
        first = image_column.resized(column, ImageShape(8, 8, 3)).images(np.arange(24))
        raise KeyboardInterrupt
    image_column._COLUMNS.held.clear()  # as in another process
    monkeypatch.setattr(decoded_column, "fill", None)
    with scratch.of_run(tmp_path / "run", None):
        again = image_column.resized(column, ImageShape(8, 8, 3))
        assert np.array_equal(again.images(np.arange(24)), first)
        monkeypatch.undo()
        changed = Path(column.levels[0])
        Image.new("RGB", (10, 10), (1, 2, 3)).save(changed)
        image_column._COLUMNS.held.clear()
        assert (
            image_column.resized(column, ImageShape(8, 8, 3)).images(np.array([0])) == (1, 2, 3)
        ).all()
    assert not (tmp_path / "run" / "scratch").exists()
