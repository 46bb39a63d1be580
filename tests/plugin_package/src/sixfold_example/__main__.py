"""A command line, which nothing but the user starts."""

raise SystemExit("the command line ran")
