"""A trained torch network as nodes of the graph: batch normalization folded away, then torch.onnx."""

from __future__ import annotations

import copy
import itertools
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, cast

import onnx
import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from sixfold.parts.graph import OPSET, Graph

# Attributes that torch.onnx writes although they say what is so without them: the strict reader takes none of those.
DEFAULTS: Final[dict[str, dict[str, object]]] = {
    "Conv": {"auto_pad": b"NOTSET", "group": 1},
    "Gemm": {"alpha": 1.0, "beta": 1.0, "transA": 0},
    "Cast": {"saturate": 1},
    "LayerNormalization": {"axis": -1, "stash_type": 1},
    "Pad": {"mode": b"constant"},
    "ReduceMax": {"noop_with_empty_axes": 0, "keepdims": 1},
    "ReduceMean": {"noop_with_empty_axes": 0, "keepdims": 1},
    "ReduceSum": {"noop_with_empty_axes": 0, "keepdims": 1},
    "Reshape": {"allowzero": 1},  # which is about sizes of 0: `_plain` looks that there are none
}
REQUIRED: Final = object()  # equal to no attribute


def norms_folded(module: nn.Module) -> nn.Module:
    """A copy in evaluation in which each convolution has taken in the batch normalization right behind it (Jacob et al. 2018).

    They are found as children of one module, one after the other; answers stay equal to float32's rounding.
    """
    folded = copy.deepcopy(module).eval()
    for parent in list(folded.modules()):
        children = list(parent.named_children())
        for (name, child), (next_name, following) in itertools.pairwise(children):
            if isinstance(child, nn.Conv2d) and isinstance(following, nn.BatchNorm2d):
                setattr(parent, name, fuse_conv_bn_eval(child, following))
                setattr(parent, next_name, nn.Identity())
    return folded


def exported(module: nn.Module, *inputs: torch.Tensor) -> onnx.ModelProto:
    """The network by torch.onnx; `inputs` are examples of two rows or more, and any number of rows is taken later."""
    rows = torch.export.Dim("rows", min=1)
    with _quiet(), torch.no_grad():
        program = torch.onnx.export(
            cast(Any, module.eval()).to(memory_format=torch.contiguous_format),
            inputs,
            dynamo=True,
            opset_version=OPSET,
            external_data=False,
            dynamic_shapes=tuple({0: rows} for _ in inputs),
            verbose=False,
        )
    if program is None:
        raise RuntimeError("torch.onnx gave no program")
    return _plain(program.model_proto)


def embedded(module: nn.Module, graph: Graph, value: str, example: torch.Tensor) -> str:
    """The nodes of `module` in `graph`, from `value`, which is as `example` but for its rows; its first output."""
    model = exported(module, example)
    return graph.embed(model, {model.graph.input[0].name: value})[0]


def _plain(model: onnx.ModelProto) -> onnx.ModelProto:
    """Without names of source files, and without what says the default. Raises ValueError for a size of 0."""
    shapes = {node.input[1] for node in model.graph.node if node.op_type == "Reshape"}
    for tensor in model.graph.initializer:
        if tensor.name in shapes and not onnx.numpy_helper.to_array(tensor).all():
            raise ValueError("a network that asks for a shape of no numbers")
    for node in model.graph.node:
        node.ClearField("metadata_props")
        node.ClearField("doc_string")
        usual = DEFAULTS.get(node.op_type, {})
        kept = [one for one in node.attribute if onnx.helper.get_attribute_value(one) != usual.get(one.name, REQUIRED)]
        del node.attribute[:]
        node.attribute.extend(kept)
    for value in (*model.graph.initializer, *model.graph.input, *model.graph.output):
        value.ClearField("doc_string")
        value.ClearField("metadata_props")
    del model.graph.value_info[:]
    return model


@contextmanager
def _quiet() -> Iterator[None]:
    """The exporter's progress and its hints to developers are not for users."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
