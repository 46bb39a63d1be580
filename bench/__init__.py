"""Side-by-side measurements: one file a measurement; `make bench` prints one table and writes
`bench/results.json`.
"""
