"""Step 1 of texts: what is counted, which tokens there are, what a checkpoint makes of them; one
method a file.
"""
