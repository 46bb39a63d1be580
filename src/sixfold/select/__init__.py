"""Who wins: comparison, racing, halving, search, ensemble, nested cross-validation."""
