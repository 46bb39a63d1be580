"""Readers of modalities, one file each, named as the modality: the serving half, without anything
of training.
"""
