"""What `run` refuses before training, `check` refuses, in the same words: both go by the list in
`planning`.
"""

from __future__ import annotations

import ast
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
import yaml

import sixfold
from sixfold import pipeline
from sixfold.cli import check
from sixfold.core.errors import BudgetError, DataError, SixfoldError
from sixfold.core.memory import held_bytes
from sixfold.data import lone_predictors
from sixfold.evaluate import cross_validation
from sixfold.plan import forecast
from sixfold.recipe import load
from sixfold.recipe.signature import MOST

SOURCE = Path(sixfold.__file__).parent
BASE: dict[str, Any] = {
    "version": 1,
    "data": {"source": "t.csv", "target": "y", "holdout": 0.2},
    "build": [{"family": "linear"}],
    "evaluate": {"folds": 2},
}
MLP = [{"family": "mlp", "hidden": [2]}]
VALUES = {"data.target": "z"}
QUANTILES = {**VALUES, "task": {"regression": {"quantiles": [0.1, 0.9]}}}
TEXTS = {"data.source": "python:topics", "data.target": None, "task": "generation"}
WHO = {"data.source": "who.csv", "data.target": None, "task": "recommendation"}
GAPS = {"data.drop": ["c", "n"]}
ACCEPTED: list[dict[str, Any]] = [
    {},
    VALUES,
    {"compress": {"keep": {"accuracy": -0.01}}},
    {"train.stop": {"metric": "accuracy"}, "build": MLP},
    {"build": [{"family": "svm"}], "evaluate.metrics": ["accuracy", "log_loss"]},
    {"build": [{"family": "svm"}], "evaluate.metrics": ["log_loss"], "evaluate.calibrate": "platt"},
    {"build": [{"family": "boosting"}], "prepare.impute.number": "none"},
    {"data.target": "b", "evaluate.threshold": 0.3, "evaluate.positive": "f"},
    {"data.target": "b", "evaluate.threshold": -2, "build": [{"family": "svm"}]},
    {"data.weight": "u", "train.class_weight": "balanced"},
    {"train.class_weight": {"k": 3, "m": 0.5}},
    {**VALUES, "build": [{"family": "boosting", "monotone": {"n": 1, "g": -1}}]},
    {**QUANTILES, "evaluate.calibrate": "conformal"},
    {"data.target": ["z", "g"]},
    {**WHO, "build": [{"family": "als"}, {"family": "item_knn"}]},
    {**WHO, "build": "auto", "data.time": "time", "evaluate": {"scheme": "leave_last"}},
    {**WHO, "build": [{"family": "bpr"}], "data.group": "user"},
    {"evaluate.nested": 2},
    {"build": MLP, "budget.data_parallel": 2},
    {"evaluate.folds": 50},
    {"evaluate.nested": 40},
    {"evaluate.nested": 2, "evaluate.folds": 14},  # more than rows of a class
    {
        "build": [{"family": "tree", "max_depth": {"low": 1, "high": 3}}],
        "evaluate.search": {"trials": 2},
    },
    {**VALUES, "train.stop": {"metric": "accuracy"}},  # of a loop that trains nothing here
]
REFUSED: list[dict[str, Any]] = [
    {"data.target": "none"},
    {"data.types": {"none": "number"}},
    {"data.drop": ["none"]},
    {"data.group": "none"},
    {"data.time": "g"},
    {"data.holdout": 500},
    {"data.source": "none.csv"},
    {"data.types": {"c": "number"}},
    {"evaluate.metrics": ["rmse"]},
    {**VALUES, "evaluate.metrics": ["accuracy"]},
    {"compress": {"keep": {"mcc": -0.01}}},
    {"compress": {"keep": {"accuracy": 0.01}}},
    {"compress": {"keep": {"rmse": -0.01}}},
    {**VALUES, "compress": {"keep": {"rmse": -0.01}}},
    {"evaluate.folds": 80},
    {**VALUES, "evaluate.folds": 80},
    {"evaluate.nested": 80},
    {"evaluate.nested": 2, "evaluate.folds": 40},
    {"data.source": "twice.csv", "evaluate.folds": 50},
    {
        **VALUES,
        "evaluate.scheme": "leave_one_out",
        "evaluate.folds": None,
        "evaluate.ensemble": True,
    },
    {"evaluate.bag": True},  # two folds
    {
        **VALUES,
        "evaluate.scheme": "leave_one_out",
        "evaluate.folds": None,
        "evaluate.metrics": ["r2"],
    },
    {"data.group": "u", "evaluate.folds": 30},
    {"data.time": "d", "evaluate.folds": 70},
    {
        "data.group": "y",
        "data.target": "b",
        "evaluate.folds": 2,
        "evaluate.metrics": ["roc_auc"],
        "data.holdout": 0,
    },
    {"evaluate.threshold": "f1"},
    {"data.target": "b", "evaluate.threshold": "roc_auc"},
    {"data.target": "b", "evaluate.threshold": 1.5},
    {
        "data.target": "b",
        "evaluate.threshold": -2,
        "evaluate.calibrate": "platt",
        "build": [{"family": "svm"}],
    },
    {"evaluate.threshold": 0.3},
    {"data.weight": "none"},
    {"data.weight": "c"},
    {"data.weight": "g"},
    {"train.class_weight": {"z": 3}},
    {**VALUES, "train.class_weight": "balanced"},
    {**VALUES, "train.class_weight": {"k": 2}},
    {**VALUES, "build": [{"family": "boosting", "monotone": {"c": 1}}]},
    {
        **VALUES,
        "build": [{"family": "boosting", "monotone": {"n": 1}}],
        "prepare.features.number": [{"name": "polynomial", "degree": 2}],
        "prepare.impute.number": "mean",
    },
    {**VALUES, "build": [{"family": "boosting", "monotone": {"n": 2}}]},
    {"build": [{"family": "boosting", "monotone": {"n": 1}}]},
    {
        **VALUES,
        "build": [{"family": "boosting", "monotone": {"n": 1}}],
        "prepare.features.reduce": {"name": "pca"},
    },
    {
        **VALUES,
        "build": [{"family": "boosting", "monotone": {"n": 1}}],
        "prepare.features.number": ["binning"],
    },
    {**QUANTILES, "task": {"regression": {"quantiles": [0.9, 0.1]}}},
    {**QUANTILES, "build": [{"family": "forest"}]},
    {**QUANTILES, "build": [{"family": "linear", "alpha": "auto"}]},
    {**QUANTILES, "build": [{"family": "boosting", "monotone": {"n": 1}}]},
    {**QUANTILES, "evaluate.metrics": ["rmse"]},
    {**QUANTILES, "evaluate.metrics": ["interval_coverage"]},
    {**QUANTILES, "data.target": ["z", "g"]},
    {**VALUES, "evaluate.metrics": ["interval_width"]},
    {**VALUES, "evaluate.calibrate": "conformal"},
    {"data.target": ["z", "c"]},
    {"data.target": ["z", "none"]},
    {"data.target": ["z", "g"], "task": "classification"},
    {"data.target": ["z", "g"], "data.drop": ["g"]},
    {"evaluate.positive": "k"},
    {"data.target": "b", "evaluate.positive": "x"},
    {**VALUES, "evaluate.positive": "k"},
    {**VALUES, "evaluate.calibrate": "platt"},
    {"train.stop": {"metric": "rmse"}, "build": MLP},
    {"initialize.scheme": "zeros", "build": MLP},
    {"build": [{"family": "linear"}, {"family": "tree", "criterion": "squared_error"}]},
    {**VALUES, "build": [{"family": "forest", "criterion": "gini"}]},
    {"build": [{"family": "linear", "alpha": "auto"}]},
    {"build": [{"family": "svm"}], "evaluate.metrics": ["log_loss"]},
    {"data.target": None, "task": "reconstruction", "build": [{"family": "svm"}]},
    {"prepare.features.columns": {"none": ["standard"]}},
    {"prepare.impute.columns": {"none": "median"}},
    {"prepare.features.columns": {"i": ["standard"]}},
    {"prepare.features.columns": {"c": ["standard"]}},
    {"prepare.features.number": ["one_hot"]},
    {"prepare.features.category": []},
    {"prepare.features.select": {"name": "pca"}},
    {"prepare.impute.columns": {"c": "mean"}},
    {"prepare.impute.number": "none"},
    {"data.types": {"c": "text"}, "prepare.impute.columns": {"c": "constant"}},
    {
        "build": [{"family": "boosting"}],
        "prepare.impute.number": "none",
        "prepare.features.number": ["standard", "pca"],
    },
    {"data.source": "wide.csv", "prepare.features.number": [{"name": "polynomial", "degree": 4}]},
    {"data.drop": ["n", "g", "z", "d", "i", "u"], "prepare.denoise.outliers": {"name": "iqr"}},
    {
        "build": [{"family": "tree", "max_depth": {"low": 1.5, "high": 3}}],
        "evaluate.search": {"trials": 2},
    },
    {
        "build": [{"family": "tree", "max_depth": {"low": 1, "high": 3, "step": 0.5}}],
        "evaluate.search": {"trials": 2},
    },
    {**TEXTS, "build": [{"family": "language", "width": 30, "heads": 4}]},
    {**TEXTS, "build": [{"family": "language"}], "prepare.features.number": ["standard"]},
    {**TEXTS, "build": [{"family": "linear"}]},
    {**WHO, "build": [{"family": "linear"}]},
    {**WHO, "build": [{"family": "als"}], "prepare.impute.number": "median"},
    {**WHO, "build": [{"family": "als"}], "evaluate.metrics": ["rmse"]},
    {
        **WHO,
        "build": [{"family": "als"}],
        "data.time": "time",
        "evaluate": {"scheme": "leave_last", "folds": 40},
    },
    {"evaluate": {"scheme": "leave_last"}},
    *([] if torch.cuda.is_available() else [{"budget.device": "cuda"}]),
    {"budget.disk": "5KB"},
    {"build": MLP, "budget.data_parallel": 64},  # more than there are cores
    {"build": "auto", "budget.data_parallel": 2},  # solvers among them
    {"build": MLP, "train.batch_size": 1, "budget.data_parallel": 2},
    {"budget.data_parallel": 2},
]
REASONS = {  # of refusals that no recipe above meets: a folder, a file, or a file's function
    "bundle/": "after training, or of a bundle",
    "serve/": "of a server",
    "service/": "of the service",
    "cli/": "of the command line",
    "package/own_bundle.py": "of a run folder, which check has none of",
    "core/": "of files and names, for whoever calls",
    "data/": "one reader for run and check",
    "runs/": "while a run goes on",
    "recipe/": "one reader for run and check",
    "train/range_test.py": "the schema refuses it",
    "train/starting.py": "what all rows show in training",
    "train/stopping.py": "in training",
    "train/compiling.py": "a rule of recipe/",
    "train/stepper.py": "a rule of recipe/",
    "train/device.py:enough_memory": "in training",
    "pipeline.py:read": "of a table in memory, which check has none of",
    "plan/candidates.py:_check_task": "a rule of recipe/",
    "plan/limits.py": "of a test of its own",
    "plan/machines.py": "of the command line",
    "plan/rules.py:signature_can_be_written": "of a test of its own",
    "initialize/variance_scaling.py": "a fault of ours",
    "build/als.py": "in training",
    "build/bpr.py": "in training",
    "build/_classes.py": "what the rows of a fit show",
    "compress/language/": "a fault of ours",
    "parts/gguf_shape.py": "of a local checkpoint; refused in tests of its own",
    "build/_language_tuning.py": "of a local checkpoint; refused in tests of its own",
    "build/language.py:_of_checkpoint": "of a local checkpoint; refused in tests of its own",
    "build/language.py:work_of": "in training",
    "evaluate/questions.py": "one reader for run and check",
    "evaluate/quantiles.py": "what the rows of inner folds show",
    "evaluate/ray_": "while a run goes on, of a cluster or a node",
    "evaluate/stage_requests.py": "while a run goes on",
    "evaluate/rank_process.py": "while a run goes on",
    "train/rank_group.py": "while a run goes on",
    "train/sharded.py": "of language models; refused in tests of its own",
    "parts/stored_fit.py": "while a run goes on",
    "parts/conversation.py": "one reader for run and check",
    "parts/hub_checkpoint.py": "of a checkpoint on the hub; refused in tests of its own",
    "parts/scratch.py": "the disk, while a run goes on",
    "parts/stored_texts.py": "one reader for run and check",
    "parts/language_": "of a local checkpoint; refused in tests of its own",
    "parts/messages.py": "one reader for run and check, and for the server",
    "plan/rules.py:questions_can_be_read": "one reader for run and check",
    "prepare/documents.py:fit_documents": "what the rows of a fit show",
    "train/adapters/": "of a local checkpoint; refused in tests of its own",
    "build/image_encoder.py": "of a local checkpoint; refused in tests of its own",
    "build/speech_encoder.py": "of a local checkpoint; refused in tests of its own",
    "build/text_encoder.py": "of a local checkpoint; refused in tests of its own",
    "build/whisper.py": "of a local checkpoint; refused in tests of its own",
    "parts/whisper_checkpoint.py": "of a local checkpoint; refused in tests of its own",
    "build/language.py": "of language models; refused in tests of its own",
    "build/module_family.py": "in training",
    "build/_fitted_audio.py:recordings_of": "the layout is read before (evaluate/model.py)",
    "build/_fitted_audio.py:samples_at": "of a local checkpoint; refused in tests of its own",
    "build/_image_family.py:image_of": "the layout is read before (evaluate/model.py)",
    "build/_token_network.py:tokens_of": "the layout is read before (evaluate/model.py)",
    "parts/checkpoint": "of a local checkpoint; refused in tests of its own",
    "parts/file_cells.py": "one reader for run and check",
    "parts/image_checkpoint.py": "of a local checkpoint; refused in tests of its own",
    "parts/decoded_rows.py": "one reader for run and check",
    "parts/image_store.py": "one reader for run and check",
    "parts/speech_checkpoint.py": "of a local checkpoint; refused in tests of its own",
    "prepare/features/mel_statistics.py": "of recordings; refused in tests of its own",
    "parts/language_checkpoint.py": "of a local checkpoint; refused in tests of its own",
    "parts/language_network.py": "an extra that is not installed",
    "parts/text_tokenizer.py": "of a local checkpoint; refused in tests of its own",
    "parts/modality.py": "one reader for run and check",
    "prepare/text/": "of a local checkpoint; one reader for run and check",
    "prepare/embedded_images.py": "of a local checkpoint; one reader for run and check",
    "prepare/features/tokens.py:_of_checkpoint": "of a local checkpoint; one reader for run and check",
    "prepare/features/embedding.py": "of a local checkpoint; one reader for run and check",
    "prepare/features/ngrams.py:fit": "what the rows of a fit show",
    "prepare/documents.py": "of language models; refused in tests of their own",
    "select/comparison.py:searched": "time, while a run goes on",
    "select/around.py": "time, while a run goes on",
    "select/bagging.py": "time, and rows outside of two folds, while a run goes on",
    "select/nested.py": "after training",
    "select/comparison.py:refit_end": "time, while a run goes on",
    "compress/retraining.py:_check_time": "time, while a run goes on",
    "evaluate/model.py": "after preparation",
    "select/leaderboard.py": "after training",
    "compress/measure.py": "after training",
    "compress/served_cost.py": "what candidates take, after training",
    "package/kept_limits.py": "after training",
    "evaluate/cross_validation.py": "time, while a run goes on",
    "evaluate/cross_fit.py": "what the rows of a fold show",
    "prepare/denoising.py:clean": "what the rows of a fold show",
    "prepare/denoising.py:_check_rows": "what the rows of a fold show",
    "prepare/denoising.py:_columns": "what a fold shows",
    "evaluate/folds.py:make": "rules of recipe/, and tried above",
    "evaluate/splitters/": "tried above, or rules of recipe/",
}


