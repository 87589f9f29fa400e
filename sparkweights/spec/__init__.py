"""Specifications: what was asked for, resolved against a table; frozen, storable, without Spark."""
