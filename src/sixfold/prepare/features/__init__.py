"""How columns become features: one method a file."""
