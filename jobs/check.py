"""The same as `jobs/run.py check`, whose name this one keeps for one release."""

import sys

from sparkweights.cli.main import main

sys.exit(main(["check", *sys.argv[1:]]))
