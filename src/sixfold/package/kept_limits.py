"""Whether the bundle keeps `budget.bundle` and `budget.latency`, as it was measured for the receipt."""

from __future__ import annotations

from sixfold.compress.served_cost import REMEDY, least_latency
from sixfold.core.errors import BudgetError
from sixfold.core.units import show_bytes, show_seconds
from sixfold.parts.table import Table
from sixfold.recipe.receipt import Receipt
from sixfold.select.served_limits import ServedCost, ServedLimits


def with_limits(receipt: Receipt, graph: bytes, table: Table, limits: ServedLimits) -> Receipt:
    """The receipt with what the model takes of each limit. One row that took too long is asked for
    again: the machine may have been busy. Raises BudgetError for a limit that is not kept.
    """
    if not limits.asked:
        return receipt
    one_row_s = None if receipt.after.p50_1_ms is None else receipt.after.p50_1_ms / 1e3
    if limits.latency_s is not None and one_row_s is not None and one_row_s > limits.latency_s:
        again = least_latency(graph, table, limits.latency_s)
        one_row_s = one_row_s if again is None else min(again, one_row_s)
    cost = ServedCost(receipt.after.file_bytes, one_row_s)
    if (why := limits.violation(cost)) is not None:
        raise BudgetError(why.where, f"a bundle that takes {why.allowed}", why.taken, REMEDY)
    return receipt.model_copy(update={"how": (*receipt.how, _kept(cost, limits))})


def _kept(cost: ServedCost, limits: ServedLimits) -> str:
    told = []
    if limits.bundle_bytes is not None:
        told.append(f"{show_bytes(cost.bytes)} of {show_bytes(limits.bundle_bytes)} of the bundle")
    if limits.latency_s is not None and cost.one_row_s is not None:
        told.append(
            f"{show_seconds(cost.one_row_s)} of {show_seconds(limits.latency_s)} for one row"
        )
    return f"Budget: {' and '.join(told)}, kept by the model as it is served."
