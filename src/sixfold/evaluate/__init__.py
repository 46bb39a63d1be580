"""Step 5: folds, metrics, cross-validation, comparison."""
