"""Weights: class frequencies in one pass, schemes, and the rule that weighs every row."""
