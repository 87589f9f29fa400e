"""The same as `jobs/run.py weights`, whose name this one keeps for one release."""

import sys

from sparkweights.cli.main import run

run(["weights", *sys.argv[1:]])
