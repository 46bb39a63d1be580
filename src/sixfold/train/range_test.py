"""`learning_rate: auto`: a range test. The rate rises step by step from far too low to far too
high; where the loss falls, and where it no longer does, says which rate to train with.

Smith, Cyclical learning rates for training neural networks, 2017; rates that rise by equal factors
as in fastai. Which point of the curve is taken was measured (bench/learning_rate_auto.py):
docs/explanation/auto-optimizer.md.
"""

from __future__ import annotations

import copy
import math
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from sixfold.core.errors import RecipeError
from sixfold.core.seeds import derive
from sixfold.parts.fit import Setting
from sixfold.parts.table import FloatArray
from sixfold.recipe.kinds import OPTIMIZER
from sixfold.recipe.plugin_fields import Options
from sixfold.recipe.schema import Train
from sixfold.runs.context import Context
from sixfold.train import threads
from sixfold.train.batches import Batch, Batches, SomeRows, permutation
from sixfold.train.device import generator
from sixfold.train.network import Network
from sixfold.train.rate import AUTO, Rate, takes_auto
from sixfold.train.replicas import Replica, ReplicaLearner

# Rates that are tried: the optimizer's own divided by DOWN, to the same times UP. Measured, 11
# optimizers on 7 networks: below, nothing moves in so few steps; the best of a grid was never
# above.
DOWN, UP = 100.0, 1000.0
EPOCHS, LEAST, MOST = (
    2,
    30,
    100,
)  # steps: two epochs' worth, within these bounds: 60 or 100 were hardly better than 30
ROWS = (
    2048  # of a larger batch this many will do, where two epochs' worth of rows are fewer: guessed
)
SMOOTH = 5  # steps whose mean is looked at
FALL = (
    2 / 3
)  # share of the largest fall of the loss at which the rate is taken: measured, beside 0.2 to 0.9
CLEAR = 5.0  # a loss grows for some steps before it is seen to: guessed; on 7 networks it changed nothing for the worse
FLAT = 0.02  # a fall of less than this share of the first loss is noise: guessed
DIVERGED = 1.0  # the test ends where the loss has risen by this share of the first one
SHARE_OF_TIME = 0.25  # of the time left: the training needs the rest


@dataclass(frozen=True)
class Rise:
    """factor = span ^ (step / (steps − 1) − 1): from 1 / span to 1, by equal factors."""

    span: float

    def factor(self, step: int, steps: int) -> float:
        """What the largest rate is multiplied by."""
        return float(self.span ** (step / (steps - 1) - 1.0))


