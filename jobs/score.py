"""The same as `jobs/run.py score`, whose name this one keeps for one release."""

import sys

from sparkweights.cli.main import run

run(["score", *sys.argv[1:]])
