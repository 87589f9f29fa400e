"""`make fuzz`: every target on its share of inputs, the same ones for a seed."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

import bundles
import configurations
import expressions
import suites

TARGETS = {  # name -> the module, and the inputs of a full run
    "configurations": (configurations, 20_000),
    "suites": (suites, 5_000),
    "expressions": (expressions, 5_000),
    "bundles": (bundles, 2_000),
}
SHOWN = 20


def main() -> int:
    """Run the targets and return 1 if one failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--share", type=float, default=1.0, help="of the inputs (default: all)")
    parser.add_argument("targets", nargs="*", choices=[*TARGETS, []], help="(default: all)")
    options = parser.parse_args()
    failed = False
    for name in options.targets or TARGETS:
        module, count = TARGETS[name]
        begun = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            found = module.fuzz(options.seed, int(count * options.share), Path(folder))
        seconds = time.monotonic() - begun
        sys.stdout.write(f"{name}: {len(found)} of {count * options.share:,.0f} inputs failed ")
        sys.stdout.write(f"({seconds:.0f} s, seed {options.seed})\n")
        for failure in found[:SHOWN]:
            sys.stdout.write(f"  {failure}\n")
        failed = failed or bool(found)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
