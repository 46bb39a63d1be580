"""What auto may change by itself, and what it only proposes: fine-tuning a checkpoint with less memory."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sixfold.build._language_shape import LanguageShape
from sixfold.core.errors import BudgetError
from sixfold.parts.language_model import LanguageModel
from sixfold.parts.language_network import PackedNetwork
from sixfold.parts.text_tokenizer import learned
from sixfold.plan import limits
from sixfold.plan.limits import written
from sixfold.plan.reading import read_rows
from sixfold.plan.rules import Planning
from sixfold.plan.run_plan import PlanQuestion, foresee
from sixfold.recipe.load import from_object
from sixfold.recipe.strategy import PLAIN, AskedStrategy, MemoryStep, Strategy

TEXTS = ["the fox runs over the lazy dog and back again " * 3] * 24


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of random weights, wide enough that they are most of what is held; and texts."""
    place = tmp_path_factory.mktemp("checkpoint")
    tokenizer = learned(TEXTS, 300)
    network = PackedNetwork(LanguageShape(2, 512, 4, 2, 1_024, 32).config(tokenizer))
    model = LanguageModel(network.config, network.arrays(), tokenizer, 32)
    for name, content in model.files().items():
        (place / name).write_bytes(content)
    lines = (json.dumps({"text": text}) for text in TEXTS)
    (place / "texts.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return place


def planning(folder: Path, budget: dict[str, Any] | None = None, **build: Any) -> Planning:
    asked: dict[str, Any] = {
        "version": 1,
        "task": "generation",
        "data": {"source": str(folder / "texts.jsonl"), "holdout": 0},
        "build": {"family": "language", "checkpoint": str(folder), "context": 32, **build},
        "train": {"precision": "float32"},
        "evaluate": {"scheme": "holdout", "share": 0.2},
    }
    training = read_rows(from_object(asked)).training
    return Planning(from_object({**asked, "budget": budget or {}}).recipe, training)


@pytest.fixture(autouse=True)
def _settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """The process holds the same whenever it is asked, and the end of the run takes nothing."""

    class Process:
        def memory_info(self) -> Any:
            return type("Held", (), {"rss": 300_000_000})

    monkeypatch.setattr("sixfold.plan.memory.psutil.Process", Process)
    monkeypatch.setattr("sixfold.build.module_family.ModuleFamily.finish_bytes", 0)
    monkeypatch.setattr("sixfold.build.language.Settings.ending_bytes", lambda self, model_bytes: 0)


def steps(one: Planning, closed: bool) -> list[MemoryStep]:
    (group,) = one.placed
    family, size = group.work.alike[0].family, group.placement.size
    return list(family.lighter(limits.fits_of(group.work.alike, [size.few]), size.rows, closed))


@pytest.mark.parametrize(
    ("build", "closed", "changes"),
    [
        ({}, False, ["adapt: lora", "base: int8", "base: int4"]),
        ({"adapt": "whole"}, False, []),
        ({"adapt": "whole"}, True, ["adapt: lora", "base: int8", "base: int4"]),
        ({"adapt": "dora"}, False, ["base: int8", "base: int4"]),
        ({"adapt": "lora", "base": "bfloat16"}, False, []),
        ({"adapt": "lora", "base": "bfloat16"}, True, ["base: int8", "base: int4"]),
        ({"adapt": "lora", "base": "int4"}, True, []),
        ({"freeze": "*embed*"}, True, []),
    ],
    ids=str,
)
def test_what_changes_the_result_is_left_to_the_recipe(
    folder: Path, build: dict[str, Any], closed: bool, changes: list[str]
) -> None:
    found = steps(planning(folder, **build), closed)
    last = [step for step in found if step.section == "build"]
    assert [step.change for step in last] == changes
    assert found[len(found) - len(last) :] == last  # after all that changes nothing
    assert all("changes the result" in step.why for step in last)


def test_each_step_needs_less(folder: Path) -> None:
    one = planning(folder)
    (group,) = one.placed
    held = [
        group.work.with_strategy(step.strategy).placed(group.placement.size, one.room).needs
        for step in steps(one, closed=False)
    ]
    sizes = [group.placement.needs.host_bytes, *(needs.host_bytes for needs in held)]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-1] < sizes[-4] < sizes[0]  # adapters, and a base of fewer bits


