"""Monitoring: a published model on rows that came after it."""
