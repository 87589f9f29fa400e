"""What a range of dates takes in one session, beside a process for each date.

The demo's 6,000 incoming card clients, scored and checked from the command line, as a scheduler
does it: `score --run-date D` starts a session for one date, `score --from A --to B` one for all of
them. `--rows` is the number of dates.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

from benchmarks.harness import Bar, alternate, arguments, figure, report
from sparkweights.demo import RUN_DATE, write_demo

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from sparkweights.storage.location import Location

AT_MOST = 0.35  # of the time of single runs


def main() -> int:
    """Run the benchmark."""
    given = arguments(__doc__, rows=30, repeat=2, quick_rows=2)
    first, last = str(RUN_DATE), str(RUN_DATE + timedelta(days=given.rows - 1))
    with tempfile.TemporaryDirectory() as name:
        folder = write_demo(name)
        config = folder / "credit_card.yaml"
        run("train", config)
        by_date(folder, config, [RUN_DATE + timedelta(days=i) for i in range(given.rows)])
        seconds = alternate(
            {
                "one date": partial(run, "score", config, "--run-date", first),
                "a range": partial(run, "score", config, "--from", first, "--to", last),
            },
            repeat=given.repeat,
        )
    figures = {name: figure(times, "s") for name, times in seconds.items()}
    single, dates = (figures[name]["median"] for name in ("one date", "a range"))
    share = dates / (given.rows * single)
    return report("backfill", figures, [Bar("a range over single runs", share, AT_MOST)])


def by_date(folder: Location, config: Location, days: Sequence[date]) -> None:
    """Give each date a table of its own, and have the configuration read it."""
    rows = (folder / "data" / "incoming" / "part-0.parquet").read_bytes()
    for day in days:
        (folder / "data" / "by_date" / str(day) / "part-0.parquet").create(rows)
    stated = config.read_text()
    dated = stated.replace("location: data/incoming", "location: 'data/by_date/{run_date}'")
    config.write_bytes(dated.encode())


def run(verb: str, config: Location, *options: str) -> None:
    """Run a verb in a process of its own, on two cores."""
    command = [sys.executable, "-m", "sparkweights", verb, "--config", str(config), "--quiet"]
    environment = {**os.environ, "SPARK_LOCAL_IP": "127.0.0.1"}
    subprocess.run(  # noqa: S603 (our own command)
        [*command, *options], check=True, stdout=subprocess.DEVNULL, env=environment
    )


if __name__ == "__main__":
    sys.exit(main())
