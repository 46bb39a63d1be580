"""The operators that Sixfold writes, with their attributes: no other is run.
`tests/bundle/test_onnx_operators.py` holds the list against the exporters, both ways.
"""

from __future__ import annotations

from typing import Final

ML: Final = "ai.onnx.ml"
VERSIONS: Final[dict[str, tuple[int, ...]]] = {
    "": (18,),
    ML: (4, 5),
}  # of the operators of a domain
AXIS: Final = {"axis": "int"}
KEEPDIMS: Final = {"keepdims": "int"}

# Operators → attributes, by the domain's name where they have one.
ATTRIBUTES: Final[dict[str, dict[str, str]]] = {
    **{
        name: {}
        for name in (
            "Add",
            "Clip",
            "Cos",
            "Div",
            "DynamicQuantizeLinear",
            "Equal",
            "Erf",
            "Exp",
            "Floor",
            "Greater",
            "GreaterOrEqual",
            "Identity",
            "IsInf",
            "IsNaN",
            "Less",
            "LessOrEqual",
            "Log",
            "MatMul",
            "MatMulInteger",
            "Max",
            "Min",
            "Mul",
            "Neg",
            "Not",
            "Pad",
            "Pow",
            "QuantizeLinear",
            "Relu",
            "Reshape",
            "Round",
            "Sigmoid",
            "Sin",
            "Slice",
            "Sub",
            "Tanh",
            "Unsqueeze",
            "Where",
        )
    },
    **dict.fromkeys(
        ("ReduceMax", "ReduceMean", "ReduceMin", "ReduceSum", "ReduceSumSquare"), KEEPDIMS
    ),
    **dict.fromkeys(("Concat", "DequantizeLinear", "Gather", "Softmax"), AXIS),
    "ArgMax": AXIS | KEEPDIMS,
    "Cast": {"to": "int"},
    "Conv": {
        "dilations": "ints",
        "group": "int",
        "kernel_shape": "ints",
        "pads": "ints",
        "strides": "ints",
    },
    "Gemm": {"alpha": "float", "transB": "int"},
    "LayerNormalization": AXIS | {"epsilon": "float"},
    "Loop": {"body": "body"},
    "MaxPool": {"kernel_shape": "ints", "pads": "ints", "strides": "ints"},
    "Resize": {"antialias": "int", "axes": "ints", "mode": "string"},
    "Split": AXIS | {"num_outputs": "int"},
    "TopK": AXIS | {"largest": "int", "sorted": "int"},
    "Transpose": {"perm": "ints"},
    f"{ML}.LabelEncoder": {
        "keys_strings": "strings",
        "values_int64s": "ints",
        "default_int64": "int",
    },
    f"{ML}.TreeEnsemble": {
        "aggregate_function": "int",
        "n_targets": "int",
        "post_transform": "int",
        "tree_roots": "ints",
        "nodes_featureids": "ints",
        "nodes_splits": "tensor",
        "nodes_modes": "tensor",
        "nodes_truenodeids": "ints",
        "nodes_trueleafs": "ints",
        "nodes_falsenodeids": "ints",
        "nodes_falseleafs": "ints",
        "nodes_missing_value_tracks_true": "ints",
        "leaf_targetids": "ints",
        "leaf_weights": "tensor",
    },
}
