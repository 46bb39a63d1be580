"""Models that try to reach what is outside, and what asks for too much: made from a good one, byte
by byte.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import onnx
import tiny_bundle
from onnx import TensorProto, helper, numpy_helper

from sixfold.bundle import onnx_messages
from sixfold.parts.packed import packed

SECRET = b"SECRET--" * 8  # what lies in the working directory, as eight doubles
NAMES = ("secret.bin", "./secret.bin", "../secret.bin", "sub/secret.bin", "link.bin")
Change = Callable[[bytes], bytes]


def number(value: int, longer: int = 0) -> bytes:
    """A varint, of `longer` more bytes than it needs."""
    found = bytearray(onnx_messages.encoded(value))
    if longer:
        found[-1] |= 0x80
        found += b"\x80" * (longer - 1) + b"\x00"
    return bytes(found)


def field(key: int, content: bytes, longer: int = 0) -> bytes:
    return number(key, longer) + number(len(content)) + content


def entry(key: str, value: str) -> bytes:
    return field(1 << 3 | 2, key.encode()) + field(2 << 3 | 2, value.encode())


def outside(
    name: str, dims: bytes, keys: tuple[Callable[[int], bytes], Callable[[int], bytes]]
) -> bytes:
    """A tensor of doubles that lie in the file `name`; `keys`: how the two keys are written that
    say so.
    """
    data, location = keys
    parts = [dims, number(2 << 3), number(TensorProto.DOUBLE), field(8 << 3 | 2, b"weights")]
    for pair in (entry("location", name), entry("offset", "0"), entry("length", "32")):
        parts += [data(13 << 3 | 2), number(len(pair)), pair]
    parts += [location(14 << 3), number(1)]
    return b"".join(parts)


def keys() -> Iterator[tuple[str, Callable[[int], bytes]]]:
    """Ways to write a key that some readers take for the same one."""
    yield "plain", number
    for more in (1, 2, 3, 4, 5):
        yield f"{more} bytes longer", lambda key, more=more: number(key, more)
    for bit in range(32, 64, 3):
        yield f"plus 2^{bit}", lambda key, bit=bit: number(key + (1 << bit))
    for bit in (32, 40, 60):
        yield f"plus 2^{bit}, longer", lambda key, bit=bit: number(key + (1 << bit), 1)


def with_initializer(tensor: bytes, times: int = 1) -> bytes:
    """A model whose answer is an initializer written as `tensor`; in `times` parts of the graph
    that protobuf merges.
    """
    made = helper.make_graph(
        [helper.make_node("Identity", ["weights"], ["value"])],
        "sixfold",
        [helper.make_tensor_value_info("numbers", TensorProto.DOUBLE, ["rows", 4])],
        [helper.make_tensor_value_info("value", TensorProto.DOUBLE, ["rows", 1])],
    )
    opsets = [helper.make_opsetid("", 18)]
    model = helper.make_model(made, opset_imports=opsets, ir_version=9)
    rest, graph = model, made.SerializeToString()
    rest.ClearField("graph")
    extra = field(5 << 3 | 2, tensor)
    pieces = [graph + extra] if times == 1 else [graph, extra]
    return rest.SerializeToString() + b"".join(field(7 << 3 | 2, piece) for piece in pieces)


def outside_readers() -> Iterator[tuple[str, bytes]]:
    """Models that answer with the bytes of a file, by every way of writing that they do."""
    dims = number(1 << 3) + number(4) + number(1 << 3) + number(1)
    packed_dims = field(1 << 3 | 2, number(4) + number(1))
    for name in NAMES:
        for data_name, data in keys():
            for location_name, location in keys():
                if name == NAMES[0] or data_name == location_name:
                    what = f"{name}, external_data {data_name}, data_location {location_name}"
                    yield what, with_initializer(outside(name, dims, (data, location)))
    plain = (number, number)
    yield "packed dims", with_initializer(outside("secret.bin", packed_dims, plain))
    yield "the graph in two parts", with_initializer(outside("secret.bin", dims, plain), times=2)
    yield from nested()


def nested() -> Iterator[tuple[str, bytes]]:
    """Tensors outside, in every other place that a model has for them."""
    tensor = TensorProto(
        name="weights",
        dims=[4, 1],
        data_type=TensorProto.DOUBLE,
        data_location=TensorProto.EXTERNAL,
    )
    tensor.external_data.add(key="location", value="secret.bin")
    constant = helper.make_node("Constant", [], ["inner"], value=tensor)
    inner = helper.make_graph(
        [constant],
        "inner",
        [],
        [helper.make_tensor_value_info("inner", TensorProto.DOUBLE, [4, 1])],
    )
    bare = helper.make_graph([], "bare", [], [], [tensor])
    places: dict[str, Callable[[Any], None]] = {
        "a constant": lambda model: model.graph.node.append(constant),
        "a branch": lambda model: model.graph.node.append(
            helper.make_node("If", ["c"], ["y"], then_branch=inner, else_branch=inner)
        ),
        "a branch's initializer": lambda model: model.graph.node.append(
            helper.make_node("If", ["c"], ["y"], then_branch=bare, else_branch=bare)
        ),
        "a loop": lambda model: model.graph.node.append(
            helper.make_node("Loop", ["", ""], ["y"], body=inner)
        ),
        "a list of tensors": lambda model: model.graph.node.append(
            helper.make_node("Foreign", [], ["y"], many=[tensor])
        ),
        "a sparse tensor": lambda model: model.graph.sparse_initializer.append(
            helper.make_sparse_tensor(tensor, numpy_helper.from_array(np.arange(4), "at"), [4])
        ),
        "a function": lambda model: model.functions.append(
            helper.make_function(
                "own", "own", [], ["inner"], [constant], [helper.make_opsetid("", 18)]
            )
        ),
        "training": lambda model: model.training_info.add().algorithm.CopyFrom(bare),
        "an annotation": lambda model: model.graph.quantization_annotation.add(tensor_name="x"),
    }
    for name, place in places.items():
        model = onnx.load_from_string(tiny_bundle.graph("regression"))
        place(model)
        yield name, model.SerializeToString()
        yield f"{name}, packed", packed(model)


def greedy() -> Iterator[tuple[str, bytes]]:
    """Small models that would take memory or time without end."""
    for count in (1e13, 1e9):
        shape = numpy_helper.from_array(np.array([int(count)]), "shape")
        yield (
            f"ConstantOfShape {count:.0e}",
            graph_of([helper.make_node("ConstantOfShape", ["shape"], ["big"])], [shape]),
        )
        yield (
            f"Expand {count:.0e}",
            graph_of([helper.make_node("Expand", ["one", "shape"], ["big"])], [shape]),
        )
        zero_to = [
            numpy_helper.from_array(np.array(value), name)
            for value, name in ((0, "from"), (int(count), "to"), (1, "by"))
        ]
        yield (
            f"Range {count:.0e}",
            graph_of([helper.make_node("Range", ["from", "to", "by"], ["big"])], zero_to),
        )
        pads = numpy_helper.from_array(np.array([0, 0, 0, int(count)]), "pads")
        yield (
            f"Pad {count:.0e}",
            graph_of([helper.make_node("Pad", ["numbers", "pads"], ["big"])], [pads]),
        )
    yield "products that grow", growing(12)
    yield (
        "rows times rows",
        graph_of(
            [
                helper.make_node("Transpose", ["numbers"], ["turned"], perm=[1, 0]),
                helper.make_node("MatMul", ["numbers", "turned"], ["big"]),
            ],
            [],
        ),
    )
    body = helper.make_graph([helper.make_node("Identity", ["go"], ["on"])], "body", [], [])
    yield "an endless Loop", graph_of([helper.make_node("Loop", ["", "go"], [], body=body)], [])
    yield "functions in functions", functions(30)
    yield (
        "many nodes",
        graph_of(
            [helper.make_node("Neg", [f"v{at}"], [f"v{at + 1}"]) for at in range(140_000)], []
        ),
    )
    yield "deep messages", b"\x3a\x7f" * 70
    yield "empty fields", field(7 << 3 | 2, b"\x0a\x00" * 1_200_000)
    for what, change in (
        ("a circle", {"nodes_truenodeids": [0, 1]}),
        ("a feature outside", {"nodes_featureids": [0, 1 << 40]}),
    ):
        yield f"trees with {what}", trees(change)


def graph_of(nodes: list[Any], tensors: list[Any]) -> bytes:
    tensors = [*tensors, numpy_helper.from_array(np.ones(1), "one")]
    inputs = [helper.make_tensor_value_info("numbers", TensorProto.DOUBLE, ["rows", 4])]
    outputs = [helper.make_tensor_value_info("value", TensorProto.DOUBLE, ["rows", 1])]
    made = helper.make_graph(
        [*nodes, helper.make_node("Identity", ["numbers"], ["value"])],
        "g",
        inputs,
        outputs,
        tensors,
    )
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("ai.onnx.ml", 5)]
    return packed(helper.make_model(made, opset_imports=opsets, ir_version=9))


def growing(steps: int) -> bytes:
    """Each step multiplies every cell of a row with every other one."""
    nodes, last, cells = [], "numbers", 4
    tensors = [numpy_helper.from_array(np.array([axis]), f"axis{axis}") for axis in (1, 2)]
    for step in range(steps):
        shape = numpy_helper.from_array(np.array([0, cells**2]), f"shape{step}")
        tensors.append(shape)
        nodes += [
            helper.make_node("Unsqueeze", [last, "axis1"], [f"row{step}"]),
            helper.make_node("Unsqueeze", [last, "axis2"], [f"column{step}"]),
            helper.make_node("Mul", [f"row{step}", f"column{step}"], [f"both{step}"]),
            helper.make_node("Reshape", [f"both{step}", f"shape{step}"], [f"next{step}"]),
        ]
        last, cells = f"next{step}", min(cells**2, 1 << 31)
    return graph_of(nodes, tensors)


def functions(depth: int) -> bytes:
    """Each calls the one before twice."""
    model = onnx.load_from_string(
        graph_of([helper.make_node(f"f{depth}", ["numbers"], ["big"], domain="own")], [])
    )
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("own", 1)]
    for at in range(depth + 1):
        inner = [("Neg", "")] if at == 0 else [(f"f{at - 1}", "own")] * 2
        nodes = [
            helper.make_node(op, [f"v{i}"], [f"v{i + 1}"], domain=domain)
            for i, (op, domain) in enumerate(inner)
        ]
        model.functions.append(
            helper.make_function("own", f"f{at}", ["v0"], [f"v{len(inner)}"], nodes, opsets)
        )
    return model.SerializeToString()


def trees(change: dict[str, list[int]]) -> bytes:
    """Two branches and three leaves over four columns, but for `change`."""
    lists = {
        "tree_roots": [0],
        "nodes_featureids": [0, 1],
        "nodes_truenodeids": [1, 0],
        "nodes_trueleafs": [0, 1],
        "nodes_falsenodeids": [2, 1],
        "nodes_falseleafs": [1, 1],
        "leaf_targetids": [0, 0, 0],
        **change,
    }
    node = helper.make_node(
        "TreeEnsemble",
        ["numbers"],
        ["big"],
        domain="ai.onnx.ml",
        n_targets=1,
        aggregate_function=1,
        post_transform=0,
        nodes_splits=numpy_helper.from_array(np.zeros(2)),
        nodes_modes=numpy_helper.from_array(np.zeros(2, dtype=np.uint8)),
        leaf_weights=numpy_helper.from_array(np.ones(3)),
        **lists,
    )
    return graph_of([node], [])


def damaged(model: bytes, seed: int) -> bytes:
    """A few bits flipped, bytes left out, or put in."""
    rng, content = random.Random(seed), bytearray(model)
    for _ in range(rng.randint(1, 4)):
        at, kind = rng.randrange(len(content)), rng.randrange(4)
        if kind == 0:
            content[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            del content[at : at + rng.randint(1, 8)]
        elif kind == 2:
            content[at:at] = rng.randbytes(rng.randint(1, 8))
        else:
            content[at : at + 8] = (rng.getrandbits(64) | 1 << 63).to_bytes(8, "little")
    return bytes(content)
