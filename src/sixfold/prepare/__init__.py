"""Step 1: from raw columns to features, fitted on training rows only, exported into the one
graph.
"""
