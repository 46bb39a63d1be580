"""Compression never eats the model: over data of every imbalance and lift, any `keep`, any steps,
the law of the lift holds.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from sixfold.compress.compress import Compressed, compress
from sixfold.compress.pruners.features import reduced
from sixfold.compress.retraining import retrained
from sixfold.compress.subject import Job, promise, start
from sixfold.evaluate import scoring
from sixfold.evaluate.baseline import by_fold
from sixfold.evaluate.cross_validation import cross_validate
from sixfold.evaluate.folds import make
from sixfold.evaluate.model import Model, fit_model
from sixfold.parts.table import Column, Dataset, Table, Target
from sixfold.plan.candidates import metrics_of, resolve
from sixfold.recipe.compression import Compress
from sixfold.recipe.load import from_object
from sixfold.runs.context import Context

CLASSIFICATION = ["accuracy", "log_loss", "roc_auc"]
OPTIONS: dict[str, dict[str, Any]] = {
    "linear": {},
    "tree": {"max_depth": 6},
    "boosting": {"rounds": 20, "patience": None},
    "mlp": {"hidden": [16]},
    "svm": {"kernel": "rbf"},
}


def rows(count: int, positive: int, noise: float, seed: int) -> Dataset:
    """`positive` rows of the second class: those with the largest 2a + b + noise; c and d say
    nothing.
    """
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(count, 4)).round(3)
    score = 2 * x[:, 0] + x[:, 1] + rng.normal(0, noise, count)
    values = np.zeros(count, dtype=np.int64)
    values[np.argsort(-score)[:positive]] = 1
    columns = {name: Column("number", x[:, i].copy()) for i, name in enumerate("abcd")}
    return Dataset(Table(columns, count), Target("classification", values, ("y",), ("no", "yes")))


def trained(data: Dataset, family: str, metrics: list[str], **compressed: Any) -> tuple[Job, Model]:
    recipe = from_object(
        {
            "version": 1,
            "task": data.target.task,
            "data": {"source": "memory", "target": "y"},
            "build": {"family": family, **OPTIONS[family]},
            "train": {"epochs": 10, "batch_size": 64},
            "evaluate": {"folds": 3, "metrics": metrics},
        }
    ).recipe
    candidate, folds = resolve(recipe, data, None)[0], make(recipe.evaluate, data)
    names = metrics_of(recipe, data, folds).names
    evaluation = cross_validate(candidate, data, folds, names, Context())
    job = Job(Compress.model_validate(compressed), candidate, evaluation, data, folds, names)
    return job, fit_model(candidate, data, Context())


def check_law(job: Job, done: Compressed) -> None:
    """Said from the figures alone: what is left keeps its share on the deciding metric, every
    ranking beats the baseline, `keep` holds, and who was found is found.
    """
    before, reference = job.evaluation.scores, by_fold(job.dataset, job.folds, job.metrics)
    ranking = [name for name in job.metrics if name in ("roc_auc", "average_precision")]
    for name in dict.fromkeys((job.metrics[0], *ranking)):
        sign = 1.0 if scoring.greater_is_better(name) else -1.0
        old, new, base = (
            sign * float(np.mean(scores[name])) for scores in (before, done.scores, reference)
        )
        assert new - base >= job.section.keep_lift * (old - base) - 1e-9
        assert new > base
    for name, change in job.section.keep.items():
        lost = np.mean(before[name]) - np.mean(done.scores[name])
        assert abs(change) >= (lost if scoring.greater_is_better(name) else -lost) - 1e-9


def _random_job(seed: int) -> tuple[Job, Model]:
    rng = np.random.default_rng(seed)
    family = list(OPTIONS)[seed % len(OPTIONS)]
    data = rows(
        360, int(rng.choice([12, 30, 90, 180])), float(rng.choice([0.1, 1.0, 4.0, 30.0])), seed
    )
    metrics = [
        [],
        CLASSIFICATION,
        ["accuracy"],
        ["log_loss", "average_precision"],
        ["f1", "roc_auc"],
    ][seed // 5 % 5]
    if family == "svm" and metrics[:1] == ["log_loss"]:
        metrics = []
    cuts = {
        "linear": [],
        "tree": ["complexity"],
        "boosting": ["rounds"],
        "mlp": ["neurons"],
        "svm": ["support_vectors"],
    }[family]
    prune: list[dict[str, Any]] = [
        {"target": "features", "step": 0.5},
        *({"target": name} for name in cuts),
    ]
    rng.shuffle(prune)  # type: ignore[arg-type]
    if family == "svm":
        prune.sort(key=lambda one: one["target"])
    if "neurons" in cuts:
        prune = [{**one, "epochs": 1} if one["target"] == "neurons" else one for one in prune]
    job, model = trained(
        data, family, metrics, prune=prune, keep_lift=float(rng.choice([0.5, 0.9, 0.9, 0.99]))
    )
    section = {**job.section.model_dump(), "fixed_point": {"factor": int(rng.choice([2, 8, 64]))}}
    first, size = job.metrics[0], float(rng.choice([0.0, 0.001, 0.05, 1.0]))
    section["keep"] = (
        {} if size == 1.0 else {first: -size if scoring.greater_is_better(first) else size}
    )
    return replace(job, section=Compress.model_validate(section)), model


def _hold(seed: int, monkeypatch: pytest.MonkeyPatch) -> tuple[bool, bool]:
    """Whether a step was accepted; whether the model had no lift to begin with."""
    monkeypatch.setattr(
        "sixfold.compress.compress.gain", lambda *given: (True, "smaller")
    )  # the law alone decides
    job, model = _random_job(seed)
    done = compress(job, model, Context())
    lifeless = bool(promise(job, start(job, model)).no_lift())
    accepted = any(step.accepted for step in done.steps)
    if lifeless:
        assert not accepted
        assert all("no better than the baseline of" in step.why for step in done.steps)
    else:
        check_law(job, done)
    return accepted, lifeless


def test_the_law_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sample: one of each family."""
    found = [_hold(seed, monkeypatch) for seed in (0, 6, 12)]
    assert any(accepted for accepted, _ in found)


