"""Step 6: take away what is not needed, keep what was promised, measure both."""
