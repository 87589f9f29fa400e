"""Specifications: settings resolved against a table; frozen, storable, without Spark."""
