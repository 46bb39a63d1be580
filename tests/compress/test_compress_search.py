"""The search: what was promised is kept, what gains nothing changes nothing, and no cut undoes
another.
"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sixfold.compress.amount import NO_TIME, largest
from sixfold.compress.compress import Compressed, compress
from sixfold.compress.measure import feeds
from sixfold.compress.pruners.features import without_repeats
from sixfold.compress.pruners.neurons import as_trained
from sixfold.compress.subject import promise, start
from sixfold.core.errors import BudgetError, FitError
from sixfold.evaluate.model import Model
from sixfold.parts import state
from sixfold.parts.table import Dataset, Table, Target
from sixfold.runs.context import Context

Build = Any
MLP = {"hidden": [64, 64]}
BOOSTING = {"rounds": 40, "patience": None}
LOOSE = {"accuracy": -0.05}


def packed(model: Model, folder: Path) -> bytes:
    folder.mkdir(exist_ok=True)
    state.save(model, folder)
    return (folder / "state.safetensors").read_bytes() + (folder / "state.json").read_bytes()


def run(
    made: Build, family: str, options: dict[str, Any], section: dict[str, Any]
) -> tuple[Model, Compressed, Any]:
    job, model = made(family, options, section)
    return model, compress(job, model, Context()), job


def equally_fast(monkeypatch: pytest.MonkeyPatch, smaller_ms: float = 1.0) -> None:
    """Every model takes 1 ms, the smaller of two `smaller_ms`."""

    def median_ms(
        first: bytes, second: bytes, table: Table, batch: int, *given: float
    ) -> tuple[float, ...]:
        least = min(len(first), len(second))
        return tuple(smaller_ms if len(model) == least else 1.0 for model in (first, second))

    monkeypatch.setattr("sixfold.compress.compress.median_ms", median_ms)


def test_irrelevant_columns_go_first(made: Build) -> None:
    _, done, _ = run(made, "linear", {}, {"keep": LOOSE, "prune": [{"target": "features"}]})
    assert done.steps[0].accepted
    assert set(done.model.preparer.inputs) <= {"x0", "x1", "city"}
    assert "x0" in done.model.preparer.inputs


@pytest.mark.parametrize("targets", [("features", "complexity"), ("complexity", "features")])
def test_of_a_tree_both_cuts_stay(
    made: Build, targets: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    equally_fast(monkeypatch)
    before, done, job = run(
        made, "tree", {"max_depth": 8}, {"keep": LOOSE, "prune": [{"target": t} for t in targets]}
    )
    first = compress(
        replace(job, section=job.section.model_copy(update={"prune": job.section.prune[:1]})),
        before,
        Context(),
    )
    assert done.steps[0].accepted
    assert len(done.model.preparer.inputs) <= len(first.model.preparer.inputs)
    assert done.model.fitted.node_count <= first.model.fitted.node_count
    if done.steps[1].accepted:
        assert len(done.model.export().SerializeToString()) < len(
            first.model.export().SerializeToString()
        )


def test_of_a_network_both_cuts_stay(made: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    equally_fast(monkeypatch)
    prune = [{"target": "neurons", "epochs": 5}, {"target": "features", "step": 0.6, "patience": 1}]
    before, done, _ = run(made, "mlp", MLP, {"keep": LOOSE, "prune": prune})
    assert [step.accepted for step in done.steps] == [True, True], done.steps
    assert done.model.fitted.hidden == (32, 32)
    assert len(done.model.preparer.inputs) < len(before.preparer.inputs)
    assert done.model.fitted.weights[0].shape[1] == len(done.model.preparer.feature_names)


@pytest.mark.slow
def test_columns_then_neurons(made: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    equally_fast(monkeypatch)
    prune = [{"target": "features", "step": 0.6, "patience": 1}, {"target": "neurons", "epochs": 5}]
    _, done, _ = run(made, "mlp", MLP, {"keep": LOOSE, "prune": prune})
    assert [step.accepted for step in done.steps] == [True, True], done.steps
    assert done.model.fitted.hidden == (32, 32)
    assert len(done.model.preparer.inputs) < 7


def test_rounds_do_not_come_back(made: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    equally_fast(monkeypatch)
    prune = [{"target": "rounds"}, {"target": "features"}]
    before, done, _ = run(made, "boosting", BOOSTING, {"keep": LOOSE, "prune": prune})
    assert done.steps[0].accepted
    assert done.model.fitted.rounds < before.fitted.rounds / 2


def test_the_fewest_rounds_are_found(made: Build) -> None:
    job, model = made("boosting", BOOSTING, {"keep": LOOSE, "prune": [{"target": "rounds"}]})
    done = compress(job, model, Context())
    assert done.steps[0].accepted
    rounds = done.model.fitted.rounds
    floor = np.mean(job.evaluation.scores["accuracy"]) - 0.05

    def accuracy(count: int) -> float:
        fold_models = [
            replace(fold_model, fitted=fold_model.fitted.first_rounds(count))
            for fold_model in job.evaluation.models
        ]
        pairs = zip(
            fold_models, [job.dataset.take(fold.validation) for fold in job.folds], strict=True
        )
        return float(
            np.mean(
                [np.mean(t.predict(v.table).argmax(axis=1) == v.target.values) for t, v in pairs]
            )
        )

    assert accuracy(rounds) >= floor
    assert rounds == 1 or accuracy(rounds - 1) < floor


def test_no_gain_leaves_every_bit(
    made: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    equally_fast(monkeypatch)
    monkeypatch.setattr("sixfold.compress.compress.LESS_BYTES", 0.0)
    section = {
        "keep": {"accuracy": -0.5},
        "prune": [{"target": "neurons", "epochs": 0}],
        "quantize": {},
        "fixed_point": {"factor": 64},
    }
    before, done, job = run(made, "mlp", MLP, section)
    assert [step.accepted for step in done.steps] == [False, False, False]
    assert all(step.why.startswith("no gain on this machine: ") for step in done.steps)
    assert packed(done.model, tmp_path / "a") == packed(before, tmp_path / "b")
    assert all(
        np.array_equal(done.scores[name], job.evaluation.scores[name]) for name in job.metrics
    )


@pytest.mark.parametrize(("after_ms", "accepted"), [(0.89, True), (0.91, False)])
def test_a_gain_of_time_alone(
    made: Build, after_ms: float, accepted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    equally_fast(monkeypatch, after_ms)
    monkeypatch.setattr("sixfold.compress.compress.LESS_BYTES", 0.0)
    _, done, _ = run(made, "linear", {}, {"keep": LOOSE, "prune": [{"target": "features"}]})
    assert done.steps[0].accepted is accepted
    assert f"1.000 → {after_ms:.3f} ms for 1 row" in done.steps[0].why


def test_a_gain_of_time_is_measured_twice_in_both_orders(
    made: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What only the second place made fast is no gain."""
    monkeypatch.setattr("sixfold.compress.compress.median_ms", lambda *given: (1.0, 0.5))
    monkeypatch.setattr("sixfold.compress.compress.LESS_BYTES", 0.0)
    _, done, _ = run(made, "linear", {}, {"keep": LOOSE, "prune": [{"target": "features"}]})
    assert done.steps[0].why.startswith("no gain on this machine: ")


