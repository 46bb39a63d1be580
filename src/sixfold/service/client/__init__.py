"""A service from outside: `sixfold.Client`, and the verbs of the command line over it."""
