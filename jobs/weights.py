"""spark-submit --py-files sparkweights.zip jobs/weights.py --config FILE [--run-date DATE]."""

import sys

from sparkweights.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["weights", *sys.argv[1:]]))
