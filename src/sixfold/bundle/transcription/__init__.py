"""Texts out of what a network says of every moment of a recording."""
