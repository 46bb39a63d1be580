"""What the sections of a recipe demand of each other: small named rules, each a generator of
mistakes.

What a rule must know of a plug-in it reads from schema.json: no plug-in is imported.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, Final

from sixfold.core.errors import RecipeError, did_you_mean
from sixfold.recipe.budget_rules import (
    data_parallel_has_the_machine,
    data_parallel_trains_networks,
    served_limits_need_a_graph,
    sharding_has_ranks,
    sharding_learns_all_weights,
    strategies_need_a_module,
    workers_are_elsewhere,
)
from sixfold.recipe.generation_rules import (
    texts_are_filtered_for_generation,
    texts_are_not_averaged,
    texts_are_not_weighed,
)
from sixfold.recipe.group_rules import groups_stay_together, pattern_has_its_column
from sixfold.recipe.kinds import FAMILY, METRIC, OPTIMIZER, SPLITTER
from sixfold.recipe.published import schema
from sixfold.recipe.recommendation_rules import RULES as OF_RECOMMENDATIONS
from sixfold.recipe.schema import Recipe, Weighing
from sixfold.recipe.space import ranges, unfit
from sixfold.recipe.transcription_rules import transcripts_are_whole
from sixfold.recipe.validate import facts, grid_size, options, show
from sixfold.recipe.value_rules import (
    intervals_are_calibrated,
    metrics_fit_the_quantiles,
    quantiles_are_learned,
    quantiles_rise,
    several_targets_are_values,
    task_and_target,
)
from sixfold.recipe.yaml_nodes import Document, Path

Problems = Iterator[RecipeError]
FITS: Final = {
    "neurons": ("mlp",),
    "channels": ("audio_cnn", "cnn", "language"),
    "layers": ("language",),
    "heads": ("language",),
    "complexity": ("tree",),
    "rounds": ("boosting",),
    "support_vectors": ("svm",),
}
FACTORS: Final = ("als", "bpr")  # families of vectors without a network
OF_EVERY_FAMILY: Final = tuple(Weighing.model_fields)  # keys of `train` that are not the loop's
MOST_CANDIDATES = 10_000  # a guess: each is trained on every fold


def one_part_a_column(recipe: Recipe, document: Document) -> Problems:
    """The target is not dropped, groups no rows, orders and weighs none."""
    data = recipe.data
    named: list[tuple[Path, str | None]] = [
        (("data", key), getattr(data, key)) for key in ("group", "time", "weight")
    ]
    for path, name in [
        *named,
        *((("data", "drop", number), name) for number, name in enumerate(data.drop)),
    ]:
        if name in data.targets:
            yield RecipeError(
                document.place(path),
                "a column other than the target",
                f"'{name}'",
                "Name another, or leave it out.",
            )


def holdout_is_a_share_or_a_count(recipe: Recipe, document: Document) -> Problems:
    """0.2 is a share, 100 a count, 1.5 neither."""
    value = recipe.data.holdout
    if value >= 1 and value != int(value):
        yield RecipeError(
            document.place(("data", "holdout")),
            "a share below 1, or a whole number of rows",
            str(value),
            f"Write {value % 1:g} for a share, or {math.ceil(value)} for a number of rows.",
        )


def one_holdout(recipe: Recipe, document: Document) -> Problems:
    """A file of test rows, or a share of the rows: not both."""
    section = document.value.get("data") if isinstance(document.value, dict) else None
    share = section.get("holdout", 0) if isinstance(section, dict) else 0
    if recipe.data.test is not None and share:
        yield RecipeError(
            document.place(("data", "holdout")),
            "no share beside data.test, whose rows are the holdout",
            f"{share}",
            "Leave out data.holdout, or data.test.",
        )


def rare_classes_of_one_file(recipe: Recipe, document: Document) -> Problems:
    """A file of test rows has the training file's classes as they are."""
    if recipe.data.test is not None and recipe.data.rare != "keep":
        yield RecipeError(
            document.place(("data", "rare")),
            "keep beside data.test",
            recipe.data.rare,
            "Leave out data.rare, or hold a share out of data.source with data.holdout.",
        )


def names_without_a_header(recipe: Recipe, document: Document) -> Problems:
    """data.names are for a file that names no columns itself."""
    if recipe.data.names and recipe.data.header:
        yield RecipeError(
            document.place(("data", "names")),
            "data.header: false with data.names",
            "a file with a header",
            "Say header: false if the first line of the file is a row; else leave names out.",
        )


