"""What the sections demand of each other: every rule, its text, and that no rule is without a
case.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from sixfold.core.errors import RecipeError
from sixfold.recipe import recommendation_rules, rules
from sixfold.recipe.load import from_object
from sixfold.recipe.schema import Recipe
from sixfold.recipe.yaml_nodes import Document

GOOD: dict[str, Any] = {
    "version": 1,
    "data": {"source": "a.csv", "target": "y"},
    "build": ["linear", "mlp"],
    "evaluate": {"metrics": ["accuracy", "f1"]},
}
OF_TEXTS: dict[str, Any] = {
    "task": "generation",
    "data.target": None,
    "build": "language",
    "evaluate": {"metrics": ["bits_per_byte"]},
}
OF_INTERACTIONS: dict[str, Any] = {
    "task": "recommendation",
    "data.target": None,
    "build": "als",
    "evaluate": {"metrics": ["mrr"]},
}
OF_SPEECH: dict[str, Any] = {
    "task": "transcription",
    "build": "ctc",
    "evaluate": {"metrics": ["word_error_rate"]},
}
METRICS_FOR_VALUES = "mae, mape, mse, pinball, r2, rmse, rmsle"
OF_QUANTILES: dict[str, Any] = {
    "task": {"regression": {"quantiles": [0.1, 0.9]}},
    "evaluate": {},
}

# rule, what is laid over the good recipe (None takes a key away), the whole text of each problem
CASES: list[tuple[Callable[..., Any], dict[str, Any], list[str]]] = [
    (
        rules.quantiles_rise,
        {**OF_QUANTILES, "task": {"regression": {"quantiles": [0.9, 0.1, 0.9]}}},
        [
            "task.regression.quantiles: expected quantiles that rise, each once; found 0.9, 0.1, 0.9. Write [0.1, 0.9]."
        ],
    ),
    (
        rules.quantiles_are_learned,
        {**OF_QUANTILES, "build": ["linear", "svm"]},
        [
            "build[1].family: expected a family that learns quantiles; found 'svm'. Choose from: boosting, linear, mlp, "
            "residual_mlp, tabm."
        ],
    ),
    (
        rules.metrics_fit_the_quantiles,
        {**OF_QUANTILES, "evaluate": {"metrics": ["pinball", "mae"]}},
        [
            "evaluate.metrics[1]: expected metrics for quantiles; found 'mae'. Choose from: interval_coverage, "
            "interval_width, pinball."
        ],
    ),
    (
        rules.metrics_fit_the_quantiles,
        {**OF_QUANTILES, "evaluate": {"metrics": ["interval_width", "pinball"]}},
        [
            "evaluate.metrics[0]: expected a first metric whose best score is that of the best model; found 'interval_width', "
            "which an interval without end, or without width, has best. Put pinball first."
        ],
    ),
    (
        rules.metrics_fit_the_quantiles,
        {"task": "regression", "evaluate": {"metrics": ["interval_coverage"]}},
        [
            "evaluate.metrics[0]: expected metrics for a task without quantiles; found 'interval_coverage'. Choose from: "
            "mae, mape, mse, pinball, r2, rmse, rmsle."
        ],
    ),
    (
        rules.intervals_are_calibrated,
        {"task": "regression", "evaluate": {"calibrate": "conformal"}},
        [
            "evaluate.calibrate: expected two quantiles or more, with conformal; found none. Say task: {regression: "
            "{quantiles: [0.1, 0.5, 0.9]}}, or leave calibrate out."
        ],
    ),
    (
        rules.intervals_are_calibrated,
        {**OF_QUANTILES, "evaluate": {"calibrate": ["none", "isotonic"]}},
        [
            "evaluate.calibrate: expected conformal or none, for quantiles; found 'isotonic'. Write calibrate: conformal."
        ],
    ),
    (
        rules.several_targets_are_values,
        {"data.target": ["y", "z"], "task": "classification"},
        [
            "data.target: expected one column for task: classification; found y, z. Name one; several columns of numbers are "
            "a regression."
        ],
    ),
    (
        rules.several_targets_are_values,
        {**OF_QUANTILES, "data.target": ["y", "z"]},
        [
            "task.regression.quantiles: expected one target, of which quantiles are predicted; found 2: y, z. Name one column "
            "in data.target; make a run for each."
        ],
    ),
    (
        rules.texts_are_filtered_for_generation,
        {"prepare.denoise": {"texts": {"least": 3}}},
        [
            "prepare.denoise.texts: expected the task generation, for filters of texts; found a task that is "
            "inferred. Leave texts out, or say task: generation."
        ],
    ),
    (
        recommendation_rules.interactions_are_recommended,
        {"data.interactions": {"user": "u"}},
        [
            "data.interactions: expected the task recommendation, for interactions; found a task that is inferred. Leave "
            "interactions out, or say task: recommendation."
        ],
    ),
    (
        recommendation_rules.interactions_are_recommended,
        {"data.users": {"source": "u.csv"}, "data.items": {"source": "i.csv"}},
        [
            f"data.{part}: expected the task recommendation, for {part}; found a task that is inferred. Leave {part} out, or "
            "say task: recommendation."
            for part in ("users", "items")
        ],
    ),
    (
        recommendation_rules.features_are_read,
        {**OF_INTERACTIONS, "data.users": {"source": "u.csv"}},
        [
            "data.users: expected a family that reads features of users, in build; found als. Add two_tower, or leave users "
            "out."
        ],
    ),
    (
        recommendation_rules.interactions_are_several_columns,
        {**OF_INTERACTIONS, "data.time": "t", "data.interactions": {"user": "t", "item": "item"}},
        [
            "data.interactions.user: expected a column of its own, as 't' is data.time; found 't'. Name another column."
        ],
    ),
    (
        recommendation_rules.interactions_are_several_columns,
        {**OF_INTERACTIONS, "data.interactions": {"item": "user", "least_rating": 3}},
        [
            "data.interactions.item: expected a column of its own, as 'user' is data.interactions.user; found 'user'. Name "
            "another column.",
            "data.interactions.least_rating: expected the column of ratings in data.interactions.rating; found none. Name it, "
            "or leave least_rating out.",
        ],
    ),
    (
        recommendation_rules.interactions_have_no_other_parts,
        {
            **OF_INTERACTIONS,
            "data.group": "g",
            "data.weight": "w",
            "evaluate.ensemble": True,
            "evaluate.bag": True,
            "compress": {"prune": "features", "fixed_point": {"factor": 16}, "quantize": "int8"},
        },
        [
            "data.group: expected the column of users, 'user', to hold out whole users; found 'g'. Write group: user, or leave "
            "it out.",
            "data.weight: expected no weight for task: recommendation; found one. Name it in data.interactions.rating.",
            "evaluate.ensemble: expected no ensemble for task: recommendation; found one. Leave it out.",
            "evaluate.bag: expected no bag for task: recommendation; found one. Leave it out.",
            "compress.prune: expected no prune for task: recommendation; found one. Write compress: {quantize: int8}.",
            "compress.fixed_point: expected no fixed_point for task: recommendation; found one. Write compress: {quantize: "
            "int8}.",
        ],
    ),
    (
        rules.texts_are_not_weighed,
        {**OF_TEXTS, "data.weight": "w", "train": {"class_weight": "balanced"}},
        [
            "data.weight: expected no weights of rows for task: generation; found 'w'. Leave it out; to learn some texts more "
            "often, repeat them in the source.",
            "train.class_weight: expected no weights of classes for task: generation; found the text 'balanced'. Leave it out; "
            "to learn some texts more often, repeat them in the source.",
        ],
    ),
    (
        rules.texts_are_not_weighed,
        {"task": "regression", "evaluate.metrics": ["mse"], "train": {"class_weight": "balanced"}},
        [
            "train.class_weight: expected no weights of classes for task: regression; found the text 'balanced'. Leave it out; "
            "data.weight weighs rows."
        ],
    ),
    (
        rules.task_and_target,
        {"data.target": None},
        [
            "data: expected the key 'target'; found none. Name the column to predict, or say task: reconstruction, "
            "generation or recommendation."
        ],
    ),
    (
        rules.task_and_target,
        {"task": "reconstruction", "evaluate.metrics": ["mse"]},
        ["data.target: expected no target for reconstruction; found 'y'. Remove the key."],
    ),
    (
        rules.one_part_a_column,
        {"data.group": "y", "data.weight": "y", "data.drop": ["a", "y"]},
        [
            "data.group: expected a column other than the target; found 'y'. Name another, or leave it out.",
            "data.weight: expected a column other than the target; found 'y'. Name another, or leave it out.",
            "data.drop[1]: expected a column other than the target; found 'y'. Name another, or leave it out.",
        ],
    ),
    (
        rules.holdout_is_a_share_or_a_count,
        {"data.holdout": 10.25},
        [
            "data.holdout: expected a share below 1, or a whole number of rows; found 10.25. "
            "Write 0.25 for a share, or 11 for a number of rows."
        ],
    ),
    (
        rules.one_holdout,
        {"data.test": "other.csv", "data.holdout": 0.1},
        [
            "data.holdout: expected no share beside data.test, whose rows are the holdout; found 0.1. Leave out data.holdout, or "
            "data.test."
        ],
    ),
    (
        rules.rare_classes_of_one_file,
        {"data.test": "other.csv", "data.rare": "merge"},
        [
            "data.rare: expected keep beside data.test; found merge. Leave out data.rare, or hold a share out of "
            "data.source with "
            "data.holdout."
        ],
    ),
    (
        rules.names_without_a_header,
        {"data.names": ["a", "b"]},
        [
            "data.names: expected data.header: false with data.names; found a file with a header. Say header: false if the first "
            "line of the file is a row; else leave names out."
        ],
    ),
    (
        rules.families_fit_the_task,
        {
            "task": "reconstruction",
            "data.target": None,
            "build": ["mlp", "svm"],
            "evaluate.metrics": [],
        },
        [
            "build[1].family: expected families for reconstruction; found 'svm', which is for classification, regression. "
            "Choose from: extra_trees, forest, kernel_ridge, linear, mlp, residual_mlp, tabm, tree."
        ],
    ),
    (
        rules.metrics_fit_the_task,
        {
            "task": "regression",
            "evaluate.metrics": ["mse", "f1"],
            "train": {"stop": {"metric": ["loss", "accuracy"]}},
        },
        [
            "evaluate.metrics[1]: expected metrics for regression; found 'f1', which is for classification. "
            f"Choose from: {METRICS_FOR_VALUES}.",
            "train.stop.metric: expected metrics for regression; found 'accuracy', which is for classification. "
            f"Choose from: {METRICS_FOR_VALUES}.",
        ],
    ),
    (
        rules.scheme_has_its_column,
        {"evaluate.scheme": "time_series"},
        [
            "evaluate.scheme: expected data.time for the scheme time_series; found none. Name the column in data.time, or "
            "choose another scheme."
        ],
    ),
    (
        rules.scheme_has_its_column,
        {"evaluate.scheme": "group"},
        [
            "evaluate.scheme: expected data.group for the scheme group; found none. Name the column in data.group, or "
            "choose another scheme."
        ],
    ),
    (
        rules.pattern_has_its_column,
        {"data.group_pattern": "^(?P<group>[a-z]+)_"},
        [
            "data.group_pattern: expected data.group, the column that it looks at; found none. Name the column in "
            "data.group, or take data.group_pattern out."
        ],
    ),
    (
        rules.nesting_needs_folds,
        {"evaluate": {"scheme": "leave_one_out", "nested": 3}},
        [
            "evaluate.nested: expected a scheme with a number of folds, to nest by; found 'leave_one_out'. Leave nested out "
            "(data.holdout tells what to expect, too), or choose from: group, kfold, leave_last, repeated, "
            "stratified, time_series."
        ],
    ),
    (
        rules.workers_are_elsewhere,
        {"budget": {"executor": "here", "workers": 2}},
        [
            "budget.workers: expected 1 with executor: here; found 2. Leave workers out, or choose executor: processes or ray."
        ],
    ),
    (
        rules.served_limits_need_a_graph,
        {
            **OF_INTERACTIONS,
            "evaluate": {"metrics": ["mrr"]},
            "budget": {"bundle": "5MB", "latency": "1ms"},
        },
        [
            f"budget.{key}: expected a task whose model is one graph; found the task recommendation. Leave it out."
            for key in ("bundle", "latency")
        ],
    ),
    (
        rules.data_parallel_trains_networks,
        {"build": ["mlp", "tree"], "budget": {"data_parallel": 2}},
        [
            "build[1].family: expected a network, as budget.data_parallel divides batches; found 'tree', whose solver has "
            "none. Leave budget.data_parallel out, or name networks alone."
        ],
    ),
    (
        rules.data_parallel_has_the_machine,
        {
            "build": ["mlp"],
            "budget": {
                "data_parallel": 2,
                "workers": 2,
                "device": "cuda",
                "strategy": {"adapt": True},
            },
        },
        [
            "budget.data_parallel: expected 1 where workers do the stages; found 2. Leave one of the two out: workers do "
            "stages side by side, data_parallel divides one training.",
            "budget.data_parallel: expected 1 with device: cuda; found 2. Leave data_parallel out, or write `device: cpu`.",
            "budget.data_parallel: expected 1 with strategy: {adapt: true}; found 2. Leave adapt out: one process alone "
            "cannot change how all of them go on.",
        ],
    ),
    (
        rules.sharding_learns_all_weights,
        {
            "build": [{"family": "language", "adapt": "lora"}],
            "budget": {"data_parallel": 2, "strategy": {"shard": True}},
        },
        [
            "budget.strategy.shard: expected a training of all weights; found adapt: the text 'lora'. Leave one of the two out."
        ],
    ),
    (
        rules.sharding_has_ranks,
        {"build": ["fusion"], "budget": {"strategy": {"shard": True, "offload": True}}},
        [
            "budget.strategy.shard: expected budget.data_parallel above 1; found 1. Write data_parallel: 2 or more, or leave "
            "shard out.",
            "budget.strategy.shard: expected no offload beside it; found offload: true. Leave one of the two out.",
            "budget.strategy.shard: expected families that can be sharded (language); found fusion. Leave it out.",
        ],
    ),
    (
        rules.scheme_has_the_option,
        {"evaluate": {"scheme": "leave_one_out", "folds": 3}},
        [
            "evaluate.folds: expected an option of leave_one_out (none); found folds. Leave folds out, or choose a scheme "
            "that has it: group, kfold, leave_last, repeated, stratified, time_series."
        ],
    ),
    (
        rules.scheme_has_the_option,
        {"evaluate": {"scheme": "kfold", "repeats": 2, "share": 0.5}},
        [
            "evaluate.repeats: expected an option of kfold (folds); found repeats. Leave repeats out, or choose a scheme "
            "that has it: repeated.",
            "evaluate.share: expected an option of kfold (folds); found share. Leave share out, or choose a scheme that "
            "has it: holdout.",
        ],
    ),
    (
        rules.groups_stay_together,
        {"data.group": "firm", "evaluate.scheme": "kfold"},
        [
            "evaluate.scheme: expected a scheme that keeps rows of a group together, as data.group is given; found 'kfold'. "
            "Use auto or group, or take data.group out."
        ],
    ),
    (
        rules.keep_is_measured,
        {"compress": {"keep": {"mcc": -0.1}}},
        [
            "compress.keep.mcc: expected a metric of evaluate.metrics (accuracy, f1); found 'mcc'. Add it to "
            "evaluate.metrics."
        ],
    ),
    (
        rules.keep_is_measured,
        {"compress": {"keep": {"acuracy": -0.1}}, "evaluate.metrics": []},
        [
            "compress.keep.acuracy: expected the name of a metric; found 'acuracy'. Did you mean 'accuracy'? All: accuracy, "
            "average_precision, balanced_accuracy, bits_per_byte, brier, calibration_error, character_error_rate, "
            "coverage_at_10, f1, "
            "interval_coverage, interval_width, kappa, log_loss, mae, map_at_10, mape, mcc, mrr, mse, ndcg_at_10, "
            "ndcg_at_20, novelty_at_10, perplexity, pinball, precision, preference_accuracy, r2, recall, recall_at_10, "
            "recall_at_20, rmse, rmsle, roc_auc, specificity, "
            "top_3_accuracy, top_5_accuracy, word_error_rate."
        ],
    ),
    (
        rules.lbfgs_takes_all_rows,
        {"train": {"optimizer": "lbfgs"}},
        [
            "train.optimizer: expected batch_size: full with lbfgs; found 64 (the default). Write `batch_size: full`."
        ],
    ),
    (
        rules.lbfgs_takes_all_rows,
        {"train": {"optimizer": ["adam", {"name": "lbfgs"}], "batch_size": ["full", 8]}},
        [
            "train.optimizer: expected batch_size: full with lbfgs; found full, 8. Write `batch_size: full`."
        ],
    ),
    *[
        (
            rules.compiling_needs_layers,
            {"build": build, "train": {"compile": asked}},
            [
                "train.compile: expected auto or off: layers of language models alone are compiled; found on. Leave it out."
            ],
        )
        for build, asked in (("mlp", "on"), (["mlp", "tree"], ["off", "on"]), ("auto", "on"))
    ],
    (
        rules.strategies_need_a_module,
        {"build": "mlp", "budget": {"strategy": {"fits_at_once": 2, "offload": True}}},
        ["budget.strategy.offload: expected a family that is one module; found mlp. Leave it out."],
    ),
    (
        rules.schedule_free_has_no_schedule,
        {
            "train": {
                "optimizer": ["adam", "schedule_free_sgd"],
                "schedule": "cosine",
                "warm_up": 0.1,
            }
        },
        [
            "train.schedule: expected constant with schedule_free_sgd; found cosine. Leave out `schedule`.",
            "train.warm_up: expected none with schedule_free_sgd; found 0.1. Leave out `warm_up`.",
        ],
    ),
    (
        rules.pruning_fits_a_family,
        {"compress": {"prune": ["features", "rounds"]}},
        [
            "compress.prune[1]: expected a candidate of the family boosting; found linear, mlp. Remove the pruning of rounds, "
            "or add a candidate."
        ],
    ),
    (
        rules.quantize_needs_a_network,
        {"build": "tree", "compress": {"quantize": {"weights": "int8"}}},
        [
            "compress.quantize: expected a network (als, audio_cnn, bpr, cnn, ctc, fusion, image_encoder, language, mlp, "
            "residual_mlp, sasrec, speech_encoder, tabm, text_cnn, text_encoder, two_tower, whisper); found tree. "
            "Remove quantize, or use fixed_point."
        ],
    ),
    (
        rules.transcripts_are_whole,
        {
            **OF_SPEECH,
            "evaluate": {"metrics": ["word_error_rate"], "ensemble": True, "bag": True},
            "compress": {"prune": ["features"], "fixed_point": {"factor": 64}},
        },
        [
            "evaluate.ensemble: expected no ensemble for task: transcription; found one. Leave it out.",
            "evaluate.bag: expected no bag for task: transcription; found one. Leave it out.",
            "compress.prune: expected no prune for task: transcription; found one. Write compress: {quantize: {activations: "
            "static}}.",
            "compress.fixed_point: expected no fixed_point for task: transcription; found one. Write compress: {quantize: "
            "{activations: static}}.",
        ],
    ),
    (
        rules.texts_are_not_averaged,
        {**OF_TEXTS, "evaluate": {"metrics": ["bits_per_byte"], "ensemble": True, "bag": True}},
        [
            "evaluate.ensemble: expected no ensemble for task: generation; found one. Leave it out.",
            "evaluate.bag: expected no bag for task: generation; found one. Leave it out.",
        ],
    ),
    (
        rules.bags_are_not_compressed,
        {"evaluate": {"bag": True}, "compress": {"fixed_point": {"factor": 64}}},
        ["evaluate.bag: expected no bag beside compress; found both. Leave one of them out."],
    ),
    (
        rules.bits_fit_the_task,
        {"task": "classification", "build": "mlp", "compress": {"quantize": "int4"}},
        [
            "compress.quantize: expected int8 for classification; found int4. Write quantize: int8; int4 and gptq are "
            "for task: generation."
        ],
    ),
    (
        rules.a_language_model_keeps_its_activations,
        {**OF_TEXTS, "compress": {"quantize": {"weights": "int4", "activations": "static"}}},
        [
            "compress.quantize.activations: expected none for a language model, whose weights alone have fewer bits; "
            "found static. Remove the key."
        ],
    ),
    (
        rules.a_language_model_keeps_its_activations,
        {**OF_TEXTS, "compress": {"fixed_point": {"factor": 256}}},
        [
            "compress.fixed_point: expected none for a language model; found factor 256. Write quantize: int8, int4 or "
            "gptq."
        ],
    ),
    (
        rules.grids_can_be_counted,
        {
            "build": [{"family": "mlp", "dropout": [n / 200 for n in range(101)]}],
            "train.epochs": list(range(1, 101)),
        },
        [
            "build: expected at most 10,000 candidates; found 10,100. Shorten the lists in build, train and evaluate: "
            "every combination is a candidate."
        ],
    ),
    (
        rules.ranges_are_searched,
        {
            "build": {"family": "svm", "C": {"low": 0.1, "high": 2}},
            "train": {"stop": {"patience": {"low": 1, "high": 3}}},
        },
        [
            'build[0].C: expected a value, or a list of values, where nothing is searched; found {"low": 0.1, "high": 2}. Add '
            "`search: {trials: 50}` to evaluate, or list values: [0.01, 0.1, 1].",
            'train.stop.patience: expected a value, or a list of values, where nothing is searched; found {"low": 1, "high": 3}. '
            "Add `search: {trials: 50}` to evaluate, or list values: [0.01, 0.1, 1].",
        ],
    ),
    (
        rules.ranges_are_searched,
        {
            "build": {"family": "svm", "C": {"low": 2, "high": 1}},
            "evaluate": {"search": {"trials": 5}},
        },
        [
            'build[0].C: expected a range (low below high); found {"low": 2, "high": 1}. Write {low: 0.001, high: 10, log: true}.'
        ],
    ),
    (
        rules.a_search_has_a_space,
        {"build": "auto", "evaluate": {"search": {"trials": 5}}},
        [
            "evaluate.search: expected families in `build` to search among; found build: auto. Name them, with ranges: build: "
            "{family: svm, C: {low: 0.01, high: 100, log: true}}."
        ],
    ),
    (
        rules.a_search_has_a_space,
        {"evaluate": {"search": {"trials": 5}, "select": "racing"}},
        [
            "evaluate.select: expected no selection beside a search, which has its own `prune`; found racing. "
            "Leave out `select`, "
            "and choose search.prune: median or halving."
        ],
    ),
]

FINE: list[dict[str, Any]] = [
    {},
    {"data.holdout": 100.0},
    {"data.holdout": 0},
    {"data.target": ["y", "z"], "evaluate": {}},
    {**OF_QUANTILES, "evaluate": {"calibrate": ["none", "conformal"], "metrics": ["pinball"]}},
    {"data.group": "firm", "evaluate.scheme": "group"},
    {"data.group": "firm"},
    {"data.time": "day", "evaluate": {"scheme": "time_series", "folds": 3}},
    {"evaluate": {"scheme": "repeated", "folds": 3, "repeats": 2}},
    {"evaluate": {"scheme": "holdout", "share": 0.3}},
    {"train": {"optimizer": "lbfgs", "batch_size": ["full"]}},
    {"build": "auto", "compress": {"prune": "rounds", "quantize": {}}},
    {"task": "regression", "evaluate.metrics": ["rmse"], "compress": {"keep": {"rmse": 0.1}}},
    {"task": "reconstruction", "data.target": None, "build": "mlp", "evaluate.metrics": ["mse"]},
    {"train": {"stop": {"metric": "f1", "patience": 3}}, "task": "classification"},
    {
        "build": {"family": "svm", "C": {"low": 0.1, "high": 2, "log": True}},
        "evaluate": {"search": {"trials": 5}},
    },
    {
        "build": {"family": "svm", "C": list(range(1, 20_001))},
        "evaluate": {"search": {"trials": 5}},
    },
    {"data.weight": "w", "train": {"class_weight": {"yes": 2, "no": 0.5}}},
    {"train": {"class_weight": ["balanced", None]}},
    # the loop's grid multiplies the network only: 101 × 1 + 1 × 100
    {
        "build": [{"family": "svm", "C": list(range(1, 9_001))}, "mlp"],
        "train": {"epochs": list(range(1, 901))},
    },
]


def laid_over(changes: dict[str, Any]) -> dict[str, Any]:
    recipe = copy.deepcopy(GOOD)
    for key, value in changes.items():
        section, _, option = key.partition(".")
        place, name = (recipe.setdefault(section, {}), option) if option else (recipe, section)
        place[name] = value
        if value is None:
            del place[name]
    return recipe


@pytest.mark.parametrize(("rule", "changes", "texts"), CASES)
def test_a_rule(rule: Callable[..., Any], changes: dict[str, Any], texts: list[str]) -> None:
    value = laid_over(changes)
    document = Document("", value)
    assert [
        str(problem).removeprefix(": ") for problem in rule(Recipe.model_validate(value), document)
    ] == texts
    with pytest.raises(RecipeError) as caught:
        from_object(value)
    assert str(caught.value) == f"recipe: {texts[0]}"


@pytest.mark.parametrize("changes", FINE)
def test_what_no_rule_forbids(changes: dict[str, Any]) -> None:
    from_object(laid_over(changes))


def test_every_rule_has_a_case() -> None:
    assert {rule for rule, _, _ in CASES} == set(rules.RULES)
