"""The same as `jobs/run.py check`, whose name this one keeps for one release."""

import sys

from sparkweights.cli.main import run

run(["check", *sys.argv[1:]])
