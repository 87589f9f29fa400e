"""`make faults`: 60 faults at random moments of `score` and `train`, the same ones for a seed.

It takes about an hour, and the right to mount a small disk.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

from conftest import open_shop
from trials import FAULTS, measure_length, try_fault

from sparkweights.app.session import open_session

ROUNDS = {"score": 4, "train": 2}  # of every fault


def main() -> int:
    """Run the trials and return 1 if something did not hold."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rounds", type=int, help="of every fault and verb (default: 4 and 2)")
    parser.add_argument("--fault", choices=FAULTS, action="append", help="(default: all)")
    parser.add_argument("--verb", choices=ROUNDS, action="append", help="(default: both)")
    options = parser.parse_args()
    spark = open_session("faults")
    spark.sparkContext.setLogLevel("OFF")
    bad = tried = 0
    with tempfile.TemporaryDirectory() as name:
        with redirect_stdout(StringIO()):
            lender = open_shop(
                Path(name) / "lender",
                model={"kind": "boosted_trees", "params": {"maxIter": 5, "maxDepth": 3}},
                decision={"calibration": "isotonic"},
            ).folder
        for verb in options.verb or ROUNDS:
            length = measure_length(lender, Path(name) / "trial", verb)
            sys.stdout.write(f"{verb} takes {length:.0f} s\n")
            for round_ in range(options.rounds or ROUNDS[verb]):
                for place, fault in enumerate(options.fault or FAULTS):
                    seed = options.seed * 1_000 + round_ * 100 + place
                    folder = Path(name) / "trial"
                    found = try_fault(lender, folder, fault, verb, seed=seed, length=length)
                    tried, bad = tried + 1, bad + bool(found.wrong)
                    told = "; ".join(found.wrong) or "holds"
                    sys.stdout.write(
                        f"{found.name}, after {found.moment:.1f} s: exit {found.code}, {told} "
                        f"({found.seconds:.0f} s)\n"
                    )
                    sys.stdout.flush()
    spark.stop()
    sys.stdout.write(f"faults: {bad} of {tried} trials failed (seed {options.seed})\n")
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main())
