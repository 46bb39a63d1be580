"""Sixfold: raw data and a budget in; a served model with a receipt out."""
