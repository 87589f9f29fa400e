"""Scoring: from a row to its probabilities, expected costs and decision."""
