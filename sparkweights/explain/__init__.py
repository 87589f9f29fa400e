"""Explanations: which columns a model leans on, in money, and why it was against a row."""
