"""The same as `jobs/run.py monitor`, whose name this one keeps for one release."""

import sys

from sparkweights.cli.main import run

run(["monitor", *sys.argv[1:]])
