"""Fine-tuned image checkpoints: where they start, what is learned, the same bits after a kill, and
the bundle without torch.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError

import tiny_images
from killed_training import KilledError, killed_at, saving
from sixfold.bundle.graph import CheckedModel
from sixfold.core.errors import DataError, FitError
from sixfold.parts import state
from sixfold.parts.fit import FeatureGroup, Fit, Fitted, Setting
from sixfold.parts.graph import Graph, TensorProto
from sixfold.parts.image_resize import ImageShape
from sixfold.parts.packed import packed
from sixfold.parts.table import Target
from sixfold.plan.candidates import Draft, candidate
from sixfold.recipe.kinds import FAMILY
from sixfold.recipe.schema import Recipe, Train
from sixfold.runs.context import Context

ENCODER: Any = FAMILY.load("image_encoder")
SIDES = {"vit": 32, "deit": 32, "convnext": 36, "resnet": 36, "basic_resnet": 36}
ROWS = 24


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    made = {kind: tmp_path_factory.mktemp("checkpoints") / kind for kind in tiny_images.MODELS}
    for kind, folder in made.items():
        tiny_images.write(folder, kind)
    return made


def fit_of(folder: Path, adapt: str = "whole", **train: Any) -> Fit:
    """Images whose brightness is their class."""
    side, generator = SIDES[folder.name], np.random.default_rng(0)
    y = np.arange(ROWS) % 3
    x = generator.integers(0, 60, (ROWS, side * side * 3)) + 90 * y[:, None]
    family = ENCODER(checkpoint=str(folder), adapt=adapt, shift=0.1, mixup=0.2)
    section = Train(**{**family.train_defaults.options, "batch_size": 8, "epochs": 2, **train})
    layout = (FeatureGroup("pixels", ("image",), 0, x.shape[1], ImageShape(side, side, 3)),)
    setting = Setting("image_encoder", family, train=section)
    return Fit(x.astype(np.float32), y, "classification", 3, seed=3, layout=layout, setting=setting)


def trained(fit: Fit, context: Context | None = None) -> Any:
    family: Any = fit.setting.family
    (found,) = family.fit([fit], context or Context())
    return found


def answers(fitted: Fitted, x: Any) -> Any:
    """Of the exported graph, as a bundle runs it."""
    graph = Graph()
    value = fitted.export(graph, graph.input("x", TensorProto.FLOAT, x.shape[1]))
    graph.output("y", value, TensorProto.DOUBLE, ["rows", "outputs"])
    session = CheckedModel.of(packed(graph.model()), "model.onnx").session("model.onnx")
    return session.run(None, {"x": x})[0]


@pytest.mark.parametrize("kind", tiny_images.MODELS)
def test_logits_are_those_of_transformers_and_its_processor(
    kind: str, folders: dict[str, Path], tmp_path: Path
) -> None:
    """With the published head in the place of a new one: scaling, embedding and head, by arrays and
    by nodes.
    """
    model, fit = tiny_images.write(tmp_path / kind, kind), fit_of(folders[kind])
    family: Any = fit.setting.family
    side = SIDES[kind]
    module = family.module(fit)
    (classes,) = [
        layer for layer in model.classifier.modules() if isinstance(layer, torch.nn.Linear)
    ]
    module.network.head.load_state_dict(classes.state_dict())
    fitted = family.fitted(module.eval(), fit)
    images = fit.x.reshape(ROWS, side, side, 3).astype(np.uint8)
    given = tiny_images.processor(kind)(list(images), return_tensors="pt")["pixel_values"]
    with torch.no_grad():
        wanted = model(pixel_values=given).logits.double().softmax(1).numpy()
    assert np.ptp(wanted, axis=0).max() > 0.01
    np.testing.assert_allclose(fitted.predict(fit.x), wanted, rtol=0, atol=1e-5)
    np.testing.assert_allclose(answers(fitted, fit.x), wanted, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("kind", "adapt"),
    [
        ("vit", "whole"),
        ("resnet", "whole"),
        ("resnet", "head"),
        ("vit", "head"),
        ("vit", "lora"),
        ("convnext", "lora"),
    ],
)
def test_the_checkpoint_is_where_it_starts_and_the_head_is_what_is_learned(
    kind: str, adapt: str, folders: dict[str, Path], tmp_path: Path
) -> None:
    fit = fit_of(folders[kind], adapt, epochs=1)
    family: Any = fit.setting.family
    plain = ENCODER(checkpoint=str(folders[kind])).module(fit).network
    before = {name: value.clone() for name, value in plain.state_dict().items()}
    started = family._start(fit, 1).network.state_dict()
    kept = {
        name.replace(".linear.", "."): value
        for name, value in started.items()
        if name.startswith("embedding.")
    }
    assert all(torch.equal(kept[name], value) for name, value in before.items() if name in kept)
    assert len(before) - len(kept.keys() & before.keys()) == 2  # weight and bias of the head
    found = trained(fit)
    same = {
        name: np.array_equal(value, before[name].numpy())
        for name, value in found.network.weights.items()
        if name.startswith("embedding.") and "num_batches" not in name
    }
    layers = [
        name
        for name, part in plain.named_modules()
        if isinstance(part, torch.nn.Linear) and name != "head"
    ]
    changed = {"whole": set(same), "head": set(), "lora": {f"{name}.weight" for name in layers}}
    assert {name for name, unchanged in same.items() if not unchanged} == changed[adapt]
    assert not np.array_equal(found.network.weights["head.weight"], before["head.weight"].numpy())
    state.save(found, tmp_path)
    again = state.load(tmp_path, type(found))
    np.testing.assert_array_equal(again.predict(fit.x), found.predict(fit.x))
    np.testing.assert_allclose(answers(again, fit.x), found.predict(fit.x), rtol=0, atol=1e-5)
    further = trained(replace(fit, start=again))
    assert further.network.weights.keys() == found.network.weights.keys()


def test_it_learns(folders: dict[str, Path]) -> None:
    fit = fit_of(
        folders["convnext"], epochs=15, optimizer={"name": "adamw", "learning_rate": 0.005}
    )
    assert (trained(fit).predict(fit.x).argmax(1) == fit.y).mean() > 0.9


def test_killed_it_ends_with_the_same_bits(
    folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With what draws at random on its way: stochastic depth, and augmentation."""
    fit = fit_of(folders["convnext"], "whole")
    whole = trained(fit)
    with killed_at(4, monkeypatch), pytest.raises(KilledError):
        trained(fit, saving(tmp_path))
    again = trained(fit, saving(tmp_path))
    for name, value in whole.network.weights.items():
        np.testing.assert_array_equal(again.network.weights[name], value)


