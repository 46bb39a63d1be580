"""The control plane: many people, one machine or many. Domain → ports → use cases → stores, API, console.

It calls `pipeline` by command line in child processes, and serves by processes of `sixfold serve`; nothing of it is
needed by either.
"""
