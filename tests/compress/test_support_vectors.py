"""Support vectors of machines with many classes: fewer of them, in the pairs that they had a part
in.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime
import pytest

from sixfold.build.candidate import Candidate
from sixfold.compress.measure import feeds
from sixfold.compress.pruners.support_vectors import fewer
from sixfold.evaluate.model import Model, fit_model
from sixfold.parts.table import Column, Dataset, Table, Target
from sixfold.recipe.kinds import FAMILY
from sixfold.recipe.schema import Initialize, Prepare, Train
from sixfold.runs.context import Context


def dataset(classes: int, rows: int = 400) -> Dataset:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(rows, 4))
    score = x[:, 0] + x[:, 1] ** 2 + 0.2 * rng.normal(size=rows)
    y = np.digitize(score, np.quantile(score, np.arange(1, classes) / classes))
    table = Table({f"x{i}": Column("number", x[:, i].copy()) for i in range(4)}, rows)
    return Dataset(table, Target("classification", y, ("y",), tuple("abcdef"[:classes])))


def machine(data: Dataset, name: str = "svm", **options: Any) -> Model:
    family = FAMILY.make({"family": name, **options}, "family")
    return fit_model(
        Candidate(name, name, family, Prepare(), Initialize(), Train()), data, Context()
    )


@pytest.mark.parametrize("classes", [2, 3, 6])
def test_half_of_them_decide_nearly_as_all_did(classes: int) -> None:
    data = dataset(classes)
    model = machine(data, C=3.0)
    small = fewer(model, data, 0.4)
    full, fitted = (each.fitted for each in (model, small))
    left: Any = fitted
    assert left.support_count == round(0.6 * full.support_count)  # type: ignore[attr-defined]
    kept = [int(np.flatnonzero((full.support == row).all(axis=1))[0]) for row in left.support]  # type: ignore[attr-defined]
    dropped_only: Any = full.keep_support(np.array(kept))  # type: ignore[attr-defined]
    np.testing.assert_array_equal(left.weights != 0, dropped_only.weights != 0)

    x = np.asarray(model.preparer.transform(data.table))
    before = np.mean((dropped_only.predict(x) - full.predict(x)) ** 2)
    assert np.mean((left.predict(x) - full.predict(x)) ** 2) < 0.5 * before
    truth = data.target.values
    assert (
        np.mean(left.predict(x).argmax(1) == truth)
        > np.mean(full.predict(x).argmax(1) == truth) - 0.05
    )

    exported = small.export().SerializeToString()
    session = onnxruntime.InferenceSession(exported, providers=["CPUExecutionProvider"])
    feed = feeds(exported, data.table, data.table.rows)
    found = dict(
        zip([output.name for output in session.get_outputs()], session.run(None, feed), strict=True)
    )
    np.testing.assert_allclose(found["decision"], small.predict(data.table), atol=1e-9)
    assert found["label"][:, 0].tolist() == small.labels(data.table).tolist()


def test_many_values_of_the_same_vectors_are_fitted_in_one_go(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    table = dataset(2).table
    x = np.stack([table.columns[f"x{i}"].values for i in range(4)], axis=1)
    values = np.stack([np.sin(x[:, 0]), x[:, 1] * x[:, 2], x[:, 3] ** 2], axis=1)
    data = Dataset(table, Target("reconstruction", values, ("a", "b", "c")))
    model, solve, sizes = machine(data, "kernel_ridge"), np.linalg.solve, list[tuple[int, ...]]()
    monkeypatch.setattr(np.linalg, "solve", lambda a, b: (sizes.append(b.shape), solve(a, b))[1])
    small = fewer(model, data, 0.5)
    assert sizes == [(201, 3)]
    full, left = model.predict(table), small.predict(table)
    assert np.mean((left - full) ** 2) < 0.05 * np.var(values)
