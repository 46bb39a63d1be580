"""The prediction server: HTTP around a bundle, and nothing of training."""
