"""Score an imbalanced, costly decision on Apache Spark."""

__version__ = "0.1.0"
