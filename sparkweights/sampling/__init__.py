"""Sampling: hashed splits and resampling, the same rows on every run."""
