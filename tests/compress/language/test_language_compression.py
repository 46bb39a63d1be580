"""Step 6 of a language model, with its folds: what is tried, what it costs, what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sixfold.compress.compress import Compressed, compress
from sixfold.compress.language.calibration import calibration_of, divergence_on
from sixfold.compress.language.fewer_bits import served_bytes
from sixfold.core.errors import RecipeError
from sixfold.evaluate.model import Model
from sixfold.parts.language_model import LanguageModel
from sixfold.recipe.load import from_object
from sixfold.recipe.receipt import Step
from sixfold.runs.context import Context

SHAPE = {"layers": 2, "width": 64, "heads": 4, "kv_heads": 2, "mlp_width": 64, "context": 32}
ALL = {"bits_per_byte": 9.0}


def compressed(made: Any, **section: Any) -> tuple[Compressed, Model]:
    options = {**SHAPE, "vocabulary": "bytes"}
    section = {"keep": ALL, "keep_lift": 0.0, **section}
    job, model = made("language", options, section, "generation")
    return compress(job, model, Context()), model


def language(model: Model) -> LanguageModel:
    assert isinstance(model.fitted, LanguageModel)
    return model.fitted


@pytest.mark.parametrize("method", ["int8", "int4", "gptq"])
def test_fewer_bits(made: Any, method: str) -> None:
    found, model = compressed(made, quantize=method)
    (step,) = found.steps
    assert step.accepted, step
    assert step.name == f"quantize {method}"
    assert "of weights as served; KL " in step.why
    old, new = language(model), language(found.model)
    assert new.blocks
    assert served_bytes(new) < (0.6 if method == "int8" else 0.5) * served_bytes(old)
    assert np.isfinite(found.scores["bits_per_byte"]).all()


def test_the_answers_stay_nearest_with_gptq(made: Any) -> None:
    apart = {}
    for method in ("int8", "int4", "gptq"):
        found, model = compressed(made, quantize=method)
        job, _ = made("language", {**SHAPE, "vocabulary": "bytes"}, {}, "generation")
        apart[method] = divergence_on(model, found.model, job.dataset)
    assert apart["int8"] < apart["gptq"] < apart["int4"]


@pytest.mark.slow
def test_prunings_then_fewer_bits(made: Any) -> None:
    prune = [
        {"target": "layers", "ratio": 0.5, "epochs": 2},
        {"target": "heads", "ratio": 0.5, "epochs": 0},
        {"target": "channels", "ratio": 0.5, "epochs": 2},
    ]
    found, model = compressed(made, prune=prune, quantize="int4")
    assert [step.accepted for step in found.steps] == [True] * 4, found.steps
    says = ["layers: 2 → 1", "heads: 4 → 2", "channels: 64 → 32", "4 bits a weight"]
    assert all(text in step.why for text, step in zip(says, found.steps, strict=True))
    fields = language(found.model).fields
    assert (fields["num_hidden_layers"], fields["num_attention_heads"]) == (1, 2)
    assert (fields["num_key_value_heads"], fields["intermediate_size"]) == (1, 32)
    assert served_bytes(language(found.model)) < 0.4 * served_bytes(language(model))


@pytest.mark.slow
def test_training_by_the_answers_of_before_helps(made: Any) -> None:
    scores = []
    for epochs in (0, 4):
        prune = {"target": "layers", "ratio": 0.5, "epochs": epochs}
        found, _ = compressed(made, prune=prune)
        scores.append(found.scores["bits_per_byte"].mean())
    assert scores[1] < scores[0]


def test_what_keep_does_not_allow_is_refused(made: Any) -> None:
    prune = {"target": "layers", "ratio": 0.5, "epochs": 0}
    found, model = compressed(made, prune=prune, keep={"bits_per_byte": 1e-9})
    (step,) = found.steps
    assert not step.accepted
    assert "bits_per_byte would go from" in step.why
    assert found.model is model


def test_calibration_tokens_are_those_of_the_training_rows(made: Any) -> None:
    job, model = made("language", {**SHAPE, "vocabulary": "bytes"}, {}, "generation")
    rows = job.dataset.take(np.arange(5))
    _, windows = calibration_of(model, rows)
    texts = rows.table.columns["text"].strings()
    assert int((windows.y >= 0).sum()) == sum(len(text.encode()) + 1 for text in texts)


@pytest.mark.parametrize(
    ("section", "task", "text"),
    [
        ({"quantize": "gptq"}, "classification", "expected int8 for classification; found gptq"),
        ({"fixed_point": {"factor": 64}}, "generation", "expected none for a language model"),
        (
            {"quantize": {"weights": "int8", "activations": "static"}},
            "generation",
            "expected none for a language model, whose weights alone have fewer bits; found static",
        ),
        ({"prune": "neurons"}, "generation", "a candidate of the family mlp; found language"),
    ],
)
def test_what_does_not_fit(section: dict[str, Any], task: str, text: str) -> None:
    data = {"source": "texts.txt"} if task == "generation" else {"source": "a.csv", "target": "y"}
    family = "language" if task == "generation" else "mlp"
    with pytest.raises(RecipeError, match=text):
        from_object({"task": task, "data": data, "build": family, "compress": section})


def test_layers_of_a_linear_model(made: Any) -> None:
    job, model = made("linear", {}, {"prune": {"target": "layers"}})
    (step,) = compress(job, model, Context()).steps
    assert step == Step(
        name="prune layers",
        accepted=False,
        why="linear has no layers, which a language model has",
    )
