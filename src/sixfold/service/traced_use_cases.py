"""A span for each use case, where somebody takes traces: the use cases themselves know nothing of it."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from types import ModuleType
from typing import Any, Final

from sixfold.service.use_cases import (
    deployments,
    files,
    fine_tuning,
    jobs,
    overview,
    people,
    registry,
    served_models,
    sessions,
    sign_on,
    uploads,
    usage,
    users,
    workers,
)
from sixfold.telemetry import traces

MODULES: Final = (
    *(deployments, files, fine_tuning, jobs, overview, people),
    *(registry, served_models, sessions, sign_on, uploads, usage, users, workers),
)


def trace_use_cases() -> None:
    """Every public function of these modules that takes the service is a span `MODULE.FUNCTION` from now on, for whoever calls
    it by its module's name, as all routes do.
    """
    for module in MODULES:
        for name, function in use_cases_of(module).items():
            setattr(module, name, traced(f"{module.__name__.rpartition('.')[2]}.{name}", function))


def use_cases_of(module: ModuleType) -> dict[str, Callable[..., Any]]:
    """By name; those that are traced already are none."""
    return {
        name: function
        for name, function in vars(module).items()
        if inspect.isfunction(function)
        and function.__module__ == module.__name__
        and not name.startswith("_")
        and not hasattr(function, "__wrapped__")
        and "service" in inspect.signature(function).parameters
    }


def traced(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """The same, within a span."""

    @wraps(function)
    def called(*arguments: Any, **named: Any) -> Any:
        with traces.span(name):
            return function(*arguments, **named)

    return called
