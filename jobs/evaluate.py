"""spark-submit --py-files sparkweights.zip jobs/evaluate.py --config FILE [--run-date DATE]."""

import sys

from sparkweights.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["evaluate", *sys.argv[1:]]))
