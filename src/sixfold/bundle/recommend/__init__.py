"""Recommendations: what a bundle answers with, in NumPy."""