class Outcome(NamedTuple):
    """Of one recipe: what check told, what run raised before it trained ('' where it did train),
    and who raised.
    """

    told: list[str]
    refused: str
    raisers: set[str]


class Trained(Exception):
    """In the place of the first training."""


def write_tables(folder: Path) -> None:
    rows = [
        f"{i / 7:.3f},{'' if i % 9 == 4 else i % 13},{'pqr'[i % 3]},id{i:05d},{i % 11},2024-01-{1 + i % 28:02d},"
        f"{'tf'[i % 3 == 0]},{'klm'[i % 3] if i else 'k'},{i * 1.5 % 17:.2f}"
        for i in range(90)
    ]
    (folder / "t.csv").write_text("n,g,c,i,u,d,b,y,z\n" + "\n".join(rows) + "\n")
    (folder / "twice.csv").write_text("n,g,c,i,u,d,b,y,z\n" + "\n".join(rows[:45] * 2) + "\n")
    names = [f"x{i}" for i in range(40)]
    wide = [
        ",".join([*(f"{(i * j) % 7 + j / 9:.2f}" for j in range(40)), "kl"[i % 2]])
        for i in range(60)
    ]
    (folder / "wide.csv").write_text(",".join([*names, "y"]) + "\n" + "\n".join(wide) + "\n")

    pairs = [f"u{i % 12},i{(i * i) % 17 + i % 12},{i}" for i in range(120)]
    (folder / "who.csv").write_text("user,item,time\n" + "\n".join(pairs) + "\n")


