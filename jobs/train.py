"""The same as `jobs/run.py train`, whose name this one keeps for one release."""

import sys

from sparkweights.cli.main import run

run(["train", *sys.argv[1:]])
