"""A loss that jumps takes the last steps back; what is ordinary does not; a killed training does the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from killed_training import KilledError, every_step, killed_at
from sixfold.core.errors import RecipeError
from sixfold.parts.fit import Fit, Setting
from sixfold.recipe.kinds import FAMILY
from sixfold.recipe.schema import Train
from sixfold.runs.context import Context
from sixfold.train.loop import train
from sixfold.train.module import ModuleFit, ModuleLearner
from sixfold.train.spikes import EVERY, LEAST, RECENT, SpikeGuard
from sixfold.train.stopping import EarlyStopping


def test_a_spike_is_far_above_the_last_losses() -> None:
    guard = SpikeGuard(limit=4.0)
    assert not any(guard.jumps(loss) for loss in [9.0] * (LEAST - 1))
    assert not guard.jumps(100.0)  # too few to say
    guard = SpikeGuard(limit=4.0)
    losses = [1.0 + 0.1 * (n % 3) for n in range(RECENT)]
    assert not any(guard.jumps(loss) for loss in losses)
    assert guard.highest() == pytest.approx(1.1 + 4 * 0.0817, abs=0.01)
    assert guard.jumps(1.5)
    assert guard.jumps(float("nan"))
    assert not guard.jumps(1.3)  # and a spike is not remembered
    again = SpikeGuard(limit=4.0)
    again.load_state_dict(guard.state_dict())
    assert again.highest() == guard.highest()


class Values:
    """One row a batch: y = 2 x, but for one that is far off."""

    def __init__(self, odd: int) -> None:
        self.x = torch.linspace(-1, 1, 48)[:, None]
        self.y = 2 * self.x[:, 0]
        if odd >= 0:
            self.y[odd] = 50.0

    def __len__(self) -> int:
        return len(self.y)

    def read(self, rows: Any, draw: Any) -> tuple[torch.Tensor, torch.Tensor]:
        return self.x[torch.from_numpy(rows)], self.y[torch.from_numpy(rows)]


def fit(context: Context, odd: int, **options: Any) -> ModuleFit:
    optimizer = {"name": "sgd", "learning_rate": 0.02}
    section = Train(
        **{"batch_size": 1, "epochs": 1, "spike": 6.0, "optimizer": optimizer, **options}
    )
    torch.manual_seed(0)
    return ModuleFit(
        module=nn.Linear(1, 1),
        examples=Values(odd),
        losses=lambda outputs, y: (outputs[:, 0] - y).square(),
        train=section,
        stopping=EarlyStopping(section.stop),
        context=context,
        seed=1,
        operations=0.0,
    )


def row_of_step(step: int) -> int:
    """Which row that of the first epoch is."""
    return int(list(ModuleLearner(fit(Context(), -1)).batches())[step].rows[0])


def told(odd: int, **options: Any) -> tuple[torch.Tensor, list[str]]:
    notes = list[str]()

    def emit(kind: str, facts: dict[str, Any]) -> None:
        notes.extend([facts["text"]] if kind == "note" else [])

    ((_, weights),) = train(ModuleLearner(fit(Context(emit_to=emit), odd, **options)))
    return weights, notes


def test_the_weights_go_back_and_the_batch_is_passed_over() -> None:
    odd = row_of_step(40)
    weights, notes = told(odd)
    (note,) = notes
    assert note.startswith("step 41: the loss ")
    assert note.endswith(f": back to the weights after step {EVERY}.")
    careless, none = told(odd, spike=None)
    plain, quiet = told(-1)
    assert none == quiet == []
    assert (weights - plain).abs().max() < 0.5 * (careless - plain).abs().max()


@pytest.mark.parametrize("kill", [10, 39, 43])
def test_killed_around_a_spike_it_ends_with_the_same_bits(
    kill: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd = row_of_step(40)
    whole, _ = told(odd)
    with killed_at(kill, monkeypatch), pytest.raises(KilledError):
        train(ModuleLearner(fit(Context(), odd)), saves=every_step(tmp_path))
    ((_, weights),) = train(ModuleLearner(fit(Context(), odd)), saves=every_step(tmp_path))
    assert torch.equal(weights, whole)


@pytest.mark.parametrize(
    "options", [{"spike": 3.0}, {"precision": "bfloat16"}, {"precision": "auto"}]
)
def test_stacked_networks_know_neither_spikes_nor_bfloat16(options: dict[str, Any]) -> None:
    family: Any = FAMILY.make({"family": "linear"} | {"family": "mlp", "hidden": [4]}, "family")
    setting = Setting("mlp", family, train=Train(**options))
    x = torch.randn(8, 2).numpy()
    with pytest.raises(RecipeError, match=rf"train\.{next(iter(options))}: expected .* for mlp"):
        list(family.fit([Fit(x, x[:, 0], "regression", 1, seed=0, setting=setting)], Context()))
