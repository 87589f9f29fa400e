"""Streams: scoring in micro-batches under delayed outcomes, with a window of recent ones."""