def families_fit_the_task(recipe: Recipe, document: Document) -> Problems:
    """Not every family reconstructs."""
    for number, name in enumerate(recipe.families or ()):
        if (
            recipe.task_name is not None
            and recipe.task_name not in facts(FAMILY.name, name)["tasks"]
        ):
            place = document.place(("build", number, "family"))
            yield _wrong_task(place, FAMILY.name, "families", name, recipe.task_name)


def metrics_fit_the_task(recipe: Recipe, document: Document) -> Problems:
    """Accuracy is for classes, RMSE for values."""
    named: list[tuple[Path, str]] = [
        (("evaluate", "metrics", i), n) for i, n in enumerate(recipe.evaluate.metrics)
    ]
    stop: Any = recipe.train.get("stop")
    watched = stop.get("metric", "loss") if isinstance(stop, dict) else "loss"
    for name in watched if isinstance(watched, list) else [watched]:
        named += [] if name == "loss" else [(("train", "stop", "metric"), name)]
    for path, name in named:
        if (
            recipe.task_name is not None
            and recipe.task_name not in facts(METRIC.name, name)["tasks"]
        ):
            yield _wrong_task(document.place(path), METRIC.name, "metrics", name, recipe.task_name)


def _wrong_task(place: str, kind: str, many: str, name: str, task: str) -> RecipeError:
    names = (FAMILY if kind == FAMILY.name else METRIC).names()
    able = [other for other in names if task in facts(kind, other)["tasks"]]
    fitting = ", ".join(other for other in able if facts(kind, other).get("of_quantiles") != "only")
    tasks = ", ".join(facts(kind, name)["tasks"])
    return RecipeError(
        place, f"{many} for {task}", f"'{name}', which is for {tasks}", f"Choose from: {fitting}."
    )


def scheme_has_its_column(recipe: Recipe, document: Document) -> Problems:
    """group needs data.group, time_series needs data.time."""
    for scheme, key in (("group", "group"), ("time_series", "time")):
        if recipe.evaluate.scheme == scheme and getattr(recipe.data, key) is None:
            yield RecipeError(
                document.place(("evaluate", "scheme")),
                f"data.{key} for the scheme {scheme}",
                "none",
                f"Name the column in data.{key}, or choose another scheme.",
            )


def scheme_has_the_option(recipe: Recipe, document: Document) -> Problems:
    """Leave-one-out has no number of folds; only `repeated` repeats; only `holdout` has a share."""
    scheme = recipe.evaluate.scheme
    for key in ("folds", "repeats", "share"):
        if (
            scheme == "auto"
            or getattr(recipe.evaluate, key) is None
            or key in options(SPLITTER.name, scheme)
        ):
            continue
        known = ", ".join(options(SPLITTER.name, scheme)) or "none"
        others = [name for name in SPLITTER.names() if key in options(SPLITTER.name, name)]
        yield RecipeError(
            document.place(("evaluate", key)),
            f"an option of {scheme} ({known})",
            key,
            f"Leave {key} out, or choose a scheme that has it: {', '.join(others)}.",
        )


def keep_is_measured(recipe: Recipe, document: Document) -> Problems:
    """What is kept is a metric, and among those that are measured."""
    metrics = recipe.evaluate.metrics
    for name in recipe.compress.keep if recipe.compress else ():
        place = document.place(("compress", "keep", name))
        if name not in METRIC.names():
            yield RecipeError(
                place, "the name of a metric", f"'{name}'", did_you_mean(name, METRIC.names())
            )
        elif metrics and name not in metrics:
            yield RecipeError(
                place,
                f"a metric of evaluate.metrics ({', '.join(metrics)})",
                f"'{name}'",
                "Add it to evaluate.metrics.",
            )


def lbfgs_takes_all_rows(recipe: Recipe, document: Document) -> Problems:
    """L-BFGS compares losses of the same rows: it needs the full batch, in every corner of a
    grid.
    """
    optimizer, size = recipe.train.get("optimizer", "adam"), recipe.train.get("batch_size", 64)
    tried = [item.get("name") if isinstance(item, dict) else item for item in _listed(optimizer)]
    if "lbfgs" in tried and any(item != "full" for item in _listed(size)):
        found = (
            ", ".join(map(str, _listed(size)))
            if "batch_size" in recipe.train
            else "64 (the default)"
        )
        yield RecipeError(
            document.place(("train", "optimizer")),
            "batch_size: full with lbfgs",
            found,
            "Write `batch_size: full`.",
        )


