"""The same as `jobs/run.py score`, whose name this one keeps for one release."""

import sys

from sparkweights.cli.main import main

sys.exit(main(["score", *sys.argv[1:]]))
