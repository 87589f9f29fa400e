"""Explanations: the permutation importance of columns as a cost, with weights and without."""