def compiling_needs_layers(recipe: Recipe, document: Document) -> Problems:
    """Layers of some families alone become programs; `build: auto` tries what learns the task."""
    tried = recipe.families or [
        name for name in FAMILY.names() if recipe.task_name in facts(FAMILY.name, name)["tasks"]
    ]
    able = [name for name in tried if facts(FAMILY.name, name).get("layers_compile")]
    if "on" in _listed(recipe.train.get("compile", "off")) and not able:
        place, remedy = document.place(("train", "compile")), "Leave it out."
        yield RecipeError(
            place, "auto or off: layers of language models alone are compiled", "on", remedy
        )


def schedule_free_has_no_schedule(recipe: Recipe, document: Document) -> Problems:
    """An optimizer that averages its own path wants one rate from the first step to the last."""
    tried = [
        item.get("name") if isinstance(item, dict) else item
        for item in _listed(recipe.train.get("optimizer", "adam"))
    ]
    free = [str(name) for name in tried if facts(OPTIMIZER.name, str(name)).get("schedule_free")]
    schedules = [
        item.get("name") if isinstance(item, dict) else item
        for item in _listed(recipe.train.get("schedule", "constant"))
    ]
    if free and any(name != "constant" for name in schedules):
        found = ", ".join(map(str, schedules))
        yield RecipeError(
            document.place(("train", "schedule")),
            f"constant with {free[0]}",
            found,
            "Leave out `schedule`.",
        )
    if free and any(_listed(recipe.train.get("warm_up", 0.0))):
        yield RecipeError(
            document.place(("train", "warm_up")),
            f"none with {free[0]}",
            str(recipe.train["warm_up"]),
            "Leave out `warm_up`.",
        )


def pruning_fits_a_family(recipe: Recipe, document: Document) -> Problems:
    """neurons of an mlp, rounds of boosting, and so on: one of the candidates must be of that
    family.
    """
    named = recipe.families
    for number, asked in enumerate(
        recipe.compress.prune if recipe.compress and named is not None else ()
    ):
        fitting = FITS.get(str(asked["target"]), ())
        if fitting and named is not None and not set(fitting) & set(named):
            yield RecipeError(
                document.place(("compress", "prune", number)),
                f"a candidate of the family {' or '.join(fitting)}",
                f"{', '.join(sorted(set(named)))}",
                f"Remove the pruning of {asked['target']}, or add a candidate.",
            )


def quantize_needs_a_network(recipe: Recipe, document: Document) -> Problems:
    """int8 is for networks, and for other vectors."""
    named = recipe.families
    known = schema()["x-plugins"][FAMILY.name]
    networks = [
        name
        for name in known
        if facts(FAMILY.name, name).get("trained_by_the_loop", False) or name in FACTORS
    ]
    if (
        recipe.compress
        and recipe.compress.quantize
        and named is not None
        and not set(named) & set(networks)
    ):
        yield RecipeError(
            document.place(("compress", "quantize")),
            f"a network ({', '.join(networks)})",
            ", ".join(sorted(set(named))),
            "Remove quantize, or use fixed_point.",
        )


def bits_fit_the_task(recipe: Recipe, document: Document) -> Problems:
    """Four bits are for language models."""
    weights = (
        recipe.compress.quantize.weights if recipe.compress and recipe.compress.quantize else ""
    )
    if weights not in ("", "int8") and recipe.task_name not in (None, "generation"):
        yield RecipeError(
            document.place(("compress", "quantize")),
            f"int8 for {recipe.task_name}",
            weights,
            "Write quantize: int8; int4 and gptq are for task: generation.",
        )


def a_language_model_keeps_its_activations(recipe: Recipe, document: Document) -> Problems:
    """Its weights alone have fewer bits, and no fixed point."""
    section = recipe.compress
    if recipe.task_name != "generation" or section is None:
        return
    if section.quantize is not None and "activations" in section.quantize.model_fields_set:
        yield RecipeError(
            document.place(("compress", "quantize", "activations")),
            "none for a language model, whose weights alone have fewer bits",
            section.quantize.activations,
            "Remove the key.",
        )
    if section.fixed_point is not None:
        yield RecipeError(
            document.place(("compress", "fixed_point")),
            "none for a language model",
            f"factor {section.fixed_point.factor}",
            "Write quantize: int8, int4 or gptq.",
        )