def recipe(changes: dict[str, Any]) -> str:
    value = yaml.safe_load(yaml.safe_dump(BASE))
    for path, item in changes.items():
        *sections, key = path.split(".")
        inner = value
        for section in sections:
            inner = inner.setdefault(section, {})
        if item is None:
            inner.pop(key, None)
        else:
            inner[key] = item
    return yaml.safe_dump(value)


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Outcome]]:
    folder = tmp_path_factory.mktemp("planning")
    write_tables(folder)

    def train(*_: Any) -> None:
        raise Trained

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(cross_validation, "evaluate_folds", train)
        patch.setattr(
            forecast, "forecasts", lambda *_: ([], [])
        )  # the rules alone are asked, without a trial
        patch.setattr(check, "_disk", lambda _: None)
        patch.setattr(lone_predictors, "warning", lambda *_: "")  # which refuses nothing
        yield {str(changes): _outcome(folder, changes) for changes in [*ACCEPTED, *REFUSED]}


def _outcome(folder: Path, changes: dict[str, Any]) -> Outcome:
    path = folder / "r.yaml"
    path.write_text(recipe(changes))
    try:
        loaded = load.load(path)
    except SixfoldError as error:  # what the recipe alone shows
        return Outcome([str(one) for one in load.problems(path)], str(error), {_raiser(error)})
    found, _ = check._beyond(loaded)
    raisers = {_raiser(error) for error in found}
    try:
        pipeline.run(loaded, folder / "out")
    except Trained:
        return Outcome([str(error) for error in found], "", raisers)
    except SixfoldError as error:
        return Outcome(
            [str(one) for one in found], str(error), raisers | {_raiser(error.__cause__ or error)}
        )
    raise AssertionError("it trained without training")


