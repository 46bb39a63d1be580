"""The command line: one thin file a verb, loaded when it is called."""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from sixfold import __version__
from sixfold.cli import standard_streams
from sixfold.core import interrupt, strict_json
from sixfold.core.errors import BudgetError, SixfoldError, SystemFault, did_you_mean
from sixfold.core.visible import one_line

TRAINING = (
    "torch",
    "sklearn",
    "lightgbm",
    "optuna",
    "pandas",
    "pyarrow",
    "onnx",
    "safetensors",
    "scipy",
)
# By the name of a module: the extra that brings it.
EXTRA = {
    **dict.fromkeys(TRAINING, "train"),
    **dict.fromkeys(("openvino", "openvino_genai", "tokenizers"), "language-serve"),
    **dict.fromkeys(("gguf", "peft"), "language"),
    **dict.fromkeys(("alembic", "fastapi", "fsspec", "httpx", "sqlalchemy"), "service"),
    **dict.fromkeys(("authlib", "joserfc"), "oidc"),
    "opentelemetry": "otel",
    "ray": "ray-serve",
}
OTLP = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
CODES = """
\b
Exit codes: 0 done, 1 another mistake, 2 recipe or command line, 3 data, 4 fit, 5 budget, 6 bundle, 7 rows for prediction,
8 machine (read-only folder, full disk, missing extra), 130 interrupted: the same command continues.
"""


class Verbs(click.Group):
    """The folder's listing is the list of verbs; the file's name is the verb's."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order a user meets them."""
        return [
            "init",
            "check",
            "plan",
            "run",
            "predict",
            "explain",
            "serve",
            "chat",
            "export",
            "verify",
            "inspect",
            "schema",
            "doctor",
            "up",
            "worker",
            "login",
            "submit",
            "jobs",
            "logs",
            "models",
            "deploy",
            "deployments",
            "keys",
            "users",
            "backup",
            "restore",
        ]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one verb."""
        if cmd_name not in self.list_commands(ctx):
            return None
        command: click.Command = importlib.import_module(f"sixfold.cli.{cmd_name}").command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """With "did you mean"."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            hint = did_you_mean(args[0], self.list_commands(ctx))
            raise click.UsageError(f"{error.message} {hint}", ctx) from None


@click.group(cls=Verbs, epilog=CODES, context_settings={"max_content_width": 120})
@click.version_option(__version__, package_name="sixfold")
def group() -> None:
    """Raw data and a budget in; a served model with a receipt out."""


def main() -> None:
    """Run the command line, as `sixfold.__main__` does, but for Ctrl-C."""
    with told():
        group.main(standalone_mode=False, prog_name="sixfold")


@contextlib.contextmanager
def told() -> Iterator[None]:
    """A user's mistake is four parts on stderr and an exit code, never a traceback."""
    standard_streams.guard()
    try:
        yield
        sys.stdout.flush()
    except SixfoldError as error:
        _fail(error)
    except ModuleNotFoundError as error:
        package = (error.name or "").split(".")[0]
        if package not in EXTRA:
            raise
        _fail(missing_extra(package))
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        click.echo(interrupt.MESSAGE, err=True)
        sys.exit(interrupt.CODE)
    except (standard_streams.ReaderGone, BrokenPipeError):
        sys.exit(0)
    except UnicodeEncodeError as error:
        _fail(_unwritable(error))
    except MemoryError as error:
        _fail(_out_of_memory(error))


def missing_extra(name: str) -> SystemFault:
    """What to say when the base install meets a verb that trains, or a language model."""
    return SystemFault(
        "this installation",
        f"the extra `{EXTRA[name]}`",
        f"no {name}",
        f"Install it: pip install 'sixfold[{EXTRA[name]}]'.",
    )


def _unwritable(error: UnicodeEncodeError) -> SystemFault:
    character = ascii(error.object[error.start])
    remedy = "Set PYTHONIOENCODING=utf-8, or write to a file with --out."
    return SystemFault(
        "standard output", f"text that {error.encoding} can write", character, remedy
    )


def _out_of_memory(error: MemoryError) -> BudgetError:
    found = (str(error).splitlines() or ["no more than that"])[0][:120] or "no more than that"
    remedy = "Set budget.memory, so that it is planned; or take fewer rows or columns, or smaller candidates."
    return BudgetError("memory", "what this machine gives to one process", found, remedy)


def _fail(error: SixfoldError) -> None:
    if "--json" in sys.argv:
        parts = {name: getattr(error, name) for name in ("where", "expected", "found", "remedy")}
        with contextlib.suppress(
            SixfoldError, standard_streams.ReaderGone
        ):  # the first mistake is the one to be told
            show_json({"error": {"kind": type(error).__name__, **parts}}, indent=None)
    click.echo(one_line(f"sixfold: {error}"), err=True)
    sys.exit(error.exit_code)


def show_json(value: object, indent: int | None = 1) -> None:
    """One JSON document on stdout."""
    with standard_streams.exact():
        click.echo(strict_json.text(value, indent))


@contextlib.contextmanager
def observed(log: str | None, process: str) -> Iterator[None]:
    """For what works until it is ended: its log, and its traces where OpenTelemetry's environment says where they go."""
    from sixfold.telemetry import logs

    with contextlib.ExitStack() as stack:
        stack.enter_context(logs.written(log))
        if any(os.environ.get(name) for name in OTLP):
            from sixfold.telemetry import otlp

            stack.enter_context(otlp.exported(process))
        yield


JSON = click.option("--json", "as_json", is_flag=True, help="One JSON document instead of text.")
EXISTING = click.Path(path_type=Path)
ALLOW_PLUGIN = click.option(
    "--allow-plugin",
    "allow",
    metavar="NAME",
    multiple=True,
    help="An installed plug-in of another package that the bundle may use: its runtime, or a reader of its columns; repeatable.",
)
LOG_FORMS = click.Choice(["json", "text"])
LOG = click.option(
    "--log",
    type=LOG_FORMS,
    help="A line on stderr for each request and each job's step, as JSON or for people; left out: warnings alone.",
)
# Of a service, on the machine where it runs.
HOME = click.option(
    "--home",
    type=EXISTING,
    default=Path("sixfold-home"),
    show_default=True,
    help="Where everything is.",
)
DATABASE = click.option(
    "--database", metavar="URL", help="postgresql+psycopg://…; left out: SQLite in --home."
)
ARTIFACTS = click.option(
    "--artifacts", metavar="URL", help="s3://bucket/prefix or a folder; left out: in --home."
)