def grids_can_be_counted(recipe: Recipe, document: Document) -> Problems:
    """Ten options with ten values each are ten billion candidates; a search tries as many as it is
    told.
    """
    if recipe.build == "auto" or recipe.evaluate.search is not None:
        return
    loops, total = grid_size("Train", recipe.train), 0
    weighings = grid_size(
        "Train", {key: recipe.train[key] for key in OF_EVERY_FAMILY if key in recipe.train}
    )
    calibrations = grid_size("Evaluate", recipe.evaluate.calibration())
    for item in recipe.build:
        looped = facts(FAMILY.name, item["family"]).get("trained_by_the_loop", False)
        total += (
            grid_size(f"{FAMILY.name}.{item['family']}", item)
            * (loops if looped else weighings)
            * calibrations
        )
    if total > MOST_CANDIDATES:
        yield RecipeError(
            document.place(("build",)),
            f"at most {MOST_CANDIDATES:,} candidates",
            f"{total:,}",
            "Shorten the lists in build, train and evaluate: every combination is a candidate.",
        )


def ranges_are_searched(recipe: Recipe, document: Document) -> Problems:
    """A range has no end of values: only a search can choose from it. Its bounds are in order."""
    items = [] if recipe.build == "auto" else recipe.build
    for path, value in [
        found
        for section in ((("build",), items), (("train",), recipe.train))
        for found in ranges(*section)
    ]:
        if recipe.evaluate.search is None:
            yield RecipeError(
                document.place(path),
                "a value, or a list of values, where nothing is searched",
                show(value),
                "Add `search: {trials: 50}` to evaluate, or list values: [0.01, 0.1, 1].",
            )
        elif problem := unfit(value):
            yield RecipeError(
                document.place(path),
                f"a range ({problem})",
                show(value),
                "Write {low: 0.001, high: 10, log: true}.",
            )


def a_search_has_a_space(recipe: Recipe, document: Document) -> Problems:
    """A search proposes from what `build` names, and drops candidates itself."""
    if recipe.evaluate.search is None:
        return
    if recipe.build == "auto":
        yield RecipeError(
            document.place(("evaluate", "search")),
            "families in `build` to search among",
            "build: auto",
            "Name them, with ranges: build: {family: svm, C: {low: 0.01, high: 100, log: true}}.",
        )
    if recipe.evaluate.select["method"] != "exhaustive":
        yield RecipeError(
            document.place(("evaluate", "select")),
            "no selection beside a search, which has its own `prune`",
            str(recipe.evaluate.select["method"]),
            "Leave out `select`, and choose search.prune: median or halving.",
        )


def nesting_needs_folds(recipe: Recipe, document: Document) -> Problems:
    """The outer folds are of the recipe's own scheme: one that divides the rows into K folds."""
    scheme = recipe.evaluate.scheme
    if (
        recipe.evaluate.nested is None
        or scheme == "auto"
        or "folds" in options(SPLITTER.name, scheme)
    ):
        return
    fitting = [name for name in SPLITTER.names() if "folds" in options(SPLITTER.name, name)]
    yield RecipeError(
        document.place(("evaluate", "nested")),
        "a scheme with a number of folds, to nest by",
        f"'{scheme}'",
        f"Leave nested out (data.holdout tells what to expect, too), or choose from: {', '.join(fitting)}.",
    )


def bags_are_not_compressed(recipe: Recipe, document: Document) -> Problems:
    """A mean of fold models is several models."""
    if recipe.evaluate.bag and recipe.compress is not None:
        place = document.place(("evaluate", "bag"))
        yield RecipeError(place, "no bag beside compress", "both", "Leave one of them out.")


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


RULES: Final[tuple[Callable[[Recipe, Document], Problems], ...]] = (
    task_and_target,
    one_part_a_column,
    holdout_is_a_share_or_a_count,
    one_holdout,
    rare_classes_of_one_file,
    names_without_a_header,
    families_fit_the_task,
    metrics_fit_the_task,
    quantiles_rise,
    quantiles_are_learned,
    metrics_fit_the_quantiles,
    intervals_are_calibrated,
    several_targets_are_values,
    texts_are_not_weighed,
    texts_are_filtered_for_generation,
    *OF_RECOMMENDATIONS,
    transcripts_are_whole,
    scheme_has_its_column,
    pattern_has_its_column,
    scheme_has_the_option,
    groups_stay_together,
    keep_is_measured,
    texts_are_not_averaged,
    bags_are_not_compressed,
    lbfgs_takes_all_rows,
    compiling_needs_layers,
    strategies_need_a_module,
    schedule_free_has_no_schedule,
    pruning_fits_a_family,
    quantize_needs_a_network,
    bits_fit_the_task,
    a_language_model_keeps_its_activations,
    grids_can_be_counted,
    ranges_are_searched,
    a_search_has_a_space,
    nesting_needs_folds,
    served_limits_need_a_graph,
    workers_are_elsewhere,
    data_parallel_trains_networks,
    data_parallel_has_the_machine,
    sharding_has_ranks,
    sharding_learns_all_weights,
)