def _raiser(error: BaseException) -> str:
    frames = [
        f
        for f in traceback.extract_tb(error.__traceback__)
        if Path(f.filename).is_relative_to(SOURCE)
    ]
    return f"{Path(frames[-1].filename).relative_to(SOURCE)}:{frames[-1].name}" if frames else ""


@pytest.mark.parametrize("changes", ACCEPTED, ids=str)
def test_what_can_be_trained_is_accepted(
    outcomes: dict[str, Outcome], changes: dict[str, Any]
) -> None:
    assert outcomes[str(changes)][:2] == ([], "")


@pytest.mark.parametrize("changes", REFUSED, ids=str)
def test_check_and_run_refuse_in_the_same_words(
    outcomes: dict[str, Outcome], changes: dict[str, Any]
) -> None:
    told, refused, _ = outcomes[str(changes)]
    assert refused
    assert told[0] == refused
    assert len(set(told)) == len(told)


@pytest.mark.parametrize("words", ["in use before", "a forecast of"])
def test_memory_that_is_not_there_is_refused_by_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: str
) -> None:
    """In words of their own: what a process holds differs from one moment to the next."""
    monkeypatch.chdir(tmp_path)
    write_tables(tmp_path)
    budget = "1MiB" if words == "in use before" else f"{held_bytes() // 1000 + 20_000}KB"
    (tmp_path / "r.yaml").write_text(recipe({"budget.memory": budget}))
    loaded = load.load(tmp_path / "r.yaml")
    (told,), _ = check._beyond(loaded)
    assert words in str(told)
    with pytest.raises(BudgetError) as caught:
        pipeline.run(loaded, tmp_path / "out")
    assert caught.value.where == told.where


