"""First on the path of all processes that the tests start, so that Python imports it in each: their
runs start no server and no process to measure a model in, and try, time and explain their models
for a moment, where users wait for up to 10, 4 and 10 s. Nothing waits for the disk: tests kill processes, whose written files
stay, and no machine. SIXFOLD_TESTS_FIGURES=whole gives a command what users have.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from types import ModuleType

TRIED_S, TIMED_S, EXPLAINED_S = 2.0, 0.1, 1.0
HELD_BYTES = 60_000_000
USERS: dict[str, Callable[..., object]] = {}  # what they have, for a test that asks for it


def no_server(http_latency: ModuleType) -> None:
    USERS["over_http"], why = http_latency.over_http, "this is a test"
    http_latency.over_http = lambda parts, deadline: http_latency.OverHttp(why=why)


def brief_trials(forecast: ModuleType) -> None:
    forecast.TRIALS_S = TRIED_S


def brief_timing(receipt: ModuleType) -> None:
    plain = receipt.compare
    receipt.compare = lambda before, after, table, most_s: plain(
        before, after, table, min(most_s, TIMED_S)
    )


def no_process(measure: ModuleType) -> None:
    USERS["peak_memory"] = measure.peak_memory
    measure.peak_memory = lambda model, table, rows: HELD_BYTES


def brief_lists(recommendation: ModuleType) -> None:
    recommendation.TIMED_S = TIMED_S


def brief_answers(language_speed: ModuleType) -> None:
    language_speed.ROUNDS, language_speed.ANSWER = 1, 8


def brief_explanation(explanation: ModuleType) -> None:
    explanation.MOST_S = EXPLAINED_S


CHANGES: dict[str, Callable[[ModuleType], None]] = {
    "sixfold.package.http_latency": no_server,
    "sixfold.plan.forecast": brief_trials,
    "sixfold.package.receipt": brief_timing,
    "sixfold.package.explanation": brief_explanation,
    "sixfold.compress.measure": no_process,
    "sixfold.package.recommendation": brief_lists,
    "sixfold.package.language_speed": brief_answers,
}


class AfterImport:
    """A finder on `sys.meta_path` that changes these modules as soon as they are there."""

    @staticmethod
    def find_spec(name: str, path: object = None, target: object = None) -> object:
        if name not in CHANGES:
            return None
        from importlib.machinery import PathFinder

        spec = PathFinder.find_spec(name, path, target)
        plain = spec.loader.exec_module

        def exec_module(module: ModuleType) -> None:
            plain(module)
            CHANGES[name](module)

        spec.loader.exec_module = exec_module
        return spec


if os.environ.get("SIXFOLD_TESTS_FIGURES") != "whole":
    sys.meta_path.insert(0, AfterImport)
    os.fsync = lambda handle: None
