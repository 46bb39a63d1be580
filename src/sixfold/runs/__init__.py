"""The run folder: stages, events, budgets, resume."""
