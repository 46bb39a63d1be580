"""What a run says while it works: a live line on a terminal, plain lines in a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import click

from sixfold.cli import standard_streams
from sixfold.core.units import show_seconds
from sixfold.core.visible import one_line
from sixfold.recipe.receipt import Step

Event = dict[str, Any]


class Lines:
    """Plain lines on stderr: one for each fact that a reader of a log wants."""

    def __init__(self) -> None:
        self.started = time.monotonic()

    def __call__(self, event: Event) -> None:
        """A listener of the run's events."""
        text = describe(event)
        if text:
            click.echo(
                one_line(f"[{show_seconds(time.monotonic() - self.started):>8}] {text}"), err=True
            )


@dataclass
class ProgressPace:
    """How fast a run goes: fits of candidates on folds, and epochs of the fit in work. Times are
    time.monotonic() s.
    """

    planned: int = 0
    seen: int = 0  # of those planned, the ones that were named
    candidates_done: int = 0
    folds: int = 0
    folds_done: int = 0  # of the candidate in work
    fits: int = 0  # of this process; what an earlier one finished took no time
    started: float | None = None
    first: tuple[Any, float, int] | None = (
        None  # fit, moment and epoch at which its epochs were first seen
    )
    outer: dict[int, ProgressPace] = field(
        default_factory=dict
    )  # of the outer fold in work: its candidates and folds are its own

    def see(self, event: Event, now: float) -> str:
        """The moving line after `event`; '' where it stays as it is."""
        kind = event["event"]
        if "outer" in event:
            return self._outer(event, now)
        if kind == "candidate_planned":
            self.seen += 1
            self.planned = max(self.planned, self.seen)
        elif kind == "search_planned":
            self.planned = int(event["trials"])
        elif kind == "stage_started":
            self.started = now if self.started is None else self.started
            return self._stage(str(event["stage"]), now)
        elif kind == "fold_scored" and "candidate" in event and event.get("fold") is not None:
            self.folds = int(event["folds"])
            self.fits += 1
            self.folds_done += 1
            return f"{event['candidate']}: fold {event['fold'] + 1} of {self.folds} done{self._fits(now)}"
        elif kind in ("candidate_finished", "candidate_dropped"):
            self.candidates_done += 1
            self.folds_done = 0
        elif kind == "epoch":
            return self._epoch(event, now) + self._fits(now)
        return ""

    def _outer(self, event: Event, now: float) -> str:
        number = int(event["outer"])
        if number not in self.outer:
            self.outer = {number: ProgressPace(started=now)}
        inner = {name: fact for name, fact in event.items() if name != "outer"}
        text = self.outer[number].see(inner, now)
        return f"outer fold {number + 1}: {text}" if text else ""

    def _stage(self, name: str, now: float) -> str:
        if "/" in name:  # inside of an outer fold, whose other events tell more
            return ""
        return f"{name}{self._fits(now)}" if name.startswith("evaluate") else name

    def _fits(self, now: float) -> str:
        """`; 7 of 15 fits, 1.2 fits/s, 6.7 s left`, while candidates are compared."""
        all_fits = self.planned * self.folds
        done = self.candidates_done * self.folds + self.folds_done
        if not all_fits or done >= all_fits or self.started is None:
            return ""
        rate = self.fits / (now - self.started) if now > self.started else 0.0
        left = f", {rate:.2g} fits/s, {show_seconds((all_fits - done) / rate)} left" if rate else ""
        return f"; {done} of {all_fits} fits{left}"

    def _epoch(self, event: Event, now: float) -> str:
        """Rate and remaining time of this fit."""
        key = (event.get("candidate"), event.get("fold"))
        if self.first is None or self.first[0] != key or event["epoch"] <= self.first[2]:
            self.first = (key, now, event["epoch"])
        done = event["epoch"] - self.first[2]
        rate = done / (now - self.first[1]) if done and now > self.first[1] else 0.0
        left = (
            f", {rate:.1f} epochs/s, {show_seconds((event['epochs'] - event['epoch']) / rate)} left"
            if rate
            else ""
        )
        fold = f" fold {event['fold'] + 1}" if event.get("fold") is not None else ""
        text = f"{event.get('candidate', '')}{fold}: epoch {event['epoch']} of {event['epochs']}"
        return (
            f"{text}, loss {event['loss']:.4g}{left}"
            if event.get("loss") is not None
            else f"{text}{left}"
        )


