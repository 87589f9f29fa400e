"""Core: errors, columns, and the base class of the package's Spark ML stages."""
