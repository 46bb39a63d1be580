"""A trained module of torch as nodes of the graph: batch normalization folded away, then its forward pass traced."""

from __future__ import annotations

import copy
import itertools

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from sixfold.parts.graph import Graph
from sixfold.parts.node_trace import traced
from sixfold.train import threads


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


def embedded(module: nn.Module, graph: Graph, value: str, example: torch.Tensor) -> str:
    """The nodes of `module` in `graph`, from `value`, which is as `example` but for its rows, of which that has two."""
    with threads.one_thread():
        return traced(module.eval(), graph, value, example)
