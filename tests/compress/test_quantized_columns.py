"""int8 of networks over tokens and over several kinds of columns: fewer bytes, answers near, and as
a bundle gives them.
"""

from __future__ import annotations

import numpy as np
import pytest

from sixfold.bundle.graph import CheckedModel
from sixfold.compress.quantize import quantized
from sixfold.parts.fit import FeatureGroup, Fit, Fitted, Setting
from sixfold.parts.graph import Graph, TensorProto
from sixfold.parts.image_resize import ImageShape
from sixfold.parts.packed import packed
from sixfold.recipe.compression import Quantize
from sixfold.recipe.kinds import FAMILY
from sixfold.recipe.schema import Train
from sixfold.runs.context import Context

KNOWN = 500  # tokens
TOKENS = FeatureGroup("tokens", ("note",), 0, 16, tokens=KNOWN)
LAYOUTS = {
    "text_cnn": (TOKENS,),
    "text_encoder": (TOKENS,),
    "fusion": (
        TOKENS,
        FeatureGroup("pixels", ("scan",), 16, 80, ImageShape(8, 8, 1)),
        FeatureGroup("numbers", ("weight",), 80, 81),
    ),
}


def fit_of(family: str) -> Fit:
    """A word, or the brightness of an image, tells the class."""
    random, rows = np.random.default_rng(0), 96
    y = np.arange(rows) % 2
    x = np.zeros((rows, LAYOUTS[family][-1].stop), dtype=np.float32)
    x[:, :10] = random.integers(3, KNOWN, (rows, 10))
    x[:, 4] = 1 + y
    x[:, 16:80] = random.integers(0, 60, (rows, 64))[:, : x.shape[1] - 16] + 120 * y[:, None]
    x[:, 80:] = random.normal(size=(rows, 1))[:, : max(0, x.shape[1] - 80)]
    made = FAMILY.load(family)(size="nano")
    train = Train(**{**made.train_defaults.options, "epochs": 6, "batch_size": 16})
    setting = Setting(family, made, train=train)
    return Fit(x, y, "classification", 2, seed=1, layout=LAYOUTS[family], setting=setting)


def written(model: Fitted, features: int) -> bytes:
    graph = Graph()
    value = model.export(graph, graph.input("x", TensorProto.FLOAT, features))
    graph.output("y", value, TensorProto.DOUBLE, ["rows", 2])
    return packed(graph.model())


@pytest.mark.parametrize(
    "family", ["fusion", "text_encoder", pytest.param("text_cnn", marks=pytest.mark.slow)]
)
def test_int8_is_smaller_near_and_answers_as_a_bundle_does(family: str) -> None:
    fit = fit_of(family)
    assert fit.setting is not None
    (model,) = fit.setting.family.fit([fit], Context())
    small = quantized(model, np.asarray(fit.x), Quantize())
    before, after = written(model, fit.x.shape[1]), written(small, fit.x.shape[1])
    assert len(after) < 0.5 * len(before)
    expected, found = model.predict(fit.x), small.predict(fit.x)
    assert (expected.argmax(1) == fit.y).mean() > 0.95
    assert (found.argmax(1) == fit.y).mean() > 0.95
    assert np.abs(found - expected).mean() < 0.03
    session = CheckedModel.of(after, "model.onnx").session("model.onnx")
    np.testing.assert_allclose(session.run(None, {"x": np.asarray(fit.x)})[0], found, atol=1e-6)
    assert small.convolves is (family != "text_encoder")
    if small.convolves:  # static: a row's answer does not depend on the others
        np.testing.assert_allclose(small.predict(fit.x[3:4]), found[3:4], atol=1e-6)
