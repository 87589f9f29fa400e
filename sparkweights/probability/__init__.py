"""Probabilities: corrections that can be inverted, calibration, and label shift."""
