"""A trained module of torch as nodes of the graph: its forward pass traced, on one thread."""

from __future__ import annotations

import torch
from torch import nn

from sixfold.parts.graph import Graph
from sixfold.parts.node_trace import traced
from sixfold.train import threads


def embedded(module: nn.Module, graph: Graph, value: str, example: torch.Tensor) -> str:
    """The nodes of `module` in `graph`, from `value`, which is as `example` but for its rows, of
    which that has two.
    """
    with threads.one_thread():
        return traced(module.eval(), graph, value, example)
