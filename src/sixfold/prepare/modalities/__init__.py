"""Modalities, one file each: how a kind of data is recognized, kept and prepared for training."""
