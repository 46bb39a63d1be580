"""How important: of raw columns by shuffling them, of neurons by the weights on both sides."""

from __future__ import annotations

import numpy as np

from sixfold.build.mlp import Network
from sixfold.compress.subject import Job, Subject
from sixfold.evaluate.shuffling import losses
from sixfold.parts.table import FloatArray


def of_columns(subject: Subject, job: Job, seed: int) -> dict[str, float]:
    """Raw column → mean loss of the deciding metric on validation rows when its values are shuffled."""
    found = losses(subject.twins, job.dataset, job.folds, job.metrics[0], seed)
    return {name: float(np.mean(values)) for name, values in found.items()}


def of_neurons(network: Network, layer: int) -> FloatArray:
    """[units] of hidden layer `layer`: norm of a unit's incoming weights and bias, times that of its outgoing weights."""
    incoming = np.sqrt((network.weights[layer].astype(np.float64) ** 2).sum(axis=1) + network.biases[layer] ** 2.0)
    outgoing = np.linalg.norm(network.weights[layer + 1].astype(np.float64), axis=0)
    return np.asarray(incoming * outgoing)