@dataclass(frozen=True)
class RangeCurve:
    """What one replica's loss did. `rates`: [steps], rising; `changes`: [steps], of each step's
    batch: its loss with the weights of that step less its loss with the start weights, as a share
    of the mean of the latter.
    """

    rates: FloatArray
    changes: FloatArray

    def smooth(self) -> FloatArray:
        """Means over SMOOTH steps, less the first of them, up to where the loss has diverged: [some
        of the steps].
        """
        shown = np.nan_to_num(self.changes, nan=2 * DIVERGED, posinf=2 * DIVERGED).clip(
            -1.0, 2 * DIVERGED
        )
        means = np.convolve(
            np.pad(shown, SMOOTH // 2, mode="edge"), np.full(SMOOTH, 1.0 / SMOOTH), "valid"
        )
        means -= means[0]
        beyond = np.flatnonzero(means > DIVERGED)
        return np.asarray(means[: beyond[0]] if len(beyond) else means)

    def best(self) -> float | None:
        """The rate at which FALL of the largest fall is done, between two steps as on a straight
        line; no more than the rate at which the fall is lost again, divided by CLEAR. None without
        a fall.
        """
        falls = -self.smooth() if len(self.changes) else np.zeros(1)
        if falls.max() < FLAT:
            return None
        goal = FALL * falls.max()
        at = int(np.argmax(falls >= goal))  # 1 or more: the first fall is 0
        share = (goal - falls[at - 1]) / (falls[at] - falls[at - 1])
        rate = self.rates[at - 1] * (self.rates[at] / self.rates[at - 1]) ** share
        lost = np.flatnonzero(np.append(falls, -1.0)[int(falls.argmax()) :] < 0)[0] + int(
            falls.argmax()
        )
        return float(min(rate, self.rates[lost] / CLEAR) if lost < len(self.rates) else rate)


def asked(train: Train) -> bool:
    """Whether the learning rate is to be found."""
    return train.optimizer.get("learning_rate") == AUTO


def with_default(optimizer: Options) -> Options:
    """The same options with the optimizer's own rate in the place of `auto`."""
    return {
        key: value
        for key, value in optimizer.items()
        if not (key == "learning_rate" and value == AUTO)
    }


def rounded(rate: float) -> float:
    """The largest of 1, 2 and 5 times a power of ten that is not above it: folds agree mostly, and
    are then stepped as one.
    """
    power = math.floor(math.log10(rate))
    written = [
        float(f"{digit}e{at}") for at in (power - 1, power) for digit in (1, 2, 5)
    ]  # 0.002, as a recipe would say it
    return max(number for number in written if number <= rate)


def rated(
    family: Network, replicas: Sequence[Replica], deadline: float | None, context: Context
) -> list[Replica]:
    """The same replicas with a number in the place of every `learning_rate: auto`, which is said.

    Nothing else changes: the test works on a copy of the weights, with generators of its own, on
    rows that are trained on. A replica's rate does not depend on who is tested beside it. Raises
    RecipeError for an optimizer that takes no such rate.
    """
    tested = [replica for replica in replicas if asked(replica.train)]
    if not tested:
        return list(replicas)
    started = time.monotonic()
    end = math.inf if deadline is None else started + SHARE_OF_TIME * (deadline - started)
    found = curves(family, tested, end)
    context.emit("range_tested", fits=len(tested), took_s=time.monotonic() - started)
    for name in dict.fromkeys(replica.fit.setting.name for replica in tested):
        own = [
            (r, curve) for r, curve in zip(tested, found, strict=True) if r.fit.setting.name == name
        ]
        report_rates(own[0][0].fit.setting, [curve for _, curve in own], context)
    left = iter(found)
    return [
        _with_rate(replica, next(left)) if asked(replica.train) else replica for replica in replicas
    ]


def curves(family: Network, replicas: Sequence[Replica], end: float = math.inf) -> list[RangeCurve]:
    """The range test of each, all at once; without steps where `end` (time.monotonic()) comes
    before the last one.
    """
    copies = [_copy(replica, number) for number, replica in enumerate(replicas)]
    stack = ReplicaLearner(family, copies)
    for stepper in stack.steppers:
        stepper.rate = Rate(stepper.rate.base * UP, Rise(DOWN * UP), 0.0, step_count(stepper.count))
    with threads.busy(stack.operations), torch.inference_mode(not stack.program.records):
        changes = _changes(stack, end)
    found: dict[int, RangeCurve] = {}
    for at, replica in enumerate(stack.replicas):
        rate, steps = stack.stepper_of(at).rate, step_count(replica.batches.count)
        times = tested_optimizer(replicas[replica.number].train.optimizer)[1]
        rates = times * np.array([rate.at(step) for step in range(steps)])
        found[replica.number] = RangeCurve(rates, changes[at])
    return [found[number] for number in range(len(replicas))]


@torch.no_grad()
def _changes(stack: ReplicaLearner, end: float) -> list[FloatArray]:
    """Train; of every replica the changes of its loss, as `RangeCurve` has them; none where the
    time is over.
    """
    start = stack.program_on(stack.theta.clone(), torch.zeros_like(stack.gradient))
    wanted = [step_count(replica.batches.count) for replica in stack.replicas]
    losses: list[list[tuple[float, float]]] = [[] for _ in wanted]
    while any(len(seen) < steps for seen, steps in zip(losses, wanted, strict=True)):
        for number, batch in enumerate(stack.together.epoch()):
            if time.monotonic() >= end:
                return [np.zeros(0)] * len(wanted)
            before = torch.linalg.vecdot(start.losses(batch.x, batch.target), batch.weight).tolist()
            encoded = stack.program.encode(batch.target.unsqueeze(1), batch.weight.unsqueeze(1))
            target, weight = (part[:, 0] for part in encoded)
            encoded_batch = Batch(batch.x, target, weight, number)
            stack.set_rate(encoded_batch)
            after = stack.backward(encoded_batch).tolist()
            stack.step(encoded_batch)
            for at, replica in enumerate(stack.replicas):
                if number < replica.batches.count and len(losses[at]) < wanted[at]:
                    losses[at].append((before[at], after[at]))
    return [relative_changes(np.array(seen)) for seen in losses]


def relative_changes(losses: FloatArray) -> FloatArray:
    """`losses`: [steps, 2], before and after → [steps]."""
    with np.errstate(all="ignore"):  # infinite after it has diverged
        return np.asarray((losses[:, 1] - losses[:, 0]) / np.abs(losses[:, 0]).mean())


def step_count(count: int) -> int:
    """Of a replica whose epoch has `count` batches."""
    return max(LEAST, min(MOST, EPOCHS * count))


def tested_optimizer(optimizer: Options) -> tuple[Options, float]:
    """The optimizer that is tested, which stands for one that names another (`rate_of`); what the
    rate is multiplied by.
    """
    name = str(optimizer["name"])
    settings = OPTIMIZER.load(name)
    if not takes_auto(settings):
        raise RecipeError(
            "train.optimizer.learning_rate",
            f"a number, as {name} searches or scales its steps itself",
            AUTO,
            "Leave it out, or choose another optimizer.",
        )
    other = settings.rate_of
    return (with_default(optimizer), 1.0) if other is None else ({"name": other[0]}, other[1])


def _copy(replica: Replica, number: int) -> Replica:
    """To be thrown away: in float64, so that a rate does not hang on the last bit of a sum; on some
    of the rows.
    """
    train = replica.train
    train = train.model_copy(
        update={"optimizer": tested_optimizer(train.optimizer)[0], "average": None}
    )
    seed = derive(replica.batches.seed, "range test")
    return replace(
        replica.with_train(train),
        number=number,
        module=copy.deepcopy(replica.module).to(torch.float64),
        batches=_some(replica.batches, seed),
        watched=None,
        noise=generator(replica.batches.y.device, seed),
    )


def _some(batches: Batches, seed: int) -> Batches:
    """Whole batches, as many as the test has steps or as there are. A batch of more than ROWS may
    be smaller.
    """
    rows = len(batches.x)
    size = min(batches.size, max(ROWS, EPOCHS * rows // LEAST))
    count = min(step_count(rows // size), rows // size)
    drawn = permutation(rows, torch.Generator().manual_seed(seed))[: count * size]
    x, y = SomeRows(batches.x, drawn, torch.float64), batches.y[drawn]
    y = y.to(torch.float64) if y.is_floating_point() else y
    weights = None if batches.weights is None else batches.weights[drawn].to(torch.float64)
    return Batches(x, y, size, seed, weights)


def _with_rate(replica: Replica, curve: RangeCurve) -> Replica:
    """With the rate of its curve, or without one: then the optimizer's own is taken."""
    train, rate = replica.train, curve.best()
    options = with_default(train.optimizer) | (
        {} if rate is None else {"learning_rate": rounded(rate)}
    )
    train = train.model_copy(update={"optimizer": options})
    return replica.with_train(train)


def report_rates(setting: Setting, curves: Sequence[RangeCurve], context: Context) -> None:
    """What was found for the fits of one candidate."""
    best = [curve.best() for curve in curves]
    rates, own = (
        Counter(rounded(rate) for rate in best if rate is not None),
        with_default(setting.train.optimizer),
    )
    name, missing = own["name"], len(best) - rates.total()
    if rates:
        counts = {
            rate: f" (fits: {fits})" if len(rates) > 1 else ""
            for rate, fits in sorted(rates.items())
        }
        shown = ", ".join(f"{rate:g}{count}" for rate, count in counts.items())
        text = f"{setting.name}: learning_rate {shown} for {name}, by a range test of {len(curves[0].rates)} steps"
        context.emit("note", text=text)
    if missing:
        kept = OPTIMIZER.make(own).learning_rate
        text = f"a range test found no learning_rate for {missing} of {len(best)} fits: the loss did not fall, or time was over"
        context.emit("warning", text=f"{setting.name}: {text}; {name} keeps its own, {kept:g}")
