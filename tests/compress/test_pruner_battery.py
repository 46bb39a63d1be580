"""Every check for every pruner, and how many checks each got is asserted."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sixfold.bundle.parity import Parity, check_parity
from sixfold.bundle.runtimes.onnx import onnx_predictor
from sixfold.compress.amount import NO_TIME
from sixfold.compress.keep import Bound, Keep
from sixfold.compress.pruners.channels import operations
from sixfold.compress.subject import CompressionState, promise, start
from sixfold.core.errors import RecipeError
from sixfold.data.raw import text_rows
from sixfold.evaluate.model import Model
from sixfold.package.receipt import expected_answers, signature_of, stored_rows
from sixfold.parts import state
from sixfold.parts.packed import packed
from sixfold.recipe.kinds import PRUNER
from sixfold.recipe.section import Section
from sixfold.runs.context import Context

Size = Callable[[Any], int]


@dataclass(frozen=True)
class Case:
    """What a pruner is tried on; `size`: what it makes smaller."""

    family: str
    options: dict[str, Any]
    size: Size
    pruning: dict[str, Any]
    wrong: tuple[dict[str, Any], str]
    task: str = "classification"


LANGUAGE = {
    "layers": 2,
    "width": 64,  # two of its four heads are a whole block of 32 numbers
    "heads": 4,
    "kv_heads": 4,
    "mlp_width": 64,
    "context": 32,
    "vocabulary": "bytes",
}


CASES: dict[str, Case] = {
    "channels": Case(
        "cnn",
        {"size": "nano", "shift": 0.0},
        lambda m: operations(m.fitted),
        {"epochs": 6},
        (
            {"epochs": 0},
            "pruner channels, epochs: expected greater than or equal to 1; found 0. Change epochs.",
        ),
    ),
    "features": Case(
        "linear",
        {},
        lambda m: len(m.preparer.inputs),
        {},
        (
            {"patience": 0},
            "pruner features, patience: expected greater than or equal to 1; found 0. Change patience.",
        ),
    ),
    "neurons": Case(
        "mlp",
        {"hidden": [32, 16]},
        lambda m: sum(m.fitted.hidden),
        {"epochs": 3},
        (
            {"epochs": -1},
            "pruner neurons, epochs: expected greater than or equal to 0; found -1. Change epochs.",
        ),
    ),
    "rounds": Case(
        "boosting",
        {"rounds": 40, "patience": None},
        lambda m: m.fitted.rounds,
        {},
        (
            {"tries": 1},
            "pruner rounds, tries: expected greater than or equal to 2; found 1. Change tries.",
        ),
    ),
    "support_vectors": Case(
        "svm",
        {"kernel": "rbf"},
        lambda m: m.fitted.support_count,
        {},
        ({"ratio": 1.0}, "expected less than 1 or 'largest'; found 1.0"),
    ),
    "complexity": Case(
        "tree",
        {"max_depth": 8},
        lambda m: m.fitted.node_count,
        {},
        (
            {"tries": 1},
            "pruner complexity, tries: expected greater than or equal to 2; found 1. Change tries.",
        ),
    ),
    "layers": Case(
        "language",
        LANGUAGE,
        lambda m: m.fitted.fields["num_hidden_layers"],
        {"ratio": 0.5, "epochs": 1},
        (
            {"epochs": -1},
            "pruner layers, epochs: expected greater than or equal to 0; found -1. Change epochs.",
        ),
        "generation",
    ),
    "heads": Case(
        "language",
        LANGUAGE,
        lambda m: m.fitted.fields["num_attention_heads"],
        {"ratio": 0.5, "epochs": 1},
        (
            {"epochs": -1},
            "pruner heads, epochs: expected greater than or equal to 0; found -1. Change epochs.",
        ),
        "generation",
    ),
}
KEEP = {
    "classification": {"accuracy": -0.05},
    "regression": {"rmse": 60.0},
    "generation": {"bits_per_byte": 2.0},
}
BEST = {"classification": ("accuracy", 2.0), "generation": ("bits_per_byte", 0.0)}


def bound(old: float, keep: float, metric: str = "accuracy") -> Bound:
    """On three folds."""
    return Bound(metric, np.ones(3, dtype=bool), old, keep, None)


class Bench:
    """Trains each case once for a task, prunes it once, and hands both out."""

    def __init__(self, made: Any) -> None:
        self.made = made
        self.pruned = cache(self._pruned)

    def subject(self, name: str, task: str = "") -> tuple[Any, CompressionState, Keep]:
        case = CASES[name]
        task = task or case.task
        lift = {"keep_lift": 0.0} if task == "generation" else {}
        job, model = self.made(case.family, case.options, {"keep": KEEP[task], **lift}, task)
        subject = start(job, model)
        return job, subject, promise(job, subject)

    def _pruned(self, name: str, task: str = "") -> tuple[CompressionState | None, str]:
        job, subject, keep = self.subject(name, task)
        return pruner(name).prune(subject, job, keep, Context())


@pytest.fixture(scope="session")
def bench(made: Any) -> Bench:
    return Bench(made)


def pruner(name: str) -> Any:
    return PRUNER.make({"target": name, **CASES[name].pruning}, "target")


def saved_bytes(model: Model, folder: Path) -> bytes:
    folder.mkdir(exist_ok=True)
    state.save(model, folder)
    return (folder / "state.safetensors").read_bytes() + (folder / "state.json").read_bytes()


def found(bench: Bench, name: str, task: str = "") -> CompressionState:
    subject, why = bench.pruned(name, task)
    assert subject is not None, why
    return subject


def check_section_with_described_options(name: str, bench: Bench, folder: Path) -> None:
    settings = PRUNER.load(name)
    assert issubclass(settings, Section)
    assert settings.__doc__
    assert all(field.description for field in settings.model_fields.values())


def check_removes_and_says_so(name: str, bench: Bench, folder: Path) -> None:
    size = CASES[name].size
    before, (after, why) = bench.subject(name)[1], bench.pruned(name)
    assert after is not None, why
    assert 0 < size(after.model) < size(before.model)
    assert all(
        0 < size(new) < size(old)
        for new, old in zip(after.fold_models, before.fold_models, strict=True)
    )
    assert f"{shown(name, before.model)} → {shown(name, after.model)}" in why


def shown(name: str, model: Model) -> str:
    """The size as the reason says it."""
    fitted: Any = model.fitted
    return (
        "-".join(str(units) for units in fitted.hidden)
        if name == "neurons"
        else f"{CASES[name].size(model):,}"
    )


def check_the_graph_is_smaller(name: str, bench: Bench, folder: Path) -> None:
    before, after = bench.subject(name)[1].model.export(), found(bench, name).model.export()
    assert len(after.SerializeToString()) < len(before.SerializeToString())
    assert len(after.graph.input) <= len(before.graph.input)
    assert (len(after.graph.input) < len(before.graph.input)) == (name == "features")


def check_keeps_the_promise(name: str, bench: Bench, folder: Path) -> None:
    _, before, _ = bench.subject(name)
    after = found(bench, name)
    assert np.mean(after.scores["accuracy"]) >= np.mean(before.scores["accuracy"]) - 0.05 - 1e-12


def check_scores_are_those_of_the_twins(name: str, bench: Bench, folder: Path) -> None:
    job, _, _ = bench.subject(name)
    after = found(bench, name)
    for fold, fold_model, score in zip(
        job.folds, after.fold_models, after.scores["accuracy"], strict=True
    ):
        validation = job.dataset.take(fold.validation)
        assert score == np.mean(
            fold_model.predict(validation.table).argmax(axis=1) == validation.target.values
        )


def check_values_too(name: str, bench: Bench, folder: Path) -> None:
    size = CASES[name].size
    job, before, _ = bench.subject(name, "regression")
    after = found(bench, name, "regression")
    assert size(after.model) < size(before.model)
    assert np.mean(after.scores["rmse"]) <= np.mean(before.scores["rmse"]) + 60
    answers_as_served(after.model, job)


def check_an_unkept_promise_finds_nothing(name: str, bench: Bench, folder: Path) -> None:
    job, before, _ = bench.subject(name)
    bits = saved_bytes(before.model, folder / "before")
    metric, value = BEST[CASES[name].task]
    best = Keep((bound(value, 0.0, metric),))  # nothing is as good as this
    after, why = pruner(name).prune(before, job, best, Context())
    assert after is None
    assert why
    assert saved_bytes(before.model, folder / "after") == bits


def check_never_edits_in_place(name: str, bench: Bench, folder: Path) -> None:
    _, before, _ = bench.subject(name)
    bits = [saved_bytes(model, folder / "before") for model in (before.model, *before.fold_models)]
    found(bench, name)
    assert [
        saved_bytes(model, folder / "after") for model in (before.model, *before.fold_models)
    ] == bits


def check_same_seed_same_bits(name: str, bench: Bench, folder: Path) -> None:
    job, before, keep = bench.subject(name)
    again, _ = pruner(name).prune(before, job, keep, Context())
    assert again is not None
    assert saved_bytes(again.model, folder / "a") == saved_bytes(
        found(bench, name).model, folder / "b"
    )


def check_survives_files(name: str, bench: Bench, folder: Path) -> None:
    job, _, _ = bench.subject(name)
    model = found(bench, name).model
    state.save(model, folder)
    again = state.load(folder, Model)
    assert np.array_equal(again.predict(job.dataset.table), model.predict(job.dataset.table))


def check_the_graph_answers_as_the_pipeline(name: str, bench: Bench, folder: Path) -> None:
    answers_as_served(found(bench, name).model, bench.subject(name)[0])


def check_a_stranger_is_refused_with_the_reason(name: str, bench: Bench, folder: Path) -> None:
    job, model = bench.made(STRANGER, {}, {})
    subject = start(job, model)
    after, why = pruner(name).prune(subject, job, promise(job, subject), Context())
    assert after is None
    assert why.startswith("linear ")


def check_without_time_nothing_is_found(name: str, bench: Bench, folder: Path) -> None:
    job, before, keep = bench.subject(name)
    after, why = pruner(name).prune(before, job, keep, Context(deadline=time.monotonic() - 1))
    assert after is None
    assert why in (NO_TIME, "no column can be spared")


def check_bad_options(name: str, bench: Bench, folder: Path) -> None:
    options, text = CASES[name].wrong
    with pytest.raises(RecipeError) as error:
        PRUNER.make({"target": name, **options}, "target")
    assert text in str(error.value)
    with pytest.raises(
        RecipeError, match=f"pruner {name}: expected one of its options; found 'surely_unknown'"
    ):
        PRUNER.make({"target": name, "surely_unknown": 1}, "target")


def answers_as_served(model: Model, job: Any) -> None:
    rows = stored_rows(job.dataset.table, 0)
    parity = Parity(text_rows(rows, model.preparer.inputs), expected_answers(model, rows))
    check_parity(
        onnx_predictor(packed(model.export()), signature_of(model, job.dataset, ("",))), parity
    )


Check = Callable[[str, Bench, Path], None]
CHECKS: tuple[Check, ...] = (
    check_section_with_described_options,
    check_removes_and_says_so,
    check_the_graph_is_smaller,
    check_keeps_the_promise,
    check_scores_are_those_of_the_twins,
    check_values_too,
    check_an_unkept_promise_finds_nothing,
    check_never_edits_in_place,
    check_same_seed_same_bits,
    check_survives_files,
    check_the_graph_answers_as_the_pipeline,
    check_without_time_nothing_is_found,
    check_bad_options,
)
STRANGER = "linear"  # a family that fits none of the pruners but one
FOR_ONE_FAMILY: tuple[Check, ...] = (check_a_stranger_is_refused_with_the_reason,)
FITS_ALL = "features"  # see test_features_of_every_family
CLASSES_ONLY = "channels"  # cnn predicts no values
OF_TEXTS = ("heads", "layers")  # of a model that is no graph, and has neither classes nor values
GRAPHS_AND_CLASSES: tuple[Check, ...] = (
    check_the_graph_is_smaller,
    check_keeps_the_promise,
    check_scores_are_those_of_the_twins,
    check_values_too,
    check_the_graph_answers_as_the_pipeline,
)
PAIRS = [
    (name, check)
    for name in PRUNER.names()
    for check in (*CHECKS, *(FOR_ONE_FAMILY if name != FITS_ALL else ()))
    if (name, check) != (CLASSES_ONLY, check_values_too)
    and not (name in OF_TEXTS and check in GRAPHS_AND_CLASSES)
]


SLOW = {
    ("channels", check_an_unkept_promise_finds_nothing),
    ("channels", check_same_seed_same_bits),
    ("channels", check_removes_and_says_so),
}


@pytest.mark.parametrize(
    ("name", "check"),
    [
        pytest.param(
            n, c, id=f"{n}-{c.__name__}", marks=[pytest.mark.slow] if (n, c) in SLOW else []
        )
        for n, c in PAIRS
    ],
)
def test_pruner(name: str, check: Check, bench: Bench, tmp_path: Path) -> None:
    check(name, bench, tmp_path)


def test_every_pruner_gets_its_checks() -> None:
    assert PRUNER.names() == sorted(CASES)
    assert Counter(name for name, _ in PAIRS) == {
        **dict.fromkeys(CASES, 14),
        FITS_ALL: 13,
        CLASSES_ONLY: 13,
        **dict.fromkeys(OF_TEXTS, 9),
    }
    written = {name for name in globals() if name.startswith("check_") and name != "check_parity"}
    assert written == {check.__name__ for check in (*CHECKS, *FOR_ONE_FAMILY)}


@pytest.mark.parametrize(
    "family", ["linear", "mlp", "svm", "tree", "forest", "extra_trees", "boosting"]
)
def test_features_of_every_family(made: Any, family: str) -> None:
    small = {
        "forest": {"trees": 10},
        "extra_trees": {"trees": 10},
        "boosting": {"rounds": 10, "patience": None},
        "mlp": {"hidden": [8]},
    }
    job, model = made(family, small.get(family, {}), {"keep": {"accuracy": -0.1}, "keep_lift": 0.5})
    subject = start(job, model)
    settings = PRUNER.make({"target": "features", "step": 0.6, "patience": 1}, "target")
    after, why = settings.prune(subject, job, promise(job, subject), Context())
    assert after is not None, why
    assert len(after.model.preparer.inputs) < len(model.preparer.inputs)
    answers_as_served(after.model, job)


def test_least_columns_stay(bench: Bench) -> None:
    job, subject, _ = bench.subject("features")
    anything = Keep((bound(1.0, 1.0),))
    for least in (1, 3):
        after, _ = PRUNER.make({"target": "features", "least": least}, "target").prune(
            subject, job, anything, Context()
        )
        assert after is not None
        assert len(after.model.preparer.inputs) == least


def test_what_cannot_be_trained_is_a_reason_not_a_crash(bench: Bench) -> None:
    job, subject, keep = bench.subject("features")
    impute = {"number": {"name": "none"}}
    prepare = job.candidate.prepare
    violation = replace(
        job.candidate, prepare=prepare.model_copy(update={"impute": type(prepare.impute)(**impute)})
    )
    holes = {
        name: replace(c, values=c.values.copy()) for name, c in job.dataset.table.columns.items()
    }
    for name in ("x0", "x1"):
        holes[name].values[::7] = np.nan
    dataset = replace(job.dataset, table=replace(job.dataset.table, columns=holes))
    subject = replace(subject, basis=replace(subject.basis, candidate=violation, dataset=dataset))
    after, why = pruner("features").prune(subject, job, keep, Context())
    assert after is None
    assert why.startswith("what is left cannot be trained (prepare.impute: expected an imputer")
