"""What a run leaves: receipt, report, bundle."""
