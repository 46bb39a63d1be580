"""Integrated gradients: against formulas, against torch's own gradients, and of bundles."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import linear_bundle
import numpy as np
import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[1]))
import tiny_bundle

import sixfold
from sixfold.bundle.explain import stored as stored_file
from sixfold.bundle.explain.explainer import ExplainEffort
from sixfold.bundle.explain.gradients import Baseline, integrated
from sixfold.bundle.explain.sampling import SamplingEffort
from sixfold.bundle.explain.stored import Stored
from sixfold.bundle.load import load
from sixfold.bundle.manifest import EXPLAIN
from sixfold.bundle.verify import verify
from sixfold.core.errors import BundleError, RowError


def ways(answer: Any, x: list[float], code: list[int] | None = None, **effort: Any) -> Any:
    """From 0."""
    codes = np.isin(np.arange(len(x)), code or [])
    baseline = Baseline(np.zeros(len(x)), codes, np.zeros(len(x), dtype=bool))
    return integrated(answer, np.array(x), baseline, SamplingEffort(**effort))


def test_of_a_product_each_gets_half() -> None:
    found = ways(lambda x: (x[:, :1] * x[:, 1:2]) + 3.0, [2.0, 5.0, 0.0])
    np.testing.assert_allclose(found.values[:, 0], [5.0, 5.0, 0.0], atol=1e-9)
    assert found.base == 3.0
    assert found.error < 1e-9


def test_a_code_jumps_and_shares_with_a_number() -> None:
    """Three times as much where the code is 2: half of that is the code's."""

    def answer(x: np.ndarray) -> np.ndarray:
        assert set(x[:, 1]) <= {0.0, 2.0}  # never between
        return np.where(x[:, 1] == 2.0, 3.0, 1.0)[:, None] * x[:, :1]

    found = ways(answer, [4.0, 2.0], [1])
    np.testing.assert_allclose(found.values[:, 0], [4.0 + 4.0, 4.0], atol=1e-9)
    alone = ways(lambda x: 1.0 * (x == 2.0).all(axis=1)[:, None], [2.0, 2.0], [0, 1])
    assert alone.values.sum() == pytest.approx(1.0)  # whoever jumps last
    assert (alone.values >= 0).all()


def test_more_parts_until_little_is_lacking_or_the_rows_are_used_up() -> None:
    def sharp(x: np.ndarray) -> np.ndarray:
        return np.tanh(40 * (x[:, :1] + x[:, 1:2] - 1.06))

    found = ways(sharp, [1.0, 1.0])
    total = sharp(np.ones((1, 2)))[0] - sharp(np.zeros((1, 2)))[0]
    np.testing.assert_allclose(found.values.sum(axis=0), total, atol=1e-9)
    assert found.error <= 0.005 * np.abs(found.values).max()
    np.testing.assert_allclose(found.values, total / 2 + np.zeros((2, 1)), atol=0.005)
    few = ways(sharp, [1.0, 1.0], rows=100)
    assert few.asked <= 100
    np.testing.assert_allclose(few.values.sum(axis=0), total, atol=1e-9)


