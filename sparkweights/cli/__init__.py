"""The command line: the only module that prints and exits."""

from sparkweights.cli.main import entry_point, main, run

__all__ = ["entry_point", "main", "run"]
