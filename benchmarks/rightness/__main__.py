"""Run every case of `benchmarks.rightness`, or those named by ``--case``."""

from __future__ import annotations

import sys
import time
from argparse import ArgumentParser
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

from benchmarks.harness import report, session

CASES = sorted(path.stem for path in Path(__file__).parent.glob("[a-z]*.py"))


def main() -> int:
    """Run the cases one after the other; one line of JSON at the end."""
    parser = ArgumentParser(prog="python -m benchmarks.rightness", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few repetitions: does it run?")
    parser.add_argument("--case", choices=CASES, action="append", help="run this case alone")
    given = parser.parse_args()
    open_session = cache(lambda: session("rightness"))
    figures: dict[str, Any] = {}
    bars = []
    for name in given.case or CASES:
        begun = time.monotonic()
        measured, promised = import_module(f"benchmarks.rightness.{name}").run(
            open_session, quick=given.quick
        )
        figures |= measured
        bars += promised
        print(f"{name}: {time.monotonic() - begun:.0f} s", file=sys.stderr)
        for bar in promised:  # the whole takes an hour: what is known is told at once
            print(f"  {bar.name}: {bar.to_dict()}", file=sys.stderr)
    return report("rightness", figures, bars)


if __name__ == "__main__":
    sys.exit(main())
