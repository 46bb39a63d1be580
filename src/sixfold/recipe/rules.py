"""What the sections of a recipe demand of each other: small named rules, each a generator of mistakes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

from sixfold.core.errors import RecipeError, did_you_mean
from sixfold.recipe.kinds import METRIC, SPLITTER
from sixfold.recipe.schema import Recipe
from sixfold.recipe.yaml_nodes import Document, Path

Problems = Iterator[RecipeError]
FITS: Final = {"neurons": "mlp", "complexity": "tree", "rounds": "boosting", "support_vectors": "svm"}


def families(recipe: Recipe) -> set[str] | None:
    """The families that `build` names; None for auto."""
    return None if recipe.build == "auto" else {str(options.get("family")) for options in recipe.build}


def version_and_target(recipe: Recipe, document: Document) -> Problems:
    """A reconstruction has no target; everything else needs one."""
    target = recipe.data.target
    if recipe.task == "reconstruction" and target is not None:
        yield RecipeError(
            document.place(("data", "target")), "no target for reconstruction", f"'{target}'", "Remove the key."
        )
    if recipe.task != "reconstruction" and target is None:
        yield RecipeError(
            document.place(("data",)),
            "the key 'target'",
            "none",
            "Name the column to predict, or task: reconstruction.",
        )


def scheme_exists(recipe: Recipe, document: Document) -> Problems:
    """`evaluate.scheme` is auto or a splitter."""
    names = ["auto", *SPLITTER.names()]
    if recipe.evaluate.scheme not in names:
        yield RecipeError(
            document.place(("evaluate", "scheme")), "the name of a splitter", f"'{recipe.evaluate.scheme}'",
            did_you_mean(recipe.evaluate.scheme, names),
        )  # fmt: skip


def scheme_has_its_column(recipe: Recipe, document: Document) -> Problems:
    """group needs data.group, time_series needs data.time."""
    for scheme, key in (("group", "group"), ("time_series", "time")):
        if recipe.evaluate.scheme == scheme and getattr(recipe.data, key) is None:
            yield RecipeError(
                document.place(("evaluate", "scheme")), f"data.{key} for the scheme {scheme}", "none",
                f"Name the column in data.{key}, or choose another scheme.",
            )  # fmt: skip


def metrics_exist(recipe: Recipe, document: Document) -> Problems:
    """Names of metrics, in evaluate and in keep."""
    named: list[tuple[Path, str]] = [(("evaluate", "metrics", i), n) for i, n in enumerate(recipe.evaluate.metrics)]
    keep = recipe.compress.keep if recipe.compress else {}
    for path, name in [*named, *((("compress", "keep", name), name) for name in keep)]:
        if name not in METRIC.names():
            yield RecipeError(
                document.place(path), "the name of a metric", f"'{name}'", did_you_mean(name, METRIC.names())
            )


def keep_is_measured(recipe: Recipe, document: Document) -> Problems:
    """A metric in keep must be among those that are measured."""
    metrics = recipe.evaluate.metrics
    for name in recipe.compress.keep if recipe.compress and metrics else ():
        if name in METRIC.names() and name not in metrics:
            yield RecipeError(
                document.place(("compress", "keep", name)), f"a metric of evaluate.metrics ({', '.join(metrics)})",
                f"'{name}'", "Add it to evaluate.metrics.",
            )  # fmt: skip


def lbfgs_takes_all_rows(recipe: Recipe, document: Document) -> Problems:
    """L-BFGS compares losses of the same rows: it needs the full batch."""
    optimizer: Any = recipe.train.get("optimizer", "adam")
    name = optimizer.get("name") if isinstance(optimizer, dict) else optimizer
    if name == "lbfgs" and recipe.train.get("batch_size", 64) != "full":
        yield RecipeError(
            document.place(("train", "optimizer")), "batch_size: full with lbfgs",
            str(recipe.train.get("batch_size", "64 (the default)")), "Write `batch_size: full`.",
        )  # fmt: skip


def pruning_fits_a_family(recipe: Recipe, document: Document) -> Problems:
    """neurons of an mlp, rounds of boosting, and so on: one of the candidates must be of that family."""
    named = families(recipe)
    for number, options in enumerate(recipe.compress.prune if recipe.compress and named is not None else ()):
        family = FITS.get(str(options.get("target")))
        if family is not None and named is not None and family not in named:
            yield RecipeError(
                document.place(("compress", "prune", number)), f"a candidate of the family {family}",
                f"{', '.join(sorted(named))}", f"Remove the pruning of {options['target']}, or add a candidate.",
            )  # fmt: skip


def quantize_needs_a_network(recipe: Recipe, document: Document) -> Problems:
    """int8 is for networks."""
    named = families(recipe)
    if recipe.compress and recipe.compress.quantize and named is not None and "mlp" not in named:
        yield RecipeError(
            document.place(("compress", "quantize")), "a candidate of the family mlp", ", ".join(sorted(named)),
            "Remove quantize, or use fixed_point.",
        )  # fmt: skip


def holdout_is_a_share_or_a_count(recipe: Recipe, document: Document) -> Problems:
    """0.2 is a share, 100 a count, 1.5 neither."""
    value = recipe.data.holdout
    if value >= 1 and value != int(value):
        yield RecipeError(
            document.place(("data", "holdout")), "a share below 1, or a whole number of rows", str(value), "Change it."
        )


RULES: Final[tuple[Callable[[Recipe, Document], Problems], ...]] = (
    version_and_target, scheme_exists, scheme_has_its_column, metrics_exist, keep_is_measured, lbfgs_takes_all_rows,
    pruning_fits_a_family, quantize_needs_a_network, holdout_is_a_share_or_a_count,
)  # fmt: skip
