"""Step 0: from a source (a file, a bundled table, a DataFrame) to a Dataset, with all that was
noticed said.
"""
