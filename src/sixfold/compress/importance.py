"""How important: of raw columns by shuffling them; of neurons by the weights on both sides, or by
what they do on rows.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch

from sixfold.build._fitted_network import tensor
from sixfold.build.mlp import FittedPerceptron
from sixfold.compress.connections import HiddenUnits, of_layer
from sixfold.compress.subject import CompressionState, Job
from sixfold.evaluate.shuffling import Effort, losses
from sixfold.parts.fit import Matrix
from sixfold.parts.table import FloatArray
from sixfold.runs.context import Context
from sixfold.train import threads


def of_columns(subject: CompressionState, job: Job, context: Context) -> dict[str, float]:
    """Raw column → mean loss of the deciding metric on validation rows when its values are
    shuffled. Raises BudgetError where there is no time for all columns.
    """
    effort = Effort(deadline=math.inf if context.deadline is None else context.deadline)
    found = losses(
        subject.fold_models, job.dataset, job.folds, job.metrics[0], context.seed, effort
    )
    if not all(found.values()):
        context.check_time("shuffling columns")
    return {name: float(np.mean(values)) for name, values in found.items()}


def by_weights(network: FittedPerceptron, layer: int) -> FloatArray:
    """[units] of hidden layer `layer`: norm of a unit's incoming weights and bias, times that of
    its outgoing weights.
    """
    unit = of_layer(layer)
    return _norm(network, unit.incoming) * _norm(network, unit.outgoing)


def by_activations(network: FittedPerceptron, layer: int, h: FloatArray) -> FloatArray:
    """[units]: standard deviation of a unit's activation over rows (`h` [rows, units]), times the
    outgoing norm.

    A unit that never changes is worth nothing, however large it is: the next bias can take its
    place.
    """
    return np.asarray(h.std(axis=0) * _norm(network, of_layer(layer).outgoing))


def activations(network: FittedPerceptron, x: Matrix) -> list[FloatArray]:
    """What every hidden layer gives for [rows, features]: float64 [rows, units] each."""
    double = np.dtype(np.float64)
    with torch.inference_mode(), threads.one_thread():
        *hidden, _ = network.outputs_of_layers(network.parts(double), tensor(x, double))
    return [np.asarray(h.numpy()) for h in hidden]


def _norm(network: FittedPerceptron, parts: tuple[HiddenUnits, ...]) -> FloatArray:
    """[units] Euclidean norm over all parts of each unit."""
    total: Any = 0.0
    for array, layer, axis in parts:
        values = np.moveaxis(np.asarray(getattr(network, array)[layer], dtype=np.float64), axis, 0)
        total = total + (values.reshape(len(values), -1) ** 2).sum(axis=1)
    return np.asarray(np.sqrt(total), dtype=np.float64)
