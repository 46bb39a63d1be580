"""Images on disk: survey, cache, views; what cannot be read is told or skipped; memory stays
flat.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from PIL import Image

from sixfold.core.errors import BudgetError, DataError
from sixfold.parts import image_column
from sixfold.parts.decoded_rows import describe_faults, fill
from sixfold.parts.file_cells import name_of
from sixfold.parts.image_resize import ImageShape, Resizer
from sixfold.parts.image_store import ImageDecoder, survey
from sixfold.parts.table import Column


def png(pixels: Any) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def some(count: int, side: int = 10, seed: int = 0) -> list[np.ndarray[Any, Any]]:
    return list(np.random.default_rng(seed).integers(0, 256, (count, side, side), dtype=np.uint8))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number, pixels in enumerate(some(5)):
        (tmp_path / f"{number}.png").write_bytes(png(pixels))
    return tmp_path


def paths(folder: Path) -> tuple[str, ...]:
    return tuple(sorted(map(str, folder.glob("*.png"))))


def test_the_cache_holds_what_decoding_and_resizing_give(folder: Path) -> None:
    shape = ImageShape(8, 8, 1)
    cache, faults = fill(paths(folder), ImageDecoder(shape), folder / "cache")
    wanted = [Resizer(shape)(pixels[:, :, None]) for pixels in some(5)]
    assert not faults
    assert np.array_equal(cache.images(np.arange(5)), np.stack(wanted))
    assert (folder / "cache").stat().st_size == 5 * 64


def test_a_view_reads_its_own_rows_in_the_order_asked_for(folder: Path) -> None:
    cache, _ = fill(paths(folder), ImageDecoder(ImageShape(10, 10, 1)), folder / "cache")
    view = cache.take(np.array([4, 2, 0])).take(np.array([2, 0]))
    assert np.array_equal(view.images(np.array([1, 0])), cache.images(np.array([4, 0])))
    assert [len(batch) for batch in cache.batches(2)] == [2, 2, 1]


def test_bytes_in_a_column_give_what_files_give(folder: Path) -> None:
    contents = [(folder / f"{number}.png").read_bytes() for number in range(5)]
    pa.parquet.write_table(pa.table({"photo": contents}), folder / "a.parquet")
    cells = [name_of(folder / "a.parquet", "photo", row) for row in range(5)]
    shape = ImageShape(10, 10, 1)
    of_bytes, _ = fill(cells, ImageDecoder(shape), folder / "one")
    of_files, _ = fill(paths(folder), ImageDecoder(shape), folder / "two")
    assert np.array_equal(of_bytes.images(np.arange(5)), of_files.images(np.arange(5)))
    assert of_bytes.digests == of_files.digests


def column(folder: Path) -> Column:
    names = paths(folder)
    return Column("image", np.arange(len(names), dtype=np.int32), names)


def test_a_bad_image_of_a_column_is_refused_by_name(folder: Path) -> None:
    (folder / "2.png").write_text("no image")
    with pytest.raises(DataError, match=r"2\.png: expected an image .*; found text"):
        image_column.resized(column(folder), ImageShape(8, 8, 1))


def test_several_bad_images_are_named_together(folder: Path) -> None:
    for number in (1, 3):
        (folder / f"{number}.png").write_bytes(b"")
    with pytest.raises(
        DataError, match=r"1\.png: .*others, too: .*3\.png\. .*data\.read: \{unreadable: skip\}"
    ):
        image_column.resized(column(folder), ImageShape(8, 8, 1))


def test_bad_images_are_skipped_and_counted_where_the_recipe_says_so(folder: Path) -> None:
    (folder / "2.png").write_text("no image")
    cache, faults = fill(paths(folder), ImageDecoder(ImageShape(10, 10, 1)), folder / "cache")
    assert [fault.row for fault in faults] == [2]
    assert np.array_equal(
        cache.images(np.arange(4)), np.stack([some(5)[at][:, :, None] for at in (0, 1, 3, 4)])
    )
    assert describe_faults(faults, 5, "image") == (
        f"1 of 5 images cannot be used and is skipped ({folder / '2.png'}: text)."
    )


def test_where_all_are_bad_there_is_nothing_to_skip(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("no image")
    with pytest.raises(DataError, match=r"a\.png"):
        fill(paths(tmp_path), ImageDecoder(ImageShape(8, 8, 1)), tmp_path / "cache")
    assert not list(tmp_path.glob("cache*"))


def test_the_budget_of_disk_is_asked_first(folder: Path) -> None:
    decoder = ImageDecoder(ImageShape(100, 100, 3))
    with pytest.raises(
        BudgetError, match=r"room for 5 images of 100 × 100, color .*about 81 pixels"
    ):
        fill(paths(folder), decoder, folder / "cache", 100_000)


def test_a_cut_cache_is_told(folder: Path) -> None:
    cache, _ = fill(paths(folder), ImageDecoder(ImageShape(8, 8, 1)), folder / "cache")
    (folder / "cache").write_bytes(bytes(100))
    with pytest.raises(DataError, match="expected 5 cached images; found a shorter file"):
        cache.images(np.array([4]))


def test_the_survey_takes_the_median_side_and_the_colors(folder: Path) -> None:
    shape, why = survey(paths(folder))
    assert shape == ImageShape(12, 12, 1) or shape == ImageShape(
        8, 8, 1
    )  # 10 is as near to the one as to the other
    assert why == f"Images become {shape.describe()}: the median of the shorter sides is 10 pixels."
    (folder / "large.png").write_bytes(png(np.zeros((400, 300, 3), dtype=np.uint8)))
    assert survey([str(folder / "large.png")]) == (
        ImageShape(224, 224, 3),
        "Images become 224 × 224, color: the median of the shorter sides is 300 pixels, at most 224.",
    )


def test_a_survey_of_no_image_at_all_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("no image")
    with pytest.raises(DataError, match="expected images; found none that can be read among 1"):
        survey([str(tmp_path / "a.png")])
