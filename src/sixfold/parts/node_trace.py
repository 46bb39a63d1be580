"""A forward pass as nodes of the graph: it runs once, on two rows, and each function of torch that
it calls writes its nodes.

The numbers that flow are not looked at: what is kept of a value is its name in the graph. A
function that stands in no table of `node_functions`, and one that reads what the rows hold, is
refused. A pass that asks for sizes runs once more on three rows, and has to give the same nodes: no
number of the two rows gets into the graph.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import torch
from torch.overrides import TorchFunctionMode, resolve_name

from sixfold.parts import node_functions
from sixfold.parts.graph import Graph
from sixfold.parts.node_functions import COMPUTING, FREE, IN_PLACE, MOVING, SIZES
from sixfold.parts.node_names import NodeNames, Number

ROWS: Final = (
    2  # of the example: enough that it cannot pass for a single row that is spread over others
)


def traced(
    forward: Callable[[torch.Tensor], torch.Tensor], graph: Graph, x: str, example: torch.Tensor
) -> str:
    """The nodes of `forward` in `graph`, from the value `x`; `example`: [ROWS, …], in the type of
    `x`.

    Raises TypeError for a function of torch that has no nodes here, and where the number of rows
    would stand in a node.
    """

    def whole(given: torch.Tensor) -> list[torch.Tensor]:
        return [forward(given)]

    (name,) = traced_several(
        whole, graph, [x], lambda rows: [torch.cat([example, example[:1]])[:rows]]
    )
    return name


def traced_several(
    forward: Callable[..., Sequence[torch.Tensor]],
    graph: Graph,
    names: Sequence[str],
    examples: Callable[[int], Sequence[torch.Tensor]],
) -> list[str]:
    """The same of several values and results. `examples`: of so many rows, in the order of `names`."""
    trace = NodeTrace(graph)
    found = trace.through(forward, names, examples(ROWS))
    if trace.asked_sizes:  # equal nodes are one in a graph
        again = NodeTrace(graph).through(forward, names, examples(ROWS + 1))
        if again != found:
            raise TypeError("another number of rows gives other nodes: it stands in one of them")
    return found


class NodeTrace(TorchFunctionMode):
    """Does what the pass asks for, and writes it down."""

    def __init__(self, graph: Graph) -> None:
        super().__init__()
        self.names = NodeNames(graph)
        self.asked_sizes = False
        self._problem = ""

    def through(
        self,
        forward: Callable[..., Sequence[torch.Tensor]],
        names: Sequence[str],
        examples: Sequence[torch.Tensor],
    ) -> list[str]:
        """The names of what `forward` makes of `examples`, which are the values `names`."""
        given = [example.detach() for example in examples]  # each is an object of its own
        for example, name in zip(given, names, strict=True):
            self.names.remember(example, name)
        with torch.inference_mode(), self:
            results = forward(*given)
        if self._problem:
            raise TypeError(self._problem)
        return [self.names.value(result, result) for result in results]

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Do what is asked, and write it down. What only moves the numbers of a constant is done
        now, and no node.
        """
        options = kwargs or {}
        follows = any(self.names.follows(one) for one in _tensors(*args, *options.values()))
        written = COMPUTING.get(func) or (MOVING.get(func) if follows else None)
        in_place = IN_PLACE.get(func) if follows else None
        self.asked_sizes |= follows and func in SIZES
        if written is None and in_place is None and follows and func not in FREE | SIZES:
            raise TypeError(
                f"{resolve_name(func) or func} has no nodes: {node_functions.__name__} says which functions have"
            )
        if follows and options.get("inplace"):
            raise TypeError(f"{resolve_name(func)} has nodes where it changes nothing in its place")
        if in_place is not None:
            return self._changed(in_place, func, *args)
        result = func(*args, **options)
        if written is not None and not self.names.follows(result):
            self.names.remember_all(result, written(self.names, result, *args, **options))
        return result

    def _changed(
        self, written: Callable[..., str], func: Callable[..., Any], x: torch.Tensor, other: Number
    ) -> Any:
        """What is written into its own place has another name from then on; nothing else may look
        at that place.

        That is told at the end: Python does `a = a + b` where `a += b` raises a TypeError.
        """
        if not self.names.follows(x) or self.names.share_memory(x):
            self._problem = "a tensor that others look at is changed in its place"
        name = written(self.names, x, x, other)
        result = func(x, other)
        self.names.remember(x, name)
        return result


def _tensors(*values: Any) -> list[torch.Tensor]:
    """Among arguments, and lists of them."""
    found = []
    for value in values:
        if isinstance(value, list | tuple):
            found += _tensors(*value)
        elif isinstance(value, torch.Tensor):
            found.append(value)
    return found
