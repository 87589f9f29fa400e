"""spark-submit --py-files sparkweights.zip jobs/run.py --config FILE [--run-date DATE]."""

import sys

from sparkweights.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["run", *sys.argv[1:]]))
