"""The deployable result: written, verified, loaded and asked. Nothing of training is imported."""
