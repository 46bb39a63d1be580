"""sixfold serve: answer over HTTP."""

from __future__ import annotations

from pathlib import Path

import click

from sixfold.cli import ALLOW_PLUGIN, EXISTING, LOG, observed


@click.command(name="serve")
@click.argument("bundle", type=EXISTING)
@click.option(
    "--host", help="Address to listen on; left out: 127.0.0.1, whatever the bundle's recipe says."
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    help="Port; 0 takes any that is free; left out: the recipe's.",
)
@click.option("--name", help="What requests call the model; left out: the recipe's name.")
@click.option(
    "--allow-host",
    "allow_hosts",
    metavar="NAME",
    multiple=True,
    help="A name by which clients may ask, besides localhost and the address; repeatable; * allows any.",
)
@click.option(
    "--trust-recipe",
    is_flag=True,
    help="Take host, port and limits of the recipe, also beyond the defaults.",
)
@click.option(
    "--ray",
    "on_ray",
    is_flag=True,
    help="Deploy replicas with Ray Serve: on the cluster that RAY_ADDRESS names, or one of this machine.",
)
@click.option(
    "--min-replicas",
    type=click.IntRange(1, 10_000),
    help="With --ray: how many there are at least; left out: 1.",
)
@click.option(
    "--max-replicas",
    type=click.IntRange(1, 10_000),
    help="With --ray: how many there are at most, where requests wait; left out: as many as at least.",
)
@LOG
@ALLOW_PLUGIN
def command(
    bundle: Path,
    host: str | None,
    port: int | None,
    name: str | None,
    allow_hosts: tuple[str, ...],
    trust_recipe: bool,
    on_ray: bool,
    min_replicas: int | None,
    max_replicas: int | None,
    log: str | None,
    allow: tuple[str, ...],
) -> None:
    """Serve BUNDLE until SIGTERM: /predict, /signature, /metrics, /v2, and a page to try it at /;
    a language model at /v1, as OpenAI's clients ask, with a page to talk to it.
    """
    if on_ray and log:
        raise click.UsageError("--log is for a server of one process: Ray has logs of its own.")
    if on_ray:
        from sixfold.serve.on_ray import Replicas, serve_on_ray

        least = min_replicas or 1
        replicas = Replicas(least, max_replicas or least)
        given = {key: value for key, value in (("host", host), ("port", port)) if value is not None}
        serve_on_ray(bundle, replicas, given, allow_hosts, trust_recipe, allow)
        return
    if min_replicas or max_replicas:
        raise click.UsageError("--min-replicas and --max-replicas are for --ray.")
    from sixfold.bundle.load import load
    from sixfold.serve.run import serve

    loaded = load(bundle, allow)
    named = loaded if name is None else loaded.named(name)
    with observed(log, "sixfold-replica"):
        serve(named, host, port, allow_hosts=allow_hosts, trust_recipe=trust_recipe)
