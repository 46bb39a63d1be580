"""What of a module is learned: adapters beside some of its products, or the weights that no pattern
freezes.

Each function returns a new module, which shares the weights of the one that it was given.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any, Final, Literal, cast

import torch
from pydantic import Field
from torch import nn

from sixfold.core.errors import FitError
from sixfold.recipe.section import Section
from sixfold.runs.memory import give_back
from sixfold.train.adapters.low_rank import Decomposed, LowRank, plain
from sixfold.train.adapters.stored_product import (
    STORED,
    HalfProduct,
    QuantizedProduct,
    Storage,
)
from sixfold.train.batch_parts import AnyModule, sharing

Method = Literal["lora", "rslora", "dora", "pissa"]
EVERY: Final = "*"
SEED: Final = 0  # of adapters that nobody draws anew
# Of the largest output; measured: 1e-6 in float32 on 4 layers. bfloat16 has 8 bits: 2^-8 a product.
TOLERANCES: Final[Mapping[Storage, float]] = {
    "float32": 1e-4,
    "int8": 1e-4,
    "int4": 1e-4,
    "bfloat16": 3e-2,
}


class Adapter(Section):
    """Thin matrices beside the products of a module, whose own weights stay as they are."""

    method: Method = Field(
        "lora",
        description="lora; rslora: scaled by alpha / √rank, for large ranks; dora: with a learned length of every row; "
        "pissa: starts from the largest singular values of each product.",
    )
    rank: int = Field(8, ge=1, le=1024, description="Columns of the two matrices of each product.")
    alpha: float = Field(
        16.0, gt=0, description="What adapters add is multiplied by alpha / rank (rslora: / √rank)."
    )
    dropout: float = Field(
        0.0, ge=0, lt=1, description="Share of a product's inputs that its adapter does not see."
    )
    targets: str = Field(
        EVERY,
        min_length=1,
        description="Which products: patterns of names with * and ?, | between them, such as *.q_proj|*.v_proj.",
    )
    base: Storage = Field(
        "float32",
        description="How the weights below the adapters are kept while training: float32, bfloat16, or 8 or 4 bits "
        "with a scale for every 32.",
    )

    @property
    def scale(self) -> float:
        """What the product of the two matrices is multiplied by."""
        return self.alpha / (self.rank**0.5 if self.method == "rslora" else self.rank)


def adapted(
    module: AnyModule, adapter: Adapter, family: str, seed: int = SEED, apart: str = ""
) -> AnyModule:
    """The module with adapters beside the products that `targets` names; all that it had before is
    frozen, its products kept in the form `base`. `seed`: of the adapters; `apart`: patterns of products
    that stay as they are, whatever the targets say. Raises FitError where there is no such product.
    """
    made = sharing(module).requires_grad_(False)
    count = 0
    for place in list(_places(made)):
        product = place.child
        if not isinstance(product, nn.Linear) or matches(place.path, apart):
            continue
        if matches(place.path, adapter.targets):
            place.put(_ADAPTED[adapter.method](product, adapter))
            count += 1
        else:
            place.put(STORED[adapter.base](product))
    if not count:
        named = "" if adapter.targets == EVERY else f", named '{adapter.targets}'"
        raise FitError(
            f"build, {family}",
            f"products beside which adapters can stand{named}",
            "none",
            "Choose adapt: whole, other targets, or a checkpoint of a transformer's kind.",
        )
    start_adapters(made, torch.Generator().manual_seed(seed))
    return made


def start_adapters(module: nn.Module, generator: torch.Generator) -> None:
    """Fill the adapters of a module, where it has any; in place, as they are its own."""
    for part in _adapters(module):
        part.start(generator)


def without_adapters(module: AnyModule) -> AnyModule:
    """The module with each adapter merged into its product, in float32: as large and as fast as
    before. All of it can be learned again.
    """
    made = sharing(module)
    for place in list(_places(made)):
        if isinstance(place.child, LowRank | Decomposed):
            place.put(place.child.merged())
        elif isinstance(place.child, HalfProduct | QuantizedProduct):
            place.put(plain(place.child, place.child.weight))
    return made.requires_grad_(True)


def merged(
    module: AnyModule, outputs: Callable[[AnyModule], torch.Tensor], base: Storage = "float32"
) -> AnyModule:
    """As `without_adapters`, and checked: `outputs` of both, such as the logits of some tokens,
    have to agree. Raises FitError where they do not.
    """
    give_back()  # what the training's steps held, before the weights are there twice
    with torch.no_grad():
        before = outputs(module.eval())
        result = without_adapters(module)
        after = outputs(result.eval())
    apart = float((before - after).abs().max())
    limit = TOLERANCES[base] * max(1.0, float(before.abs().max()))
    if not apart <= limit:  # true for NaN, too
        raise FitError(
            "train, merging the adapters",
            f"outputs that differ by at most {limit:.2g} from those with adapters",
            f"{apart:.2g}",
            "Train with a smaller learning rate, or with adapter.base: float32.",
        )
    return result


def freeze(module: AnyModule, patterns: str) -> AnyModule:
    """The module whose weights with a name that matches are not learned. `patterns`: as `targets`.
    Raises FitError where none matches, and where none is left.
    """
    made = sharing(module)
    found = [one for name, one in made.named_parameters() if matches(name, patterns)]
    for one in found:
        one.requires_grad_(False)
    if not found or learns_nothing(made):
        names = [name for name, _ in made.named_parameters()]
        raise FitError(
            "build, freeze",
            f"patterns for some of the weights, such as {names[0]}",
            f"'{patterns}', which names {'all' if found else 'none'} of them",
            "Choose another pattern.",
        )
    return made


def learns_nothing(module: nn.Module) -> bool:
    """Whether all of its weights are frozen."""
    return not any(parameter.requires_grad for parameter in module.parameters())


def matches(name: str, patterns: str) -> bool:
    """Whether one of the patterns, which stand between |, is that of a name.

    >>> matches("layers.0.self_attn.q_proj", "*.q_proj|*.v_proj")
    True
    """
    return any(fnmatchcase(name, pattern.strip()) for pattern in patterns.split("|"))


def _lora(linear: nn.Linear, adapter: Adapter) -> nn.Module:
    base = cast(Any, STORED[adapter.base](linear))
    return LowRank(base, adapter.rank, adapter.scale, adapter.dropout)


def _dora(linear: nn.Linear, adapter: Adapter) -> nn.Module:
    return Decomposed(cast(Any, _lora(linear, adapter)))


def _pissa(linear: nn.Linear, adapter: Adapter) -> nn.Module:
    made = LowRank.of_principal(linear, adapter.rank, adapter.scale, adapter.dropout)
    made.linear = STORED[adapter.base](made.linear)
    return made


_ADAPTED: Final[Mapping[Method, Callable[[nn.Linear, Adapter], nn.Module]]] = {
    "lora": _lora,
    "rslora": _lora,
    "dora": _dora,
    "pissa": _pissa,
}


class _ProductPlace:
    """Where a part of a module stands."""

    def __init__(self, parent: nn.Module, name: str, path: str) -> None:
        self.parent, self.name, self.path = parent, name, path

    @property
    def child(self) -> nn.Module:
        return self.parent.get_submodule(self.name)

    def put(self, child: nn.Module) -> None:
        self.parent.add_module(self.name, child)


def _places(module: nn.Module) -> Iterator[_ProductPlace]:
    """Every part, once, from the outside in; not the parts of adapters and stored products."""
    for name, child in module.named_children():
        yield from _inside(module, name, name, child)


def _inside(parent: nn.Module, name: str, path: str, child: nn.Module) -> Iterator[_ProductPlace]:
    yield _ProductPlace(parent, name, path)
    if not isinstance(child, LowRank | Decomposed | HalfProduct | QuantizedProduct):
        for own, part in child.named_children():
            yield from _inside(child, own, f"{path}.{own}", part)


def _adapters(module: nn.Module) -> list[LowRank | Decomposed]:
    parts = [place.child for place in _places(module)]
    return [part for part in parts if isinstance(part, LowRank | Decomposed)]
