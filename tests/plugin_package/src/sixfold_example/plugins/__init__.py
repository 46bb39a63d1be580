"""One file a plug-in, or close relatives together."""
