"""The same as `jobs/run.py train`, whose name this one keeps for one release."""

import sys

from sparkweights.cli.main import main

sys.exit(main(["train", *sys.argv[1:]]))