@pytest.mark.parametrize("what", list(MOST))
def test_a_table_whose_signature_nobody_could_read_is_refused_by_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(MOST, what, 1)  # type: ignore[misc]
    write_tables(tmp_path)
    (tmp_path / "r.yaml").write_text(recipe({}))
    loaded = load.load(tmp_path / "r.yaml")
    (told,), _ = check._beyond(loaded)
    assert (told.expected, told.where.endswith("data.source")) == (f"at most 1 {what}", True)
    with pytest.raises(DataError) as caught:
        pipeline.run(loaded, tmp_path / "out")
    assert (caught.value.expected, caught.value.found) == (told.expected, told.found)


def test_every_refusal_is_met_or_has_its_reason(outcomes: dict[str, Outcome]) -> None:
    """Whoever adds one adds a recipe to REFUSED, or says in REASONS why `check` cannot see it."""
    met = {raiser for outcome in outcomes.values() for raiser in outcome.raisers}
    written = {place for path in sorted(SOURCE.rglob("*.py")) for place in _refusals(path)}
    alone = {place for place in written - met if not any(map(place.startswith, REASONS))}
    assert alone == set()
    assert [
        reason for reason in REASONS if not any(place.startswith(reason) for place in written)
    ] == []


def _refusals(path: Path) -> Iterator[str]:
    kinds = {"RecipeError", "DataError", "FitError", "BudgetError", "SystemFault"}
    for function in ast.walk(ast.parse(path.read_text())):
        if isinstance(function, ast.FunctionDef):
            for node in ast.walk(function):
                made = node.exc if isinstance(node, ast.Raise) else None
                if (
                    isinstance(made, ast.Call)
                    and isinstance(made.func, ast.Name)
                    and made.func.id in kinds
                ):
                    yield f"{path.relative_to(SOURCE)}:{function.name}"
