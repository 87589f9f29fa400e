"""spark-submit --py-files sparkweights.zip jobs/run.py VERB --config FILE [--run-date DATE].

Without a verb it is `run`: weights, train and score in a row.
"""

import sys

from sparkweights.cli.main import run

if __name__ == "__main__":
    arguments = sys.argv[1:]
    named = bool(arguments) and not arguments[0].startswith("-")
    run(arguments if named else ["run", *arguments])