@pytest.mark.slow
def test_the_law_holds_over_the_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [_hold(seed, monkeypatch) for seed in range(50)]
    assert sum(accepted for accepted, _ in found) > 10
    assert any(lifeless for _, lifeless in found)


@pytest.mark.parametrize("metrics", [[], CLASSIFICATION, ["accuracy"], ["f1"]])
def test_a_model_that_finds_no_rare_row_any_more_is_refused(metrics: list[str]) -> None:
    """6,000 rows, 12 positive: one column less costs little accuracy and the whole model, whatever
    the recipe measures.
    """
    job, model = trained(
        rows(6000, 12, 0.05, 0),
        "linear",
        metrics,
        keep={} if metrics == [] else {metrics[0]: -0.01},
    )
    subject = start(job, model)
    found, why = retrained(reduced(subject.basis, ["a"]), job, promise(job, subject), Context())
    assert found is None
    assert " would go from " in why
    assert ("of its lift of" in why) is (metrics != ["f1"])  # whose `keep` is the narrower one


def test_what_decides_by_default_is_watched_though_the_recipe_does_not_measure_it() -> None:
    job, _ = trained(rows(600, 12, 0.05, 0), "linear", ["accuracy"])
    assert job.lifted == ("accuracy", "roc_auc")
    assert trained(rows(600, 300, 0.05, 0), "linear", ["accuracy"])[0].lifted == ("accuracy",)
    assert trained(rows(600, 300, 0.05, 0), "linear", CLASSIFICATION)[0].lifted == (
        "accuracy",
        "roc_auc",
    )


def test_a_model_without_a_lift_is_left_as_it_is_and_this_is_said() -> None:
    data = rows(300, 150, 0.1, 0)
    noise = {name: column for name, column in data.table.columns.items() if name in "cd"}
    job, model = trained(
        replace(data, table=Table(noise, 300)),
        "tree",
        CLASSIFICATION,
        prune=[{"target": "complexity"}],
    )
    done = compress(job, model, Context())
    assert done.model is model
    (step,) = done.steps
    old = float(np.mean(job.evaluation.scores["accuracy"]))
    assert (
        step.why
        == f"accuracy is {old:.4g}, no better than the baseline of 0.5: nothing can be spared"
    )


def test_ten_steps_have_one_share_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every loss is counted from the model before the first step."""
    job, model = trained(
        rows(300, 150, 1.0, 0), "linear", ["accuracy"], prune=[{"target": "features"}] * 10
    )
    scores, share = (
        job.evaluation.scores["accuracy"],
        0.004,
    )  # of 0.01 that may go: two such steps hold, a third does not

    def worse(settings: Any, subject: Any, job: Any, keep: Any, context: Any) -> Any:
        return replace(subject, scores={"accuracy": subject.scores["accuracy"] - share}), "a little"

    monkeypatch.setattr("sixfold.compress.pruners.features.Settings.prune", worse)
    monkeypatch.setattr("sixfold.compress.compress.gain", lambda *given: (True, "smaller"))
    done = compress(job, model, Context())
    assert [step.accepted for step in done.steps] == [True, True, *[False] * 8]
    assert np.allclose(done.scores["accuracy"], scores - 2 * share)
