"""What a run says while it works: a live line on a terminal, plain lines in a log."""

from __future__ import annotations

import time
from typing import Any

import click

from sixfold.core.units import show_seconds

Event = dict[str, Any]


class Lines:
    """Plain lines on stderr: one for each fact that a reader of a log wants."""

    def __init__(self) -> None:
        self.started = time.monotonic()

    def __call__(self, event: Event) -> None:
        """A listener of the run's events."""
        text = describe(event)
        if text:
            click.echo(f"[{show_seconds(time.monotonic() - self.started):>8}] {text}", err=True)


class Live:
    """On a terminal: the same lines, and below them one that moves, with rate and remaining time."""

    def __init__(self) -> None:
        from rich.console import Console

        self.console = Console(stderr=True)
        self.status = self.console.status("reading data")
        self.status.start()
        self.started = time.monotonic()
        self.first: tuple[Any, float, int] | None = None

    def __call__(self, event: Event) -> None:
        """A listener of the run's events."""
        if event["event"] == "epoch":
            self.status.update(self._epoch(event))
            if "loss" not in event or not _is_reported(event):
                return
        text = describe(event)
        if text:
            self.console.print(f"[dim]{show_seconds(time.monotonic() - self.started):>8}[/dim] {_escape(text)}")
        if event["event"] == "run_finished":
            self.status.stop()

    def stop(self) -> None:
        """Take the moving line away."""
        self.status.stop()

    def _epoch(self, event: Event) -> str:
        """Rate and remaining time of this fit."""
        key = (event.get("candidate"), event.get("fold"))
        now = time.monotonic()
        if self.first is None or self.first[0] != key or event["epoch"] <= self.first[2]:
            self.first = (key, now, event["epoch"])
        done = event["epoch"] - self.first[2]
        rate = done / (now - self.first[1]) if done else 0.0
        left = f", {rate:.1f} epochs/s, {show_seconds((event['epochs'] - event['epoch']) / rate)} left" if rate else ""
        where = f"{event.get('candidate', '')} fold {event.get('fold', 0) + 1}"
        return _escape(f"{where}: epoch {event['epoch']} of {event['epochs']}, loss {event['loss']:.4g}{left}")


def describe(event: Event) -> str:
    """An event in words; '' for those that only a program wants."""
    kind = event["event"]
    if kind in ("said", "warning"):
        return f"{'warning: ' if kind == 'warning' else ''}{event['text']}"
    if kind == "rows":
        return f"{event['training']:,} rows to train on, {event['held_out']:,} held out"
    if kind == "candidate_planned":
        return f"candidate {event['candidate']}" + (f": {event['why']}" if event["why"] else "")
    if kind == "epoch" and _is_reported(event):
        return f"{event.get('candidate', '')}: epoch {event['epoch']} of {event['epochs']}, loss {event['loss']:.6g}"
    if kind == "fold_scored" and event["folds"] <= 20 and "candidate" in event:  # compression scores folds too
        return f"{event['candidate']} fold {event['fold'] + 1} of {event['folds']}: {_scores(event['scores'])}"
    if kind == "candidate_finished":
        return f"{event['candidate']}: {_scores(event['scores'])}"
    if kind == "winner":
        return f"winner by {event['metric']}: {event['candidate']}; trained again on all training rows"
    if kind == "compression_step":
        return f"{event['name']}: {'accepted' if event['accepted'] else 'refused'}: {event['why']}"
    if kind == "stage_skipped":
        return f"{event['stage']}: done before"
    return ""


def _is_reported(event: Event) -> bool:
    """Epochs are printed where the recipe asks for every so many of them (report_every above 1)."""
    return int(event.get("report_every", 1)) > 1


def _scores(scores: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.4f}" for name, value in scores.items() if value == value)


def _escape(text: str) -> str:
    return text.replace("[", "\\[")
