"""A command line, which nothing but the user starts."""


class Arguments:
    """What the command takes."""


raise SystemExit("the command line ran")