def test_faster_but_larger_is_no_gain(made: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    equally_fast(monkeypatch, 0.1)
    monkeypatch.setattr("sixfold.compress.compress.MORE_BYTES", 0.01)
    _, done, _ = run(made, "linear", {}, {"keep": LOOSE, "prune": [{"target": "features"}]})
    assert not done.steps[0].accepted


def test_a_broken_promise_leaves_every_bit(made: Build, tmp_path: Path) -> None:
    before, done, job = run(
        made, "mlp", MLP, {"keep": {"accuracy": 0}, "fixed_point": {"factor": 2}}
    )
    old, new = np.mean(job.evaluation.scores["accuracy"]), done.steps[0].why.split()[6]
    assert (
        done.steps[0].why
        == f"accuracy would go from {old:.4g} to {new} and keep allows a change of +0"
    )
    assert packed(done.model, tmp_path / "a") == packed(before, tmp_path / "b")


def test_a_metric_is_watched_while_a_network_is_trained_on(made: Build) -> None:
    stop = {
        "train": {"epochs": 10, "batch_size": 32, "stop": {"patience": 3, "metric": "accuracy"}}
    }
    job, model = made(
        "mlp",
        MLP,
        {"keep": {"accuracy": -0.1}, "prune": [{"target": "neurons", "epochs": 3}]},
        **stop,
    )
    assert compress(job, model, Context()).steps[0].accepted


def test_the_largest_ratio_is_searched(made: Build) -> None:
    prune = [{"target": "support_vectors", "ratio": "largest"}]
    before, done, _ = run(made, "svm", {"kernel": "rbf"}, {"keep": LOOSE, "prune": prune})
    assert done.steps[0].accepted
    assert done.model.fitted.support_count < before.fitted.support_count / 2  # the default ratio


@pytest.mark.parametrize("limit", [0.02, 0.3, 0.5, 0.77, 1.0])
def test_bisection_comes_within_a_thirty_second(limit: float) -> None:
    subject: Any = object()
    asked = []

    def attempt(share: float) -> Any:
        asked.append(share)
        return (subject, "") if share <= limit else (None, "too much")

    found, why = largest("largest", attempt, Context())
    kept = max((share for share in asked if share <= limit), default=0.0)
    assert limit - kept <= 1 / 32
    assert (found, why) == ((subject, f"{kept:.0%}") if kept else (None, "too much"))


def test_halving_takes_the_first_that_holds() -> None:
    asked = []

    def attempt(share: float) -> Any:
        asked.append(share)
        return None, "too much"

    assert largest(0.5, attempt, Context()) == (None, "too much")
    assert asked == [0.5, 0.25, 0.125, 0.0625]
    assert largest(0.02, lambda share: (None, "too much"), Context()) == (None, "too much")


def test_a_training_that_the_deadline_cut_short_is_not_trusted() -> None:
    subject: Any = object()
    context = Context(deadline=time.monotonic() + 0.02)

    def slow(share: float) -> Any:
        time.sleep(0.03)
        return subject, ""

    assert largest(0.5, slow, context) == (None, NO_TIME)


def test_a_deadline_keeps_what_was_found_before_it() -> None:
    subject: Any = object()

    def attempt(share: float) -> Any:
        if share > 0.5:
            raise BudgetError("budget.time", "", "", "")
        return subject, ""

    assert largest("largest", attempt, Context()) == (subject, "50%")


def test_columns_found_before_the_deadline_stay_found(
    made: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sixfold.compress.pruners import features

    job, model = made("linear", {}, {"keep": LOOSE, "prune": [{"target": "features", "step": 0.2}]})
    context, real, calls = Context(deadline=time.monotonic() + 600), features.retrained, []

    def retrained(*given: Any) -> Any:
        calls.append(given)
        return real(*given) if len(calls) < 3 else (None, NO_TIME)

    monkeypatch.setattr(features, "retrained", retrained)
    subject = start(job, model)
    found, _ = features.Settings(step=0.2, patience=1).prune(
        subject, job, promise(job, subject), context
    )
    assert found is not None
    assert len(found.model.preparer.inputs) == 5


def test_without_time_nothing_is_tried(made: Build) -> None:
    job, model = made(
        "linear", {}, {"prune": [{"target": "features"}], "fixed_point": {"factor": 8}}
    )
    done = compress(job, model, Context(deadline=time.monotonic() - 1))
    assert [step.why for step in done.steps] == [NO_TIME, NO_TIME]
    assert done.model is model


def test_an_error_of_a_step_is_its_reason(made: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*given: Any) -> Any:
        raise FitError(
            "train, step 3", "a loss that is a number", "nan", "Lower the learning rate."
        )

    monkeypatch.setattr("sixfold.compress.fixed_point.apply", fail)
    job, model = made("linear", {}, {"keep": LOOSE, "fixed_point": {"factor": 8}})
    done = compress(job, model, Context())
    assert done.steps[0].why == (
        "it could not be done (train, step 3: expected a loss that is a number; found nan. Lower the learning rate.)"
    )
    assert done.model is model


def test_every_step_is_an_event(made: Build) -> None:
    events: list[tuple[str, dict[str, Any]]] = []
    job, model = made("linear", {}, {"prune": [{"target": "rounds"}], "quantize": {}})
    done = compress(job, model, Context(emit_to=lambda kind, facts: events.append((kind, facts))))
    told = [facts for kind, facts in events if kind == "compression_step"]
    assert told == [
        {"name": step.name, "accepted": step.accepted, "why": step.why} for step in done.steps
    ]
    assert [step.why for step in done.steps] == ["linear has no rounds", "linear is no network"]
    (notes,) = [facts["text"] for kind, facts in events if kind == "note"]
    assert notes.startswith(
        "Compression: all steps together may cost at most 0.01 of accuracy, 0.0"
    )
    assert notes.endswith(
        "as the mean over the validation folds; every class that is found there stays found."
    )


def test_rows_that_become_alike_are_no_duplicates(made: Build) -> None:
    denoise = {"prepare": {"denoise": {"duplicates": "drop", "contradictions": "drop"}}}
    job, model = made("linear", {}, {}, **denoise)
    whole = start(job, model).basis
    twice = np.concatenate([np.arange(whole.dataset.table.rows), np.arange(20)])
    doubled = replace(
        whole,
        dataset=whole.dataset.take(twice),
        training=(*whole.training[:-1], np.arange(len(twice))),
    )
    plain = without_repeats(doubled)
    assert [len(rows) for rows in plain.training] == [len(rows) for rows in whole.training]
    assert (
        plain.candidate.prepare.denoise.duplicates
        == plain.candidate.prepare.denoise.contradictions
        == "keep"
    )
    assert job.candidate.prepare.denoise.duplicates == "drop"
    section = {
        "keep": {"accuracy": -0.5},
        "keep_lift": 0,
        "prune": [{"target": "features", "least": 1}],
    }
    done = compress(made("linear", {}, section, **denoise)[0], model, Context())
    assert (
        len(done.model.preparer.inputs) == 1
    )  # one column: all rows of a city would be contradictions


def test_a_network_is_trained_on_with_the_features_it_was_trained_with(made: Build) -> None:
    """Target means of training rows are cross-fitted: a row's own target would leak into its
    features.
    """
    job, model = made("mlp", {"hidden": [8]}, {}, prepare={"features": {"category": "target"}})
    basis = start(job, model).basis
    rows = basis.rows(-1)
    prepared, seen = as_trained(model, basis, rows, Context()), model.preparer.transform(rows.table)
    assert prepared.preparer is model.preparer
    assert prepared.x.shape == seen.shape
    differ = (prepared.x != seen).any(axis=0)
    names = [
        name for name, other in zip(model.preparer.feature_names, differ, strict=True) if other
    ]
    assert names
    assert all(name.startswith("city") for name in names)


def test_other_features_by_chance_are_not_mixed_up(made: Build) -> None:
    job, model = made("mlp", {"hidden": [8]}, {})
    basis = start(job, model).basis
    rows = basis.rows(-1)
    half = Dataset(
        Table(rows.table.columns, rows.table.rows),
        Target("classification", rows.target.values, ("y",), ("no", "yes")),
    )
    other = replace(
        half, table=rows.table.take(np.arange(150)), target=half.target.take(np.arange(150))
    )
    prepared = as_trained(
        model, basis, other, Context()
    )  # learns other means than the model's own preparation
    assert np.array_equal(prepared.x, model.preparer.transform(other.table))
    assert len(prepared.rows) == 150


def test_a_compressed_state_survives_files(made: Build, tmp_path: Path) -> None:
    _, done, job = run(made, "mlp", MLP, {"keep": LOOSE, "quantize": {}})
    state.save(done, tmp_path)
    again = state.load(tmp_path, Compressed)
    assert again.steps == done.steps
    assert (again.model.predict(job.dataset.table) == done.model.predict(job.dataset.table)).all()
    asked = feeds(done.model.export().SerializeToString(), job.dataset.table, 3)
    assert {name: array.shape for name, array in asked.items()} == {
        "numbers": (3, 6),
        "categories": (3, 1),
    }
