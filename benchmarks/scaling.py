"""A night's time grows as its rows do, and the driver's memory does not.

The nightly job over half a million to eight million rows of 20 numbers, logistic, on two executors
of their own (`local-cluster`). Each size has a process of its own: how much memory the driver, its
engine and its Python together, ever held is then what the system says of them. Time is the median
of the timed nights after one untimed; R^2 is that of a straight line through the sizes.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.ticker import MaxNLocator

from benchmarks.harness import Bar, arguments, figure, report, session
from benchmarks.scoring import KINDS, train_runner, write_tables
from sparkweights.report.figures.canvas import ACCENT, draw

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

SIZES = (0.0625, 0.125, 0.25, 0.5, 1.0)  # of the largest
CHILD = "SPARKWEIGHTS_SCALING_ROWS"
CLUSTER = "local-cluster[2,1,1024]"
PICTURE = Path(__file__).parent / "scaling.svg"


def main() -> int:
    """Run the benchmark."""
    given = arguments(__doc__, rows=8_000_000, repeat=3, quick_rows=32_000)
    sizes = [int(given.rows * share) for share in SIZES[-2:] if given.quick] or [
        int(given.rows * share) for share in SIZES
    ]
    found = [_in_own_process(rows, given.repeat) for rows in sizes]
    figures = {}
    for rows, own in zip(sizes, found, strict=True):
        figures[f"{rows:,} rows"] = own["seconds"]
        figures[f"{rows:,} rows, driver"] = own["memory"]
    seconds = [own["seconds"]["median"] for own in found]
    memory = [own["memory"]["median"] for own in found]
    if not given.quick:
        PICTURE.write_text(draw(lambda ax: _paint(ax, sizes, seconds)) + "\n", encoding="utf-8")
    bars = [
        Bar("R^2 of time as a line in rows", _r_squared(sizes, seconds), 0.98, at_most=False),
        Bar("driver's memory, largest less smallest, MB", max(memory) - min(memory), 150),
    ]
    return report("scaling", figures, bars)


def _in_own_process(rows: int, repeat: int) -> dict[str, Any]:
    """Run one size alone; return seconds and megabytes."""
    done = subprocess.run(  # noqa: S603 (this module)
        [sys.executable, "-m", "benchmarks.scaling", "--repeat", str(repeat)],
        env={**os.environ, CHILD: str(rows)},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def _child(rows: int) -> int:
    repeat = arguments(__doc__, rows=0, repeat=3, quick_rows=0).repeat
    spark = session("scaling", memory="1g", partitions=8, master=CLUSTER)
    seconds = []
    with tempfile.TemporaryDirectory() as name:
        write_tables(spark, Path(name), rows)
        runner = train_runner(spark, Path(name), "logistic", KINDS["logistic"])
        for _ in range(repeat + 1):
            begun = time.perf_counter()
            runner.score()
            seconds.append(time.perf_counter() - begun)
    memory = _most_held(os.getpid()) + _most_held(int(_engine_id(spark)))
    spark.stop()
    timed = seconds[1:] or seconds
    print(json.dumps({"seconds": figure(timed, "s"), "memory": figure([memory], "MB")}))
    return 0


def _engine_id(spark: Any) -> int:  # noqa: ANN401 (the JVM behind the session)
    engine = spark.sparkContext._jvm  # noqa: SLF001 (only the engine knows)
    return int(engine.java.lang.ProcessHandle.current().pid())


def _most_held(process: int) -> float:
    """Return the most memory that a process ever held, in MB."""
    for line in Path(f"/proc/{process}/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise LookupError(process)


def _r_squared(rows: Sequence[int], seconds: Sequence[float]) -> float:
    return float(np.corrcoef(rows, seconds)[0, 1] ** 2)


def _paint(ax: Axes, rows: Sequence[int], seconds: Sequence[float]) -> None:
    """Draw the sizes, and the line through them."""
    slope, start = np.polyfit(rows, seconds, 1)
    millions = np.asarray(rows) / 1e6
    ax.plot(millions, start + slope * np.asarray(rows), color=ACCENT, linewidth=1)
    ax.plot(millions, seconds, "o", color=ACCENT)
    ax.set_xlabel("million rows")
    ax.set_ylabel("seconds")
    ax.set_ylim(bottom=0)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))


if __name__ == "__main__":
    sys.exit(_child(int(os.environ[CHILD])) if CHILD in os.environ else main())
