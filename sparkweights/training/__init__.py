"""Training: from a labelled table to an evaluated scorer."""
