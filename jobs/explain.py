"""The same as `jobs/run.py explain`, whose name this one keeps for one release."""

import sys

from sparkweights.cli.main import run

run(["explain", *sys.argv[1:]])
