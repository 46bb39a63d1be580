"""The command, and python -m sixfold: Ctrl-C is looked after before the imports begin."""

from __future__ import annotations

import contextlib
import importlib
import os
import sys

from sixfold.core import interrupt


def main() -> None:
    """Run the command line."""
    interrupt.guard()
    try:
        cli = importlib.import_module("sixfold.cli")
        interrupt.orderly()
        with cli.told():
            cli.group.main(standalone_mode=False, prog_name="sixfold")
        interrupt.settle()
    except KeyboardInterrupt:
        interrupt.end()
    except SystemExit as error:
        interrupt.settle()
        if error.code == interrupt.CODE:  # no waiting for a solver's threads
            with contextlib.suppress(OSError, ValueError):
                sys.stdout.flush()
            os._exit(interrupt.CODE)
        raise


if __name__ == "__main__":
    main()
