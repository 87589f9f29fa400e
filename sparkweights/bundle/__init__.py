"""Bundles: a published model with all that it takes to score with it."""
