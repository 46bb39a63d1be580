"""Batch normalization folded into the convolutions before it."""

from __future__ import annotations

import copy
import itertools

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


def norms_folded(module: nn.Module) -> nn.Module:
    """A copy in evaluation in which each convolution has taken in the batch normalization right
    behind it (Jacob et al. 2018).

    They are found as children of one module, one after the other; answers stay equal to float32's
    rounding.
    """
    folded = copy.deepcopy(module).eval()
    for parent in list(folded.modules()):
        children = list(parent.named_children())
        for (name, child), (next_name, following) in itertools.pairwise(children):
            if isinstance(child, nn.Conv2d) and isinstance(following, nn.BatchNorm2d):
                setattr(parent, name, fuse_conv_bn_eval(child, following))
                setattr(parent, next_name, nn.Identity())
    return folded
