"""Options of `sixfold up` for what is kept, and what is paid for."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import click

from sixfold.core.errors import RecipeError, did_you_mean
from sixfold.core.units import seconds

if TYPE_CHECKING:
    from sixfold.service.domain.records import Prices
    from sixfold.service.use_cases.service import ServiceSettings

PRICES: Final = ("thousand-requests", "million-tokens-in", "million-tokens-out", "job-hour")
OPTIONS: Final = (
    click.option(
        "--keep-runs",
        metavar="TIME",
        help="How long after its end a job's run, events and data are kept, such as 30d; left out: for ever.",
    ),
    click.option(
        "--price",
        "prices",
        metavar="WHAT=NUMBER",
        multiple=True,
        help=f"What use costs: {', '.join(PRICES)}; repeatable. Left out: use is counted and has no cost.",
    ),
    click.option("--currency", metavar="NAME", help="Of the prices, such as EUR."),
)


def service_options(command: Callable[..., None]) -> Callable[..., None]:
    """The command gets `settings`."""

    @functools.wraps(command)
    def called(**given: Any) -> None:
        own = {name: given.pop(name) for name in ("keep_runs", "prices", "currency")}
        command(**given, settings=_settings(**own))

    for option in reversed(OPTIONS):
        called = option(called)
    return called


def _settings(
    keep_runs: str | None, prices: tuple[str, ...], currency: str | None
) -> ServiceSettings:
    from sixfold.service.use_cases.service import ServiceSettings

    if currency is not None and not prices:
        raise click.UsageError("--currency is for --price WHAT=NUMBER.")
    try:
        keep_runs_s = None if keep_runs is None else seconds(keep_runs)
    except RecipeError as error:
        text = f"{error.expected}; found {error.found}. {error.remedy}"
        raise click.BadParameter(text, param_hint="--keep-runs") from None
    return ServiceSettings(
        keep_runs_s=keep_runs_s, prices=_prices(prices, currency or "") if prices else None
    )


def _prices(given: tuple[str, ...], currency: str) -> Prices:
    from sixfold.service.domain.records import Prices

    found = dict[str, float]()
    for one in given:
        name, _, text = one.partition("=")
        if name not in PRICES:
            hint = did_you_mean(name, PRICES)
            raise click.BadParameter(f"no price of {name!r}. {hint}", param_hint="--price")
        try:
            value = float(text)
        except ValueError:
            value = -1.0
        if not (math.isfinite(value) and value >= 0):
            expected = "WHAT=NUMBER, the number 0 or more"
            raise click.BadParameter(f"{expected}; found {one!r}", param_hint="--price")
        found[name.replace("-", "_")] = value
    return Prices(**found, currency=currency)