def test_the_folder_decides_about_the_key_and_the_images(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    tiny_images.write(tmp_path / "vit")
    recipe = Recipe.model_validate({"version": 1, "name": "r", "data": {"source": "x"}})
    target: Any = Target("classification", np.zeros(1, np.int64), ("y",), ("a", "b"))

    def key() -> str:
        options = {"checkpoint": str(tmp_path / "vit")}
        return candidate(
            recipe, target, "image_encoder", Draft(("image_encoder", options, ""), {}, {})
        ).key()

    before = key()
    assert key() == before
    tiny_images.write(tmp_path / "vit", seed=1)
    assert key() != before
    assert ENCODER(checkpoint=str(folders["resnet"])).needs.image_side == 36
    small = fit_of(folders["vit"])
    other = replace(small.layout[0], image=ImageShape(16, 64, 3))
    with pytest.raises(FitError, match="expected images of 32 × 32, color; found 16 × 64"):
        trained(replace(small, layout=(other,)))


def test_what_is_refused(tmp_path: Path, folders: dict[str, Path]) -> None:
    with pytest.raises(
        FitError, match="expected products beside which adapters can stand; found none"
    ):
        trained(fit_of(folders["resnet"], "lora"))
    with pytest.raises(ValidationError, match="Field required"):
        ENCODER()
    with pytest.raises(ValidationError, match="rank and alpha are for adapters"):
        ENCODER(checkpoint="x", rank=4)
    with pytest.raises(ValidationError, match="Input should be 'whole'"):
        ENCODER(checkpoint="x", adapt="half")
    with pytest.raises(DataError, match="found no such folder"):
        _ = ENCODER(checkpoint=str(tmp_path / "nowhere")).needs