class Live:
    """On a terminal: the same lines, and below them one that moves, with rate and remaining
    time.
    """

    def __init__(self) -> None:
        from rich.console import Console

        self.console = Console(file=standard_streams.acting(sys.stderr))
        self.status = self.console.status("reading data")
        self.status.start()
        self.started = time.monotonic()
        self.pace = ProgressPace()

    def __call__(self, event: Event) -> None:
        """A listener of the run's events."""
        moving = self.pace.see(event, time.monotonic())
        if moving:
            self.status.update(_escape(moving))
        text = describe(event)
        if text:
            self.console.print(
                f"[dim]{show_seconds(time.monotonic() - self.started):>8}[/dim] {_escape(text)}"
            )
        if event["event"] == "run_finished":
            self.status.stop()

    def stop(self) -> None:
        """Take the moving line away."""
        self.status.stop()


def describe(event: Event) -> str:
    """An event in words; '' for those that only a program wants. Of an outer fold: what it found,
    and its warnings.
    """
    words = WORDS.get(event["event"])
    if words is None or ("outer" in event and event["event"] not in ("nested_scored", "warning")):
        return ""
    return words(event)


def _planned(event: Event) -> str:
    return f"candidate {event['candidate']}" + (f": {event['why']}" if event["why"] else "")


def _epoch(event: Event) -> str:
    if not _is_reported(event):
        return ""
    return f"{event.get('candidate', '')}: epoch {event['epoch']} of {event['epochs']}, loss {event['loss']:.6g}"


def _fold(event: Event) -> str:
    if event["folds"] > 20 or "candidate" not in event:  # compression scores folds too
        return ""
    return f"{event['candidate']} fold {event['fold'] + 1} of {event['folds']}: {_scores(event['scores'])}"


def _warning(event: Event) -> str:
    where = f"outer fold {event['outer'] + 1}: " if "outer" in event else ""
    return f"warning: {where}{event['text']}"


def _step(event: Event) -> str:
    return Step(name=event["name"], accepted=event["accepted"], why=event["why"]).sentence()


WORDS: Final[dict[str, Callable[[Event], str]]] = {
    "note": lambda event: str(event["text"]),
    "warning": _warning,
    "nested_scored": lambda event: (
        f"outer fold {event['outer'] + 1} of {event['of']}: {event['chosen']} chosen by {event['metric']} "
        f"{event['inner']:.4f}; {event['score']:.4f} on rows that had no part in it"
    ),
    "rows": lambda event: f"{event['training']:,} rows to train on, {event['held_out']:,} held out",
    "planned": lambda event: f"plan: {'; '.join(event['text'])}",
    "candidate_planned": _planned,
    "search_planned": lambda event: (
        f"search: {event['trials']} trials, each proposed by what those before scored"
    ),
    "candidate_dropped": lambda event: (
        f"{event['candidate']} dropped after {event['folds']} of {event['of']} folds: {event['why']}"
    ),
    "epoch": _epoch,
    "fold_scored": _fold,
    "candidate_finished": lambda event: f"{event['candidate']}: {_scores(event['scores'])}",
    "winner": lambda event: (
        f"winner by {event['metric']}: {event['candidate']}; trained again on all training rows"
    ),
    "compression_step": _step,
    "stage_skipped": lambda event: (
        "" if "/" in event["stage"] else f"{event['stage']}: done before"
    ),
}


def _is_reported(event: Event) -> bool:
    """Epochs are printed where the recipe asks for every so many of them (report_every above 1)."""
    return int(event.get("report_every", 1)) > 1


def _scores(scores: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.4f}" for name, value in scores.items() if value == value)


def _escape(text: str) -> str:
    """Of an event, for rich: nothing in it is an instruction, neither to the terminal nor in rich's
    own markup.
    """
    from rich.markup import escape

    return escape(one_line(text))
