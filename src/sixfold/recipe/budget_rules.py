"""What the keys of `budget` demand of each other: rules of the list in `recipe.rules`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from sixfold.core.errors import RecipeError
from sixfold.recipe.kinds import FAMILY
from sixfold.recipe.schema import Recipe
from sixfold.recipe.task import OWN_RUNTIMES
from sixfold.recipe.validate import facts, show
from sixfold.recipe.yaml_nodes import Document

PARTLY: Final = ("adapt", "freeze")  # options of families that learn a part of the weights


def workers_are_elsewhere(recipe: Recipe, document: Document) -> Iterator[RecipeError]:
    """The run's own process does one stage after the other."""
    workers = recipe.budget.workers
    if recipe.budget.executor == "here" and workers is not None and workers > 1:
        yield RecipeError(
            document.place(("budget", "workers")),
            "1 with executor: here",
            show(workers),
            "Leave workers out, or choose executor: processes or ray.",
        )


def served_limits_need_a_graph(recipe: Recipe, document: Document) -> Iterator[RecipeError]:
    """What is measured of candidates is their graph."""
    for key in ("bundle", "latency"):
        if recipe.task_name in OWN_RUNTIMES and getattr(recipe.budget, key) is not None:
            place, remedy = document.place(("budget", key)), "Leave it out."
            yield RecipeError(
                place, "a task whose model is one graph", f"the task {recipe.task_name}", remedy
            )


def strategies_need_a_module(recipe: Recipe, document: Document) -> Iterator[RecipeError]:
    """Stacked networks have no batch to divide, and one fused optimizer."""
    strategy, named = recipe.budget.asked_strategy(), recipe.families
    of_modules = ("micro_batch", "gradient_checkpointing", "offload")
    asked = [key for key in of_modules if getattr(strategy, key)]
    modules = [name for name in named or () if facts(FAMILY.name, name).get("one_module")]
    if asked and named is not None and not modules:
        place, remedy = document.place(("budget", "strategy", asked[0])), "Leave it out."
        yield RecipeError(place, "a family that is one module", ", ".join(named), remedy)


def data_parallel_trains_networks(recipe: Recipe, document: Document) -> Iterator[RecipeError]:
    """A solver has no batches that could be shared out."""
    if recipe.budget.data_parallel == 1:
        return
    for number, name in enumerate(recipe.families or ()):
        if not facts(FAMILY.name, name).get("trained_by_the_loop"):
            yield RecipeError(
                document.place(("build", number, "family")),
                "a network, as budget.data_parallel divides batches",
                f"'{name}', whose solver has none",
                "Leave budget.data_parallel out, or name networks alone.",
            )


def data_parallel_has_the_machine(recipe: Recipe, document: Document) -> Iterator[RecipeError]:
    """Its processes take the cores, one training after the other; and they agree on every step."""
    budget, place = recipe.budget, document.place(("budget", "data_parallel"))
    if budget.data_parallel == 1:
        return
    found = show(budget.data_parallel)
    if budget.workers not in (None, 1) or budget.executor not in (None, "here"):
        remedy = "Leave one of the two out: workers do stages side by side, data_parallel divides one training."
        yield RecipeError(place, "1 where workers do the stages", found, remedy)
    if budget.device != "cpu":
        remedy = "Leave data_parallel out, or write `device: cpu`."
        yield RecipeError(place, f"1 with device: {budget.device}", found, remedy)
    if budget.strategy != "auto" and budget.asked_strategy().adapt:
        remedy = "Leave adapt out: one process alone cannot change how all of them go on."
        yield RecipeError(place, "1 with strategy: {adapt: true}", found, remedy)


def sharding_has_ranks(recipe: Recipe, document: Document) -> Iterator[RecipeError]:
    """Weights are divided among processes that train together, of networks that are put together layer by layer."""
    strategy, named = recipe.budget.asked_strategy(), recipe.families
    if not strategy.shard:
        return
    place = document.place(("budget", "strategy", "shard"))
    if recipe.budget.data_parallel == 1:
        remedy = "Write data_parallel: 2 or more, or leave shard out."
        yield RecipeError(place, "budget.data_parallel above 1", "1", remedy)
    if strategy.offload:
        remedy = "Leave one of the two out."
        yield RecipeError(place, "no offload beside it", "offload: true", remedy)
    others = [
        name for name in named or ("auto",) if name not in FAMILY.names() or not _shards(name)
    ]
    if others:
        sharded = ", ".join(name for name in FAMILY.names() if _shards(name))
        yield RecipeError(
            place, f"families that can be sharded ({sharded})", others[0], "Leave it out."
        )


def sharding_learns_all_weights(recipe: Recipe, document: Document) -> Iterator[RecipeError]:
    """What is divided are weights that are learned, and their optimizer's state."""
    strategy = recipe.budget.asked_strategy()
    if not strategy.shard:
        return
    asked = [("adapter", strategy.adapter)] if strategy.adapter is not None else []
    for item in () if recipe.build == "auto" else recipe.build:
        told = [(key, item[key]) for key in PARTLY if isinstance(item, dict) and key in item]
        asked += [(key, value) for key, value in told if value not in (None, "whole")]
    for key, value in asked:
        place = document.place(("budget", "strategy", "shard"))
        remedy = "Leave one of the two out."
        yield RecipeError(place, "a training of all weights", f"{key}: {show(value)}", remedy)


def _shards(family: str) -> bool:
    return bool(facts(FAMILY.name, family).get("shards"))
