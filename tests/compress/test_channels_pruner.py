"""Channels cut from a fitted network, which learns from what it was; and the same in int8, as a
recipe does both.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn

from sixfold.build.cnn import PixelNetwork
from sixfold.compress.pruners.channels import Settings, cut, operations
from sixfold.compress.quantized_images import quantized_pixels
from sixfold.parts.fit import FeatureGroup, Fit, Setting
from sixfold.parts.graph import Graph, TensorProto
from sixfold.parts.image_resize import ImageShape
from sixfold.parts.packed import packed
from sixfold.recipe.kinds import FAMILY, PRUNER
from sixfold.recipe.schema import Train
from sixfold.runs.context import Context
from sixfold.train.distillation import DistilledExamples, DistilledLosses, distillation_losses
from sixfold.train.losses import row_losses

X, Y = load_digits(n_class=3, return_X_y=True)
PIXELS = (X * 15).astype(np.float32)
LAYOUT = (FeatureGroup("pixels", ("image",), 0, 64, ImageShape(8, 8, 1)),)
CNN: Any = FAMILY.load("cnn")


def work(epochs: int) -> Fit:
    train = Train(**{**CNN().train_defaults.options, "epochs": epochs, "batch_size": 20})
    return Fit(
        PIXELS[:200],
        Y[:200],
        "classification",
        3,
        layout=LAYOUT,
        setting=Setting("cnn", CNN(shift=0), train=train),
    )


def right(fitted: Any) -> float:
    return float((fitted.predict(PIXELS[200:]).argmax(axis=1) == Y[200:]).mean())


@pytest.fixture(scope="module")
def network() -> PixelNetwork:
    (found,) = CNN().fit([work(4)], Context())
    assert isinstance(found, PixelNetwork)
    return found


def test_the_cut_network_has_half_of_the_work_and_learns_from_the_one_before(
    network: PixelNetwork,
) -> None:
    assert right(network) > 0.95
    small = cut(network, 0.5)
    assert 0.3 * operations(network) < operations(small) <= 0.5 * operations(network)
    (again,) = CNN().fit([replace(work(4), start=small, teacher=network)], Context())
    assert operations(again) == operations(small)
    assert right(again) > 0.9
    (undistilled,) = CNN().fit([replace(work(4), start=small)], Context())
    assert not np.array_equal(undistilled.predict(PIXELS), again.predict(PIXELS))


def test_int8_answers_nearly_alike_from_the_same_features(network: PixelNetwork) -> None:
    small = quantized_pixels(network, PIXELS[:100])
    assert (small.predict(PIXELS).argmax(1) == network.predict(PIXELS).argmax(1)).mean() > 0.97
    sizes = []
    for one in (network, small):
        graph = Graph()
        graph.output(
            "y",
            one.export(graph, graph.input("x", TensorProto.FLOAT, 64)),
            TensorProto.DOUBLE,
            ["rows", "outputs"],
        )
        sizes.append(len(packed(graph.model())))
    assert sizes[1] < sizes[0] / 2


def test_the_targets_of_distillation_are_labels_and_the_teachers_scores() -> None:
    class Rows:
        def __len__(self) -> int:
            return 4

        def read(self, rows: Any, draw: Any) -> tuple[torch.Tensor, torch.Tensor]:
            return torch.randn(
                len(rows), 5, generator=torch.Generator().manual_seed(1)
            ), torch.tensor([0, 2, 1, 1])[rows]

    torch.manual_seed(0)
    teacher, rows = nn.Linear(5, 3).eval(), np.arange(4)
    x, targets = DistilledExamples(Rows(), teacher).read(rows, None)
    y, outputs = torch.tensor([0, 2, 1, 1]), torch.randn(4, 3)
    losses = DistilledLosses(row_losses)
    wanted = distillation_losses(outputs, teacher(x), row_losses(outputs, y), losses.settings)
    assert torch.allclose(losses(outputs, targets), wanted, atol=1e-6)
    assert torch.equal(losses(outputs, y), row_losses(outputs, y))
    assert not targets.requires_grad


def test_the_pruner_is_a_plug_in_with_its_options() -> None:
    assert PRUNER.make({"target": "channels", "ratio": 0.3}, "target") == Settings(ratio=0.3)
