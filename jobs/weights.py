"""The same as `jobs/run.py weights`, whose name this one keeps for one release."""

import sys

from sparkweights.cli.main import main

sys.exit(main(["weights", *sys.argv[1:]]))
