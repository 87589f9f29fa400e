"""The same as `jobs/run.py evaluate`, whose name this one keeps for one release."""

import sys

from sparkweights.cli.main import run

run(["evaluate", *sys.argv[1:]])
