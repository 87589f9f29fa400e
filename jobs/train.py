"""spark-submit --py-files sparkweights.zip jobs/train.py --config FILE [--run-date DATE]."""

import sys

from sparkweights.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["train", *sys.argv[1:]]))
