"""How rows are divided into folds: one scheme a file."""
