"""The recipe that a request for fine-tuning becomes."""

from __future__ import annotations

import io

import pytest
from service_worlds import World

from sixfold.build.language import ADAPTERS, FROM_CHECKPOINT
from sixfold.recipe import yaml_text
from sixfold.recipe.load import problems_in
from sixfold.service.use_cases import jobs
from sixfold.service.use_cases.fine_tuning import FineTuneRequest, made_recipe
from sixfold.service.use_cases.jobs import JobRequest


@pytest.mark.parametrize(
    ("recipe", "defaults"),
    [({}, ADAPTERS), ({"build": {"adapt": "whole"}}, FROM_CHECKPOINT)],
    ids=["adapters", "whole"],
)
def test_a_multiplier_of_one_is_the_familys_own_rate(recipe: dict, defaults: object) -> None:  # type: ignore[type-arg]
    settings = {"learning_rate_multiplier": 1.0}
    request = FineTuneRequest("m", "f", hyperparameters=settings, recipe=recipe)
    made = made_recipe(request, "m")
    assert made["train"]["optimizer"] == defaults.options["optimizer"]  # type: ignore[attr-defined]


@pytest.mark.parametrize("validation", [None, "file-1"])
@pytest.mark.parametrize("method", ["supervised", "dpo"])
def test_what_is_made_passes_the_check(method: str, validation: str | None) -> None:
    settings = {"n_epochs": 2, "batch_size": 3, "learning_rate_multiplier": 0.5}
    settings |= {"beta": 0.3} if method == "dpo" else {}
    request = FineTuneRequest("m", "f", validation, method=method, hyperparameters=settings, seed=5)
    assert problems_in(yaml_text.dump(made_recipe(request, "m")), "recipe") == []


def test_a_folder_among_a_jobs_inputs_is_kept_by_the_store(here: World) -> None:
    store = here.service.artifacts
    digest, _ = store.put(io.BytesIO(b'{"files":{}}'))
    recipe = "version: 1\nname: iris\ndata: {source: 'sklearn:iris'}\n"
    request = JobRequest(recipe, inputs={"base": f"tree:{digest}"})
    job = jobs.submit(here.service, here.operator, request)
    assert job.spec.inputs == {"base": f"tree:{digest}"}
    with here.service.database.transaction() as rows:
        assert digest in rows.digests()
