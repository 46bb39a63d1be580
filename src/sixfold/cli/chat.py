"""sixfold chat: talk to a language model in a terminal."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from sixfold.cli import ALLOW_PLUGIN, EXISTING, standard_streams

BYE = ("/exit", "/quit")


@click.command(name="chat")
@click.argument("bundle", type=EXISTING)
@click.option("--system", help="What the model is told before everything else.")
@click.option("--temperature", type=click.FloatRange(0, 2), default=0.7, show_default=True)
@click.option("--top-p", type=click.FloatRange(0, 1, min_open=True), default=1.0, show_default=True)
@click.option(
    "--max-tokens",
    type=click.IntRange(1),
    default=256,
    show_default=True,
    help="Tokens of an answer.",
)
@click.option("--seed", type=click.IntRange(0), help="The same messages get the same answers.")
@click.option(
    "--threads",
    type=click.IntRange(0, 1024),
    default=0,
    help="Left out: as many as there are cores.",
)
@ALLOW_PLUGIN
def command(
    bundle: Path,
    system: str | None,
    temperature: float,
    top_p: float,
    max_tokens: int,
    seed: int | None,
    threads: int,
    allow: tuple[str, ...],
) -> None:
    """Talk to the language model of BUNDLE; a line is a message, Ctrl-D ends it. From a pipe: an
    answer a line.

    A model without a chat template goes on from each line.
    """
    from sixfold.bundle.language.requests import Sampling
    from sixfold.bundle.language.talking import Chat
    from sixfold.bundle.load import load
    from sixfold.bundle.runtime import Generates
    from sixfold.core.errors import BundleError

    runtime = load(bundle, allow).predictor.runtime
    if not isinstance(runtime, Generates):
        remedy = "Ask it with `sixfold predict`, or `sixfold serve`."
        raise BundleError(str(bundle), "a language model's bundle", "one that answers rows", remedy)
    model = runtime.language_model()
    model.start(1, threads)
    sampling = Sampling(temperature=temperature, top_p=top_p)
    talk = Chat(model, sampling, seed, max_tokens)
    if system is not None:
        talk.messages = [{"role": "system", "content": system}]
    _talk(talk, sys.stdin.isatty() and sys.stdout.isatty())
    model.close()


def _talk(talk: Any, interactive: bool) -> None:
    if interactive:
        kind = "message" if talk.chats else "beginning of a text"
        click.echo(f"Each line is a {kind}; /exit or Ctrl-D ends it.", err=True)
    with standard_streams.exact() as out:
        while True:
            if interactive:
                click.echo("> ", nl=False, err=True)
            line = sys.stdin.readline()
            if not line or line.strip() in BYE:
                return
            if not line.strip():
                continue
            for piece in talk.say(line.rstrip("\n")):
                out.write(piece)
                out.flush()
            out.write("\n")
            out.flush()
