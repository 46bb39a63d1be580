"""A batch in parts: the gradient of the whole batch, and the same bits however many workers."""

from __future__ import annotations

import copy
from collections.abc import Callable
from contextlib import closing

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from sixfold.recipe.schema import Train
from sixfold.runs.context import Context
from sixfold.train.batch_parts import (
    MOST_PARTS,
    PART_ROWS,
    BatchDivision,
    BatchExamples,
    BatchParts,
    PartTensors,
    PartWork,
    RowSlice,
    flat,
    learned_parameters,
    optimized_shapes,
    parts_of,
)
from sixfold.train.loop import train
from sixfold.train.module import ModuleFit, ModuleLearner, StoredExamples
from sixfold.train.rank_group import RankGroup
from sixfold.train.stopping import EarlyStopping

X = np.random.default_rng(0).normal(size=(600, 8)).astype(np.float32)
Y = (X[:, 0] + X[:, 1] ** 2 > 1).astype(np.int64)


def network(*middle: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 16), *middle, nn.ReLU(), nn.Linear(16, 2))


def losses(outputs: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return functional.cross_entropy(outputs, y, reduction="none")


def parts(module: nn.Module, most: int, workers: int = 1) -> BatchParts:
    theta = flat(learned_parameters(module))
    tensors = PartTensors(theta, torch.zeros_like(theta))
    return BatchParts(module, tensors, BatchDivision(parts_of), most, workers)


def backward_of(x: torch.Tensor, y: torch.Tensor) -> PartWork:
    def backward(module: nn.Module, part: RowSlice) -> torch.Tensor:
        loss = losses(module.train()(x[part.rows]), y[part.rows]).sum() / len(y)
        loss.backward()  # type: ignore[no-untyped-call]
        return loss.detach()

    return backward


@given(st.integers(1, 400), st.integers(1, 400))
def test_the_gradient_is_that_of_the_whole_batch(rows: int, most: int) -> None:
    rows = min(rows, most)
    x, y = torch.from_numpy(X[:rows]), torch.from_numpy(Y[:rows])
    module, plain = network(), network()
    with closing(parts(module, most)) as made:
        loss = made.gradient(rows, backward_of(x, y))
    expected = losses(plain(x), y).mean()
    expected.backward()  # type: ignore[no-untyped-call]
    torch.testing.assert_close(loss, expected.detach(), rtol=1e-5, atol=1e-6)
    for one, other in zip(module.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-4, atol=1e-6)


@given(st.integers(1, 2000))
def test_parts_are_few_and_none_is_small(rows: int) -> None:
    count = parts_of(rows)
    assert 1 <= count <= MOST_PARTS
    assert count == 1 or rows // count >= PART_ROWS


def fit(module: nn.Module, workers: int, batch_size: int) -> ModuleFit:
    section = Train(batch_size=batch_size, epochs=3)
    return ModuleFit(
        module=module,
        examples=StoredExamples(X, torch.from_numpy(Y)),
        losses=losses,
        train=section,
        stopping=EarlyStopping(section.stop),
        context=Context(),
        seed=7,
        operations=0.0,
        workers=workers,
    )


@pytest.mark.parametrize("batch_size", [70, 150, 600])
@pytest.mark.parametrize("middle", [nn.BatchNorm1d, lambda _: nn.Dropout(0.3)])
def test_bits_do_not_depend_on_the_workers(
    middle: Callable[[int], nn.Module], batch_size: int
) -> None:
    found = []
    for workers in (1, 2, 3):
        with closing(ModuleLearner(fit(network(middle(16)), workers, batch_size))) as learner:
            assert len(learner.parts.parts) > 1
            (one,) = train(learner)
        found.append(one.weights)
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])


def test_parts_draw_numbers_of_their_own() -> None:
    """Dropout of the same rows in both halves of a batch leaves different units out."""
    seen: list[torch.Tensor] = []

    class Watched(nn.Dropout):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            out = super().forward(x)
            seen.append(out == 0)
            return out

    learner = ModuleLearner(fit(network(Watched(0.5)), 1, 64))
    examples = BatchExamples(torch.ones(64, 8), torch.zeros(64, dtype=torch.int64), None)
    learner._loss(examples, seed=3)
    assert len(seen) == 2
    assert not torch.equal(*seen)


