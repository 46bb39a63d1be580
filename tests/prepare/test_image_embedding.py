"""Embeddings of images as features: against transformers, against the graph, computed once an
image, and in bounded memory.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from preparing import session

import tiny_images
from sixfold.bundle.modality_reader import reader_of
from sixfold.core.errors import DataError
from sixfold.parts import state
from sixfold.parts.fit import Needs
from sixfold.parts.graph import Graph, TensorProto
from sixfold.parts.raw_inputs import RawInputs
from sixfold.parts.table import Column, Table, Target
from sixfold.prepare import embedded_images, preparer
from sixfold.prepare.embedded_images import EmbeddedImages, fit_embedded
from sixfold.prepare.plan import folder_digests
from sixfold.recipe.schema import Feature, Prepare


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("checkpoint") / "convnext"
    tiny_images.write(made, "convnext")
    return made


def table_of(paths: list[Path]) -> Table:
    return Table(
        {"scan": Column("image", np.arange(len(paths), dtype=np.int32), tuple(map(str, paths)))},
        len(paths),
    )


def squares(folder: Path, count: int, side: int = 36) -> list[Path]:
    """Of the size that the checkpoint's processor makes of them, so that nothing is resized."""
    random, paths = np.random.default_rng(1), []
    for number in range(count):
        paths.append(folder / f"{number}.png")
        Image.fromarray(random.integers(0, 256, (side, side, 3), dtype=np.uint8)).save(paths[-1])
    return paths


def test_numbers_are_those_of_transformers_and_its_processor(folder: Path, tmp_path: Path) -> None:
    paths = squares(tmp_path, 7)
    images = [np.asarray(Image.open(path)) for path in paths]
    given = tiny_images.processor("convnext")(images, return_tensors="pt")["pixel_values"]
    model = tiny_images.write(tmp_path / "again", "convnext")
    with torch.no_grad():
        wanted = model.convnext(pixel_values=given).pooler_output.numpy()
    prepare = Prepare.model_validate(
        {"features": {"image": {"name": "image_embedding", "checkpoint": str(folder)}}}
    )
    target = Target("classification", np.arange(7) % 2, ("y",), ("a", "b"))
    made, x, _ = preparer.fit(table_of(paths), target, prepare, Needs(), 0)
    assert isinstance(x, np.ndarray) and x.dtype == np.float64
    np.testing.assert_allclose(x, wanted, rtol=0, atol=1e-5)
    assert made.layout[0].kind == "numbers" and made.feature_names[3] == "scan embedding 3"
    np.testing.assert_array_equal(made.transform(table_of(paths[::-1])), x[::-1])


def test_the_graph_gives_what_training_had(folder: Path, tmp_path: Path) -> None:
    paths = tiny_images.draw(tmp_path, 6)
    block, graph = fit_embedded("scan", folder), Graph()
    value = block.export(graph, RawInputs(graph, [], frozenset()))
    graph.output("x", value, TensorProto.DOUBLE, ["rows", block.width])
    (content,) = [prop.value for prop in graph.model().metadata_props if prop.key == "image_0"]
    pixels = (
        reader_of("image")
        .encoder("image_0", content.encode(), "model.onnx")
        .encode([path.read_bytes() for path in paths])
    )
    found = session(graph, {"image_0": pixels}).run(None, {"image_0": pixels})[0]
    np.testing.assert_allclose(found, block.reader(table_of(paths))(slice(None)), rtol=0, atol=2e-6)


def test_an_image_has_the_same_bits_whatever_is_beside_it(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = table_of(squares(tmp_path, 11))
    together = fit_embedded("scan", folder).reader(table)(slice(None))
    embedded_images._embedder.cache_clear()
    monkeypatch.setattr(embedded_images, "READ", 3)
    read = fit_embedded("scan", folder).reader(table)
    np.testing.assert_array_equal(
        np.concatenate([read(slice(row, row + 1)) for row in range(11)]), together
    )
    embedded_images._embedder.cache_clear()
    np.testing.assert_array_equal(fit_embedded("scan", folder).reader(table)(slice(None)), together)


def test_equal_images_are_embedded_once_and_what_is_kept_is_bounded(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    embedded_images._embedder.cache_clear()
    first = squares(tmp_path, 3)
    copy = shutil.copy(first[0], tmp_path / "copy.png")
    block = fit_embedded("scan", folder)
    before = block.reader(table_of([*first, Path(copy)]))(slice(None))
    embedder = embedded_images._embedder(block.folder, block.digest)
    assert len(embedder._known) == 3
    np.testing.assert_array_equal(before[0], before[3])
    kept = embedder._session
    monkeypatch.setattr(embedder, "_session", None)  # whoever asks it fails
    np.testing.assert_array_equal(block.reader(table_of(first[::-1]))(slice(None)), before[2::-1])
    monkeypatch.setattr(embedder, "_session", kept)
    monkeypatch.setattr(embedded_images, "CACHE_BYTES", 3 * block.width * 4)
    (tmp_path / "more").mkdir()
    block.reader(table_of(squares(tmp_path / "more", 2, 40)))(slice(None))
    assert len(embedder._known) <= 3


def test_the_state_names_the_folder_and_holds_no_weights(folder: Path, tmp_path: Path) -> None:
    block = fit_embedded("scan", folder)
    (tmp_path / "state").mkdir()
    state.save(block, tmp_path / "state")
    assert sum(file.stat().st_size for file in (tmp_path / "state").iterdir()) < 1_000
    assert state.load(tmp_path / "state", EmbeddedImages) == block


def test_a_checkpoint_that_changed_is_another_key_and_no_longer_the_states(tmp_path: Path) -> None:
    own = tmp_path / "vit"
    tiny_images.write(own)
    options: Any = {"image": {"name": "image_embedding", "checkpoint": str(own)}}
    block, before = fit_embedded("scan", own), folder_digests(Feature.model_validate(options))
    tiny_images.write(own, seed=1)
    assert folder_digests(Feature.model_validate(options)) != before == [block.digest]
    embedded_images._embedder.cache_clear()
    with pytest.raises(DataError, match="expected the checkpoint"):
        block.reader(table_of(squares(tmp_path, 1, 32)))
