"""The same as `jobs/run.py monitor`, whose name this one keeps for one release."""

import sys

from sparkweights.cli.main import main

sys.exit(main(["monitor", *sys.argv[1:]]))
