"""python -m sixfold: the same as the command."""

from sixfold.cli import main

main()
