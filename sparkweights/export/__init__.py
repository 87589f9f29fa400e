"""Exports: a small model as a formula, in SQL, in JSON, and in Python without a dependency."""
