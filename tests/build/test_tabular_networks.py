"""residual_mlp and tabm against plain ones: members one by one, waves by the formula, vectors of
categories end to end.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from pydantic import ValidationError
from torch import nn

from fitting import fit_many
from sixfold.build.candidate import Candidate
from sixfold.build.mlp import Perceptron
from sixfold.compress.measure import feeds
from sixfold.evaluate.model import Model, fit_model
from sixfold.parts.fit import Fit, Shape
from sixfold.parts.graph import Graph, TensorProto
from sixfold.parts.state import size_bytes
from sixfold.parts.table import Column, Dataset, Table, Target
from sixfold.prepare import preparer
from sixfold.recipe.kinds import FAMILY
from sixfold.recipe.schema import Initialize, Prepare, Train
from sixfold.runs.context import Context
from sixfold.train.starting import fill

FAMILIES = ("residual_mlp", "tabm")
SHAPE = Shape(5, 3, "classification", (0, 8, 0, 0, 4))
PLAIN = Shape(5, 3, "classification")


def codes_and_numbers(rows: int = 40, seed: int = 0) -> Any:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, 5))
    x[:, 1], x[:, 4] = rng.integers(-1, 8, rows), rng.integers(-1, 4, rows)
    return x


def started(name: str, shape: Shape = SHAPE, seed: int = 0, **options: Any) -> Any:
    """A module with every parameter off its start, in float64."""
    module = FAMILY.load(name)(**options).module(shape).double()
    fill(module, Initialize(bias="normal"), seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(
                torch.randn(parameter.shape, generator=torch.Generator().manual_seed(3)), alpha=0.5
            )
    return module


def arrays(module: nn.Module) -> dict[str, Any]:
    return {name: parameter.detach().numpy() for name, parameter in module.named_parameters()}


def relu(x: Any) -> Any:
    return np.maximum(x, 0.0)


def entered(a: dict[str, Any], x: Any) -> Any:
    """Row by row and column by column: sines and cosines of 2πcx, a layer, relu; a row of the table
    for each code.
    """
    rows = []
    for row in x:
        found: list[Any] = []
        for at, column in enumerate((0, 2, 3)):
            if "frequency" not in a:
                found.append([row[column]])
                continue
            turns = [2.0 * np.pi * c * row[column] for c in a["frequency"][at]]
            wave = np.array([*map(np.cos, turns), *map(np.sin, turns)])
            found.append(relu(a["wave_weight"] @ wave + a["wave_bias"]))
        found.append(a["table"][int(row[1]) + 1])
        found.append(a["table"][9 + int(row[4]) + 1])
        rows.append(np.concatenate(found))
    return np.array(rows)


@pytest.mark.parametrize("numbers", ["linear", "periodic"])
def test_members_are_perceptrons_with_scaled_weights(numbers: str) -> None:
    """Member m alone: its layers have the weights diag(s) W diag(r); the answer is the mean of
    their probabilities.
    """
    module = started(
        "tabm", numbers=numbers, frequencies=3, embedding_width=4, width=6, blocks=2, members=3
    )
    family: Any = FAMILY.load("tabm")()
    a, x = arrays(module), codes_and_numbers()
    each = []
    for m in range(3):
        h = entered(a, x)
        for n in range(2):
            weight = (
                np.diag(a[f"layer{n}_out"][m])
                @ a[f"layer{n}_weight"]
                @ np.diag(a[f"layer{n}_in"][m])
            )
            h = relu(h @ weight.T + a[f"layer{n}_bias"][m])
        each.append(h @ a["head_weight"][m].T + a["head_bias"][m])
    scores = torch.tensor(np.array(each))
    np.testing.assert_allclose(
        module(torch.tensor(x)).detach().numpy(), scores.transpose(0, 1).numpy(), atol=1e-12
    )
    wanted = scores.softmax(-1).mean(0).numpy()
    np.testing.assert_allclose(family.fitted(module, SHAPE).predict(x), wanted, atol=1e-12)
    y = torch.randint(0, 3, (40,))
    losses = torch.stack(
        [nn.functional.cross_entropy(part, y, reduction="none") for part in scores]
    ).mean(0)
    np.testing.assert_allclose(
        family.losses(module(torch.tensor(x)), y).detach().numpy(), losses.numpy(), atol=1e-12
    )


@pytest.mark.parametrize("numbers", ["linear", "periodic"])
def test_a_residual_perceptron_by_torchs_own_layers(numbers: str) -> None:
    module = started(
        "residual_mlp", numbers=numbers, frequencies=3, embedding_width=4, width=6, blocks=2
    )
    a, x = arrays(module), codes_and_numbers()

    def linear(name: str, h: torch.Tensor) -> torch.Tensor:
        return nn.functional.linear(
            h, torch.tensor(a[f"{name}_weight"]), torch.tensor(a[f"{name}_bias"])
        )

    def norm(name: str, h: torch.Tensor) -> torch.Tensor:
        return nn.functional.layer_norm(
            h, (6,), torch.tensor(a[f"{name}_gain"]), torch.tensor(a[f"{name}_shift"])
        )

    h = linear("first", torch.tensor(entered(a, x)))
    for n in range(2):
        h = h + linear(f"block{n}_out", linear(f"block{n}_in", norm(f"block{n}", h)).relu())
    scores = linear("head", norm("head", h).relu())
    np.testing.assert_allclose(module(torch.tensor(x)).detach().numpy(), scores.numpy(), atol=1e-12)
    fitted: Any = FAMILY.load("residual_mlp")().fitted(module, SHAPE)
    np.testing.assert_allclose(fitted.predict(x), scores.softmax(-1).numpy(), atol=1e-12)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_losses_are_torchs_own(smoothing: float) -> None:
    """Of one network and of members, for replicas and for one; and squared errors."""
    family: Any = FAMILY.load("tabm")(label_smoothing=smoothing)
    scores, y, values = torch.randn(2, 9, 4, 3), torch.randint(0, 3, (2, 9)), torch.randn(2, 9, 3)
    for k in range(2):
        each = [
            nn.functional.cross_entropy(
                scores[k, :, m], y[k], reduction="none", label_smoothing=smoothing
            )
            for m in range(4)
        ]
        torch.testing.assert_close(family.losses(scores, y)[k], torch.stack(each).mean(0))
        torch.testing.assert_close(family.losses(scores[k], y[k]), torch.stack(each).mean(0))
        torch.testing.assert_close(family.losses(scores[:, :, 1], y)[k], each[1])
        errors = [
            nn.functional.mse_loss(scores[k, :, m], values[k], reduction="none").mean(1)
            for m in range(4)
        ]
        torch.testing.assert_close(family.losses(scores, values)[k], torch.stack(errors).mean(0))
        torch.testing.assert_close(family.losses(scores[k, :, 2], values[k]), errors[2])


def test_one_member_at_its_start_is_a_plain_perceptron() -> None:
    family: Any = FAMILY.load("tabm")(width=6, blocks=2, members=1)
    module = family.module(PLAIN)
    fill(module, Initialize(bias="normal"), 0)
    plain = Perceptron((5, 6, 6, 3), "relu", 0.0)
    own = dict(module.named_parameters())
    names = (
        "layer0_weight",
        "layer0_bias",
        "layer1_weight",
        "layer1_bias",
        "head_weight",
        "head_bias",
    )
    with torch.no_grad():
        for parameter, name in zip(plain.parameters(), names, strict=True):
            parameter.copy_(own[name].view(parameter.shape))
    x, y = torch.randn(20, 5), torch.randint(0, 3, (20,))
    torch.testing.assert_close(module(x)[:, 0], plain(x))
    family.losses(module(x), y).mean().backward()
    nn.functional.cross_entropy(plain(x), y).backward()
    for parameter, name in zip(plain.parameters(), names, strict=True):
        torch.testing.assert_close(own[name].grad.view(parameter.shape), parameter.grad)


def test_adapters_and_vectors_start_as_their_papers_say() -> None:
    """Signs, or normal numbers where vectors of categories enter; ones; heads that differ; vectors
    at 0.
    """
    for shape, signs in ((PLAIN, True), (SHAPE, False)):
        module = FAMILY.load("tabm")(width=16, blocks=2, members=8).module(shape)
        fill(module, Initialize(), 4)
        own = arrays(module)
        assert (np.abs(own["layer0_in"]) == 1.0).all() == signs
        assert own["layer0_in"].std() > 0.5
        assert all((own[name] == 1.0).all() for name in ("layer0_out", "layer1_in", "layer1_out"))
        assert len({head.tobytes() for head in own["head_weight"]}) == 8
        np.testing.assert_allclose(
            own["head_weight"].std(), np.sqrt(2 / 16), rtol=0.2
        )  # he_normal of 16 inputs
        assert all((own[f"layer{n}_bias"] == 0.0).all() for n in range(2))
        assert ("table" in own) != signs and not own.get("table", np.zeros(1)).any()
    module = FAMILY.load("residual_mlp")(
        numbers="periodic", frequency_scale=0.3, frequencies=400
    ).module(PLAIN)
    fill(module, Initialize(), 4)
    own = arrays(module)
    assert (own["block0_gain"] == 1.0).all() and (own["head_gain"] == 1.0).all()
    np.testing.assert_allclose(own["frequency"].std(), 0.3, rtol=0.05)


@pytest.mark.parametrize("numbers", ["linear", "periodic"])
@pytest.mark.parametrize("name", FAMILIES)
def test_the_graph_equals_the_module(name: str, numbers: str) -> None:
    """To 1e-6 in float32; codes, -1 among them; one row and none."""
    module = started(name, numbers=numbers, width=16, blocks=2).float()
    fitted: Any = FAMILY.load(name)().fitted(module, SHAPE)
    graph = Graph()
    exported = fitted.export(graph, graph.input("x", TensorProto.DOUBLE, 5))
    graph.output("y", exported, TensorProto.DOUBLE, ["rows", "outputs"])
    session = onnxruntime.InferenceSession(graph.model().SerializeToString())
    x = codes_and_numbers(1500)
    np.testing.assert_allclose(session.run(None, {"x": x})[0], fitted.predict(x), rtol=0, atol=1e-6)
    np.testing.assert_allclose(
        session.run(None, {"x": x[:1]})[0], fitted.predict(x[:1]), rtol=0, atol=1e-6
    )
    assert session.run(None, {"x": x[:0]})[0].shape == fitted.predict(x[:0]).shape == (0, 3)


def people(rows: int = 160) -> Dataset:
    """`town` has gaps, `trade` has none; both decide the target with `age`."""
    rng = np.random.default_rng(1)
    town, trade, age = rng.integers(-1, 3, rows), rng.integers(0, 4, rows), rng.normal(40, 9, rows)
    columns = {
        "age": Column("number", age),
        "town": Column("category", town.astype(np.int32), ("Bern", "Graz", "Riga")),
        "trade": Column("category", trade.astype(np.int32), ("baker", "cook", "smith", "tailor")),
        "new": Column("boolean", rng.integers(0, 2, rows).astype(np.float64)),
    }
    y = ((town == 1) | (trade == 2) ^ (age > 45)).astype(np.int64)
    return Dataset(Table(columns, rows), Target("classification", y, ("y",), ("no", "yes")))


def trained(
    name: str, data: Dataset, prepare: dict[str, Any] | None = None, **options: Any
) -> Model:
    family = FAMILY.load(name)(**{"width": 16, "blocks": 1, **options})
    train = Train(optimizer={"name": "adam", "learning_rate": 0.02}, epochs=20, batch_size=16)
    one = Candidate(name, name, family, Prepare(**(prepare or {})), Initialize(), train)
    return fit_model(one, data, Context())


@pytest.mark.parametrize("numbers", ["linear", "periodic", "piecewise_linear"])
@pytest.mark.parametrize("name", FAMILIES)
def test_categories_from_raw_columns_to_the_graph(name: str, numbers: str) -> None:
    """A missing town was seen in training; a missing trade was not, and counts as one never seen:
    it adds nothing.
    """
    data = people()
    model: Any = trained(name, data, numbers=numbers)
    assert (model.predict(data.table).argmax(axis=1) == data.target.values).mean() > 0.9
    assert model.preparer.feature_levels[-3:] == (4, 4, 0) or 4 in model.preparer.feature_levels
    new = {
        "age": Column("number", np.array([30.0, 50.0, np.nan, 44.0])),
        "town": Column("category", np.array([0, -1, 1, 1], dtype=np.int32), ("Oslo", "Riga")),
        "trade": Column(
            "category", np.array([0, -1, 1, 2], dtype=np.int32), ("cook", "pilot", "smith")
        ),
        "new": Column("boolean", np.array([0.0, 1.0, 1.0, np.nan])),
    }
    table = Table(new, 4)
    exported = model.export().SerializeToString()
    session = onnxruntime.InferenceSession(exported)
    np.testing.assert_allclose(
        session.run(["probability"], feeds(exported, table, 4))[0],
        model.predict(table),
        rtol=0,
        atol=1e-6,
    )
    unseen = model.fitted.arrays["table"][model.fitted.entrance.offset - 1]
    np.testing.assert_array_equal(unseen, np.zeros_like(unseen))
    x = model.preparer.transform(table)
    town, trade = (at for at, levels in enumerate(model.preparer.feature_levels) if levels)
    assert x[:, town].tolist() == [-1.0, 3.0, 2.0, 2.0]
    assert x[:, trade].tolist() == [1.0, -1.0, -1.0, 2.0]


@pytest.mark.parametrize(
    ("prepare", "levels"),
    [
        ({}, (0, 4, 4, 0)),
        ({"features": {"category": "one_hot"}}, (0,) * 10),
        ({"features": {"category": ["ordinal", "standard"]}}, (0, 0, 0, 0)),
        ({"features": {"columns": {"town": "one_hot"}}}, (0, 0, 0, 0, 0, 4, 0)),
        ({"impute": {"category": "most_frequent"}}, (0, 3, 4, 0)),
        ({"features": {"select": {"name": "model_importance", "keep": 2}}}, None),
        ({"features": {"reduce": {"name": "pca", "components": 2}}}, (0, 0)),
    ],
)
def test_a_fit_knows_which_features_are_codes(
    prepare: dict[str, Any], levels: tuple[int, ...] | None
) -> None:
    data = people()
    family: Any = FAMILY.load("tabm")()
    made, x, _ = preparer.fit(data.table, data.target, Prepare(**prepare), family.needs, 0)
    assert len(made.feature_levels) == x.shape[1]
    if levels is not None:
        assert sorted(made.feature_levels) == sorted(levels)
    for name, count in zip(made.feature_names, made.feature_levels, strict=True):
        assert count in ((0,) if name in ("age", "new") else (0, 3, 4))
    assert levels is not None or any(made.feature_levels)
    model = trained("residual_mlp", data, prepare)
    assert model.predict(data.table).shape == (160, 2)


def test_shared_weights_are_kept_once() -> None:
    """16 members of 128 × 128 take as much as one, plus what is their own."""
    rng = np.random.default_rng(0)
    fit = Fit(rng.normal(size=(64, 128)), rng.integers(0, 2, 64), "classification", 2)
    sizes = []
    for members in (1, 16):
        family = FAMILY.load("tabm")(width=128, blocks=2, members=members)
        one = Candidate("tabm", "tabm", family, Prepare(), Initialize(), Train(epochs=1))
        sizes.append(size_bytes(next(fit_many([one], [fit], Context()))))  # type: ignore[arg-type]
    own = 15 * (2 * 3 * 128 + 2 * 128 + 2) * 4
    assert sizes[1] - sizes[0] == pytest.approx(own, rel=0.01)


def test_what_was_chosen_is_said() -> None:
    shape = Shape(14, 2, "classification", (0,) * 6 + (8,) * 8)
    assert FAMILY.load("tabm")().derived(shape) == (
        "tabm: width 128, blocks 2, from size medium and 70 inputs of 14 features (the next power of two, 64 to 128)"
    )
    assert FAMILY.load("residual_mlp")(size="small", blocks=3).derived(shape) == (
        "residual_mlp: width 64, blocks 3, from size small and 70 inputs of 14 features (the next power of two, 32 to 64)"
    )
    assert FAMILY.load("tabm")(width=8, blocks=1).derived(shape) == ""
    assert FAMILY.load("residual_mlp")(width=8, blocks=2).widths(shape) == (8,) * 5


def test_needs_follow_the_settings() -> None:
    for name in FAMILIES:
        assert FAMILY.load(name)().needs.number == ("standard",)
        made = FAMILY.load(name)(numbers="piecewise_linear").needs
        assert (made.number, made.category) == (("piecewise_linear",), ("ordinal",))
        with pytest.raises(ValidationError, match="less than or equal to 1000"):
            FAMILY.load(name)(frequencies=1001)


def test_dropout_leaves_out_its_share_and_only_in_training() -> None:
    """Of a network whose hidden units are all 1 / (1 - p) or 0: the mean output is that without
    dropout.
    """
    for name in FAMILIES:
        family: Any = FAMILY.load(name)(width=64, blocks=1, dropout=0.25)
        module = family.module(PLAIN)
        fill(module, Initialize(bias="normal"), 1)
        x = torch.randn(1, 5).expand(4000, 5)
        noise = [torch.rand(shape) for shape in module.noise_shapes(4000)]
        assert len(noise) == 1
        dropped = module.kept([noise[0].flatten(1)[:, :64]], x)[0]
        np.testing.assert_allclose(dropped.unique().numpy(), [0.0, 4 / 3], rtol=1e-6)
        assert dropped.mean().item() == pytest.approx(1.0, abs=0.01)
        assert module(x, noise).std(dim=0).max() > 0.01
        assert module(x).std(dim=0).max() < 1e-5
