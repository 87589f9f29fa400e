"""Evaluation: one pass over scored rows with known outcomes, then arithmetic."""