def budget_for(one: Planning, change: str) -> str:
    """Just enough for the step that changes this."""
    (group,) = one.placed
    step = next(step for step in steps(one, closed=True) if step.change == change)
    needs = group.work.with_strategy(step.strategy).placed(group.placement.size, one.room).needs
    return f"{needs.host_bytes + 1}B"


def test_auto_takes_adapters_where_nothing_is_said_and_says_so(folder: Path) -> None:
    budget = {"memory": budget_for(planning(folder), "adapt: lora"), "strategy": "auto"}
    one = planning(folder, budget)
    assert one.violations() == []
    plan = foresee(one, PlanQuestion())
    assert plan.strategies["language"].adapter == "lora"
    assert plan.strategies["language"].base is None
    assert any("adapt: lora: adapters are learned" in text for text in plan.sentences())
    (candidate,) = (one_.under(plan.strategies[one_.name]) for one_ in one.candidates)
    family: Any = candidate.family
    assert family.adapt == "lora"
    assert candidate.train.optimizer["learning_rate"] == 2e-4  # as adapters are learned
    before = one.candidates[0].train
    assert candidate.train.batch_size == before.batch_size
    assert candidate.train.epochs == before.epochs
    assert candidate.key() != one.candidates[0].key()


def test_a_recipe_that_says_whole_is_told_of_adapters_and_keeps_its_word(folder: Path) -> None:
    budget = {"memory": budget_for(planning(folder), "adapt: lora"), "strategy": "auto"}
    one = planning(folder, budget, adapt="whole")
    (refused,) = (error for error in one.violations() if isinstance(error, BudgetError))
    assert "build: {adapt: lora}" in refused.remedy
    assert "strategy: auto, which finds it" not in refused.remedy
    assert foresee(one, PlanQuestion()).strategies == {}


def test_what_a_refusal_says_can_be_written() -> None:
    found = [
        MemoryStep(PLAIN, "micro_batch: 2", ""),
        MemoryStep(PLAIN, "precision: bfloat16", "", "train"),
        MemoryStep(PLAIN, "offload: true", ""),
        MemoryStep(PLAIN, "adapt: lora", "", "build"),
        MemoryStep(PLAIN, "base: int4", "", "build"),
    ]
    assert written(found) == (
        "budget: {strategy: {micro_batch: 2, offload: true}}, train: {precision: bfloat16}, "
        "build: {adapt: lora, base: int4}"
    )


def test_a_recipe_asks_for_what_has_no_other_place() -> None:
    assert set(AskedStrategy.model_fields) == {
        "fits_at_once",
        "micro_batch",
        "gradient_checkpointing",
        "offload",
        "adapt",
        "shard",
    }
    both = Strategy(precision="bfloat16", base="int8").and_of(Strategy(offload=True, base="int4"))
    assert both == Strategy(precision="bfloat16", offload=True, base="int4")


def test_compressing_a_language_model_is_counted(folder: Path) -> None:
    def compress_s(**section: Any) -> float:
        one = planning(folder)
        recipe = one.recipe.model_validate(
            {**one.recipe.model_dump(exclude_unset=True), "compress": section}
        )
        time = foresee(Planning(recipe, one.training), PlanQuestion()).time
        assert time is not None
        return next((s.seconds for s in time.stages if s.stage == "compress"), 0.0)

    prune = {"target": "layers", "ratio": 0.5}
    assert compress_s(quantize="int8") == 0.0
    assert 0.01 < compress_s(quantize="gptq") < compress_s(quantize="gptq", prune=[prune])
    few, many = (compress_s(prune=[{**prune, "epochs": epochs}]) for epochs in (1, 4))
    assert few < many