def test_a_batch_norm_keeps_the_mean_of_its_parts_and_constants_stay_to_the_bit() -> None:
    module = network(nn.BatchNorm1d(16))
    constant = torch.tensor([0.1, 1e-30, 3.0])
    module.register_buffer("constant", constant.clone())
    rows = 70  # 35 and 35
    x, y = torch.from_numpy(X[:rows]), torch.from_numpy(Y[:rows])
    apart = [copy.deepcopy(module).train() for _ in range(2)]
    for each, some in zip(apart, (x[:35], x[35:]), strict=True):
        each(some)
    with closing(parts(module, rows)) as made:
        made.gradient(rows, backward_of(x, y))
    expected = (apart[0][1].running_mean + apart[1][1].running_mean) / 2  # type: ignore[index]
    torch.testing.assert_close(module[1].running_mean, expected)  # type: ignore[index]
    assert torch.equal(module.constant, constant)  # type: ignore[arg-type]


def test_frozen_weights_are_not_copied() -> None:
    module = network()
    module[0].requires_grad_(False)  # type: ignore[index]
    with closing(parts(module, 128)) as made:
        assert len(made.parts) == MOST_PARTS
        places = {part.module[0].weight.data_ptr() for part in made.parts}  # type: ignore[index]
    assert len(places) == 1


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_parameters_keep_their_layout(layout: torch.memory_format) -> None:
    module = nn.Conv2d(3, 4, 3).to(memory_format=layout)
    before = [one.detach().clone() for one in module.parameters()]
    with closing(parts(module, 128)) as made:
        for part in made.parts:
            for one, value in zip(part.module.parameters(), before, strict=True):
                assert torch.equal(one, value)
                assert one.stride() == value.stride()
                assert one.grad is not None and one.grad.stride() == value.stride()


def test_an_error_in_a_part_reaches_the_caller() -> None:
    whole = backward_of(torch.from_numpy(X[:64]), torch.from_numpy(Y[:64]))

    def fails(module: nn.Module, part: RowSlice) -> torch.Tensor:
        if part.number == 1:
            raise ValueError("in the second part")
        return whole(module, part)

    with (
        closing(parts(network(), 64, workers=2)) as made,
        pytest.raises(ValueError, match="in the second part"),
    ):
        made.gradient(64, fails)


@given(st.integers(1, 300), st.integers(1, 7), st.booleans())
def test_ranks_share_out_every_row_once_and_parts_whole(rows: int, count: int, mixes: bool) -> None:
    """As many parts as ranks, or more, are those of one process; rows that mix are never apart from their part."""
    alone = BatchDivision(parts_of).own(rows, MOST_PARTS)
    shared = [
        part
        for rank in range(count)
        for part in BatchDivision(parts_of, RankGroup(rank, count), mixes).own(rows, MOST_PARTS)
    ]
    assert [row for part in shared for row in range(part.first, part.stop)] == list(range(rows))
    if mixes or len(alone) >= count:
        assert shared == alone
    else:
        sizes = [part.stop - part.first for part in shared]
        assert len(shared) == min(rows, count)
        assert max(sizes) - min(sizes) <= 1


def test_tables_and_the_last_product_of_their_shape_are_no_matrices_to_an_optimizer() -> None:
    """A small table beside the largest one, too; a frozen one is not learned at all."""
    module = nn.Sequential(
        nn.Embedding(20, 4), nn.Embedding(6, 4), nn.Linear(4, 6, bias=False), nn.Linear(4, 20)
    )
    module.append(nn.Embedding(9, 4)).requires_grad_(True)
    module[4].weight.requires_grad_(False)
    shapes = [tuple(shape) for shape in optimized_shapes(module)]
    assert shapes == [(1, 20, 4), (1, 6, 4), (6, 4), (1, 20, 4), (20,)]
    assert [tuple(shape) for shape in optimized_shapes(network())] == [
        (16, 8),
        (16,),
        (2, 16),
        (2,),
    ]
