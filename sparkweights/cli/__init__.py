"""The command line: the only place that prints, and the only one that exits."""

from sparkweights.cli.main import entry_point, main

__all__ = ["entry_point", "main"]
