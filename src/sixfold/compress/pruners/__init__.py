"""What can be taken away: one target a file."""
