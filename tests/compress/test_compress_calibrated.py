"""What is compressed keeps its calibrator and its threshold, and is judged with them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import onnxruntime
import pytest

from conftest import Build
from sixfold.compress.compress import compress
from sixfold.compress.measure import feeds
from sixfold.evaluate import scoring
from sixfold.evaluate.cross_validation import cross_validate
from sixfold.evaluate.model import fit_model
from sixfold.recipe.calibration import Calibration
from sixfold.runs.context import Context


@pytest.mark.slow
@pytest.mark.parametrize(
    ("family", "options", "section"),
    [
        ("mlp", {"hidden": [24]}, {"prune": {"target": "neurons", "ratio": 0.5, "epochs": 3}}),
        ("mlp", {"hidden": [128, 64]}, {"quantize": {"activations": "static"}}),
        (
            "svm",
            {"kernel": "rbf"},
            {"prune": {"target": "support_vectors"}, "fixed_point": {"factor": 4096}},
        ),
    ],
)
def test_calibrator_and_threshold_stay(
    made: Build, family: str, options: dict[str, Any], section: dict[str, Any]
) -> None:
    job, _ = made(family, options, {**section, "keep": {"accuracy": -0.3, "log_loss": 3.0}})
    chosen = replace(job.candidate, calibration=Calibration(calibrate="platt", threshold="f1"))
    metrics = ("accuracy", "log_loss")
    evaluation = cross_validate(chosen, job.dataset, job.folds, metrics, Context())
    job = replace(job, candidate=chosen, evaluation=evaluation, metrics=metrics)
    model = fit_model(chosen, job.dataset, Context())
    found = compress(job, model, Context())
    assert any(step.accepted for step in found.steps), found.steps
    assert found.model.calibrator is model.calibrator is not None
    assert found.model.threshold == model.threshold is not None
    table = job.dataset.table
    p = found.model.predict(table)
    assert np.any(p != model.predict(table))
    data = found.model.export().SerializeToString()
    label, graph_p = onnxruntime.InferenceSession(data).run(None, feeds(data, table, table.rows))
    np.testing.assert_allclose(graph_p, p, atol=1e-5)
    assert label[:, 0].tolist() == found.model.labels(table).tolist()
    scores = scoring.score_all(
        metrics, job.dataset.target, p, found.model.output, found.model.threshold
    )
    assert scores["accuracy"] is not None
    assert scores["accuracy"] > 0.6
