"""Plug-ins for Sixfold, as an example and for its tests."""