def test_the_values_are_those_of_torchs_gradients() -> None:
    torch.manual_seed(0)
    module = torch.nn.Sequential(
        torch.nn.Linear(6, 16), torch.nn.ReLU(), torch.nn.Linear(16, 8), torch.nn.GELU()
    )
    network = torch.nn.Sequential(module, torch.nn.Linear(8, 3), torch.nn.Softmax(1)).double()
    x, start = torch.randn(6).double() * 2, torch.randn(6).double()
    parts = 4000
    when = (torch.arange(parts).double() + 0.5) / parts
    points = (start + when[:, None] * (x - start)).requires_grad_()
    expected = []
    for output in range(3):
        (slopes,) = torch.autograd.grad(network(points)[:, output].sum(), points)
        expected.append((slopes.mean(dim=0) * (x - start)).numpy())

    def answer(some: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            found: np.ndarray = network(torch.from_numpy(some)).numpy()
        return found

    baseline = Baseline(start.numpy(), np.zeros(6, dtype=bool), np.zeros(6, dtype=bool))
    found = integrated(answer, x.numpy(), baseline, SamplingEffort())
    scale = np.abs(np.stack(expected)).max()
    np.testing.assert_allclose(found.values, np.stack(expected, axis=1), atol=0.01 * scale)


def stored(**changes: Any) -> bytes:
    place = np.arange(6, dtype=np.int32)
    arrays = {"source": linear_bundle.SOURCE, "place": place, "code": np.zeros(6, dtype=np.uint8)}
    told = {"value": linear_bundle.graph()[1], "width": 6, "arrays": arrays, **changes}
    return Stored("network", real=4, **told).packed()


def test_a_bundles_graph_is_asked_behind_its_features(tmp_path: Path) -> None:
    bundle = load(linear_bundle.make(tmp_path / "bundle", stored()))
    assert bundle.explainer.not_exact == "a model that is no sum of trees or of weighted columns"
    rows = tiny_bundle.ROWS
    found = bundle.explain(rows, "gradients")
    assert (found.method, found.scale) == ("gradients", "probability")
    x = linear_bundle.features()
    weights, start = linear_bundle.WEIGHTS[:, 0], x.mean(axis=0)
    scores, nothing = x @ weights + linear_bundle.BIAS, start @ weights + linear_bundle.BIAS
    sigmoid = 1 / (1 + np.exp(-np.append(scores, nothing)))
    share = (sigmoid[:-1] - sigmoid[-1]) / (scores - nothing)
    expected = np.zeros((4, 5))
    np.add.at(expected, (slice(None), linear_bundle.SOURCE), (x - start) * weights * share[:, None])
    np.testing.assert_allclose(found.contributions[:, :, 1], expected, atol=1e-5)
    assert found.by_slopes == frozenset(range(4))
    np.testing.assert_allclose(found.prediction, bundle.predict(rows).probabilities, atol=1e-9)
    record = found.records("<toss>")[0]
    assert record["error"] < 0.01
    assert "differences" not in record["method"]
    total = record["base"] + sum(record["contributions"].values())
    assert total == pytest.approx(record["prediction"], abs=1e-9)
    assert "gradients" in bundle.explain(rows, "gradients").how
    assert bundle.explain(rows[:1], effort=ExplainEffort(rows=50)).method == "sampled"
    assert verify(bundle.path)[-1].startswith("parity")


def test_what_cannot_be_integrated_is_told(tmp_path: Path) -> None:
    plain = load(tiny_bundle.make(tmp_path / "plain"))
    with pytest.raises(RowError, match="a network of table columns"):
        plain.explain([tiny_bundle.raw()], "gradients")
    network = load(linear_bundle.make(tmp_path / "network", stored()))
    with pytest.raises(RowError, match="at most 1e-12 s of work"):
        network.explain([tiny_bundle.raw()], "gradients", ExplainEffort(1e-12))
    with pytest.raises(BundleError, match="answers that are not made of the features alone"):
        linear_bundle.make(tmp_path / "wrong", stored(value="/not_there"))
    with pytest.raises(BundleError, match="do not belong together"):
        stored_file.read(stored(width=5), "here")


@pytest.mark.slow
@pytest.mark.parametrize("family", ["mlp", "residual_mlp", "tabm"])
def test_networks_that_were_trained(family: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = 120
    size, kind = rng.normal(size=rows), rng.choice(["a", "b", "c"], rows)
    frame: Any = {
        "size": size,
        "kind": kind,
        "noise": rng.normal(size=rows),
        "y": np.where(size + 2.0 * (kind == "c") > 0.5, "yes", "no"),
    }
    place = sixfold.fit(
        _table(frame),
        target="y",
        out=tmp_path / "run",
        data={"holdout": 0},
        evaluate={"folds": 2},
        build={"family": family},
        train={"epochs": 15},
    ).bundle
    assert stored_file.read((place / EXPLAIN).read_bytes(), "here").kind == "network"
    bundle = sixfold.load(place)
    found = bundle.explain(_table(frame).drop(columns="y").head(8), "gradients")
    answers = bundle.predict(_table(frame).drop(columns="y").head(8)).probabilities
    np.testing.assert_allclose(found.prediction, answers, atol=1e-5)
    largest = np.abs(found.contributions).max(axis=1)
    assert found.by_slopes == frozenset(range(8))
    assert found.integration_error is not None
    assert (found.integration_error <= 0.1 * largest + 1e-3).all()
    size_of = dict(
        zip(found.columns, np.abs(found.contributions[:, :, 1]).mean(axis=0), strict=True)
    )
    assert size_of["noise"] < max(size_of["size"], size_of["kind"])


def _table(frame: dict[str, Any]) -> Any:
    import pandas as pd

    return pd.DataFrame(frame)
