"""Exports: a small model as a formula, in SQL, ONNX, JSON, and Python without a dependency."""
