"""Which candidates get all folds: one way to select a file."""
