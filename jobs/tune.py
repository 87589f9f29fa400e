"""The same as `jobs/run.py tune`, whose name this one keeps for one release."""

import sys

from sparkweights.cli.main import run

run(["tune", *sys.argv[1:]])
