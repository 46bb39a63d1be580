"""What takes the place of a missing value: one method a file."""
