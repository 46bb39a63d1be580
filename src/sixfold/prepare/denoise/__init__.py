"""Which training rows are outliers: one method a file."""
