"""Benchmarks: `python -m benchmarks.NAME`; each prints one JSON object on its last line."""
