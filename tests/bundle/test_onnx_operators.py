"""The list of operators that are run is the list of those that are written: nothing is missing, and
nothing is more.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import AttributeProto, TensorProto

import sixfold
from sixfold.bundle.onnx_operators import ATTRIBUTES, ML
from sixfold.bundle.onnx_shapes import RULES
from sixfold.parts.graph import Graph

SOURCES = sorted(Path(sixfold.__file__).parent.rglob("*.py"))
# Written where the name of the operator is a variable: in node_functions, and in piecewise_linear.
BY_VARIABLE = {"Relu", "Sigmoid", "Tanh", "Cos", "Sin", "Max", "Min"}
OF_TREES = set(ATTRIBUTES[f"{ML}.TreeEnsemble"])


def calls() -> Iterator[tuple[str, set[str]]]:
    """Operator and attributes of every call of `Graph.op` and `Graph.ops` in the sources."""
    for path in SOURCES:
        for call in ast.walk(ast.parse(path.read_text())):
            if not (
                isinstance(call, ast.Call)
                and isinstance(call.func, ast.Attribute)
                and call.func.attr in ("op", "ops")
            ):
                continue
            first = call.args[0] if call.args else None
            if isinstance(first, ast.Constant) and isinstance(first.value, str):
                named = {
                    keyword.arg
                    for keyword in call.keywords
                    if keyword.arg not in (None, "domain", "outputs")
                }
                ml = any(keyword.arg == "domain" for keyword in call.keywords)
                yield f"{ML}.{first.value}" if ml else first.value, {str(name) for name in named}


def quantized_operators() -> dict[str, dict[str, str]]:
    """What onnxruntime makes of a product when it quantizes it, both ways."""
    from sixfold.compress.quantize import quantized
    from sixfold.parts.fit import Fitted
    from sixfold.recipe.compression import Quantize

    class Product:
        """A network of one layer, as far as its graph goes."""

        output = "value"

        def export(self, graph: Graph, x: str) -> str:
            weights = np.random.default_rng(0).normal(size=(8, 8)).astype(np.float32)
            return graph.cast(graph.op("MatMul", x, graph.constant(weights)), TensorProto.DOUBLE)

    network: Fitted = Product()  # type: ignore[assignment]
    found: dict[str, dict[str, str]] = defaultdict(dict)
    rows = np.random.default_rng(1).normal(size=(64, 8)).astype(np.float32)
    for activations in ("dynamic", "static"):
        model = quantized(network, rows, Quantize.model_validate({"activations": activations}))  # type: ignore[arg-type]
        for node in onnx.load_from_string(model.model.tobytes()).graph.node:
            for attribute in node.attribute:
                found[node.op_type][attribute.name] = AttributeProto.AttributeType.Name(
                    attribute.type
                ).lower()
            found.setdefault(node.op_type, {})
    return found


def attributes_of(model: onnx.ModelProto) -> dict[str, dict[str, str]]:
    """Operator → attribute → kind, of every node."""
    found: dict[str, dict[str, str]] = defaultdict(dict)
    for node in model.graph.node:
        kinds = {
            each.name: AttributeProto.AttributeType.Name(each.type).lower()
            for each in node.attribute
        }
        found[node.op_type] |= kinds
    return found


def network_operators() -> Iterator[tuple[str, dict[str, str]]]:
    """What networks of images and of tokens become, whose operators are variables in places."""
    from sixfold.build._network_export import embedded
    from sixfold.build._residual_network import ImageResidualNetwork, NetworkShape
    from sixfold.build.networks.text_cnn import ConvolutionShape, TextCNN
    from sixfold.build.networks.text_encoder import EncoderShape, TextTransformer
    from sixfold.parts.folded_norms import norms_folded

    class Pooled(torch.nn.Module):
        """As in published networks of images."""

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.nn.functional.max_pool2d(x, 3, 2, 1).flatten(1)[:, :3]

    tokens, images = torch.ones(2, 8, dtype=torch.int64), torch.zeros(2, 1, 8, 8)
    for network, example in (
        (norms_folded(ImageResidualNetwork(NetworkShape(1, 3, (4, 8), 1, 1))), images),
        (Pooled(), images),
        (TextCNN(ConvolutionShape(9, 3, 4, 4, (1, 2))), tokens),
        (TextTransformer(EncoderShape(9, 8, 3, 4, 2, 1)), tokens),
    ):
        graph = Graph()
        kind = onnx.helper.np_dtype_to_tensor_dtype(example.numpy().dtype)
        x = graph.input_of("x", kind, ["rows", *example.shape[1:]])
        graph.output("y", embedded(network, graph, x, example), TensorProto.FLOAT, ["rows", 3])
        yield from attributes_of(graph.model()).items()


def test_the_list_is_what_the_exporters_write() -> None:
    written: dict[str, set[str]] = defaultdict(set)
    for operator, attributes in calls():
        written[operator] |= attributes
    for operator in (*BY_VARIABLE, "Identity"):
        written.setdefault(operator, set())
    written[f"{ML}.TreeEnsemble"] |= OF_TREES  # they are given as a dictionary: by the next test
    made = [*quantized_operators().items(), *network_operators()]
    for operator, kinds in made:
        written[operator] |= set(kinds)
        assert {name: ATTRIBUTES[operator][name] for name in kinds} == kinds
    assert {operator: sorted(names) for operator, names in written.items()} == {
        operator: sorted(kinds) for operator, kinds in ATTRIBUTES.items()
    }


def test_every_operator_has_a_rule_for_its_shape() -> None:
    """But a loop, whose states keep theirs: its own tests hold it."""
    assert {*RULES, "Loop"} == {operator.rpartition(".")[2] for operator in ATTRIBUTES}


def test_the_attributes_of_trees_are_those_of_the_exporter() -> None:
    source = next(path for path in SOURCES if path.name == "_trees.py").read_text()
    assert all(
        name.replace("true", "{side}").replace("false", "{side}") in source or name in source
        for name in OF_TREES
    )


@pytest.mark.parametrize(
    "operator", ["If", "Scan", "ConstantOfShape", "Constant", "Range", "Tile", "NonZero"]
)
def test_operators_that_take_without_end_are_not_among_them(operator: str) -> None:
    assert operator not in ATTRIBUTES
