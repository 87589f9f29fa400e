"""Weights: class frequencies in one pass, schemes, and the rule for the weight of each row."""
