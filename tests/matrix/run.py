"""`make test-matrix`: the demo and some test files on each release of Spark.

Each release has a virtual environment of its own below `.matrix`, which stays for the next time:
the wheel, and the locked packages but for Spark. The demo's figures are compared with those of the
locked release, which the documentation states; or of the first one that ran.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from environments import ROOT, Environment, build_wheel

if TYPE_CHECKING:
    from pathlib import Path

FOLDER = ROOT / ".matrix"
LOCK = (ROOT / "requirements.lock").read_text(encoding="utf-8")
(LOCKED,) = re.findall(r"^pyspark==(\S+)", LOCK, re.MULTILINE)
RELEASES = tuple(dict.fromkeys((LOCKED, "4.3.0", "4.2.1", "4.1.4", "4.0.5")))
FILES = (
    "tests/spark/test_spark_releases.py",
    "tests/spark/test_stages.py",
    "tests/spark/test_features.py",
    "tests/spark/test_learners.py",
    "tests/spark/test_compiled.py",
    "tests/spark/test_evaluate.py",
    "tests/jobs/test_foreign_session.py",
    "tests/jobs/test_monitor.py",
    "tests/jobs/test_score.py",
)
TOOLS = ("pytest", "pytest-xdist", "hypothesis", "statsmodels", "fairlearn")


@dataclass(frozen=True)
class Lane:
    """What a release of Spark has shown.

    Attributes
    ----------
    release
        Of Spark.
    figures
        Name -> figure of the demo; None where the demo failed.
    tests
        The last line of the tests.
    passed
        Whether all tests passed.
    seconds
        For both.
    """

    release: str
    figures: dict[str, float] | None
    tests: str
    passed: bool
    seconds: float


def main() -> int:
    """Run each release; return 1 if a demo or a test failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--release", action="append", choices=RELEASES, help="(default: all)")
    parser.add_argument("--without-demo", action="store_true")
    parser.add_argument("files", nargs="*", default=FILES, help="of tests (default: some lanes)")
    options = parser.parse_args()
    lanes = [
        run_lane(release, options.files, demo=not options.without_demo)
        for release in options.release or RELEASES
    ]
    for line in table(lanes):
        sys.stdout.write(f"{line}\n")
    demos = all(lane.figures is not None for lane in lanes) or options.without_demo
    return 0 if demos and all(lane.passed for lane in lanes) else 1


def run_lane(release: str, files: list[str], *, demo: bool) -> Lane:
    """Run the demo from the installed wheel, and the tests of this folder, on one release."""
    python = _environment(release)
    begun = time.monotonic()
    figures = _run_demo(python, release) if demo else None
    ran = subprocess.run(
        [python, "-m", "pytest", "-q", "-n2", "-p", "no:cacheprovider", *files],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    (FOLDER / f"{release}.log").write_text(ran.stdout, encoding="utf-8")
    last = ran.stdout.rstrip().rpartition("\n")[2].strip("= ")
    return Lane(release, figures, last, ran.returncode == 0, time.monotonic() - begun)


def _environment(release: str) -> Path:
    """Return the Python of a release's environment, with today's wheel in it."""
    environment = Environment(FOLDER / release)
    wheels = FOLDER / "wheels"
    shutil.rmtree(wheels, ignore_errors=True)
    wheel = build_wheel(wheels)
    # Great Expectations imports Spark Connect, and without its packages Spark 4.3 ends a process
    # that runs no file, as pytest's workers do.
    spark = f"pyspark[connect]=={release}"
    environment.install(f"{wheel}[xgboost,checks,report]", spark, *TOOLS)
    # Its version is the one of before.
    environment.pip("install", "--force-reinstall", "--no-deps", str(wheel))
    return environment.python


def _run_demo(python: Path, release: str) -> dict[str, float] | None:
    """Return the demo's figures; None where it failed."""
    into = FOLDER / f"demo-{release}"
    shutil.rmtree(into, ignore_errors=True)
    command = [python, "-P", "-m", "sparkweights", "demo", "--into", into, "--quiet", "--json"]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    ran = subprocess.run(
        command, cwd=FOLDER, env=environment, stdout=subprocess.PIPE, text=True, check=False
    )
    if ran.returncode != 0:
        return None
    record = json.loads(ran.stdout)
    evaluation, run = record["model"]["evaluation"], record["score"]
    return {
        "savings": evaluation["savings"]["ours"],
        "expected cost": run["expected_cost"],
        **{f"{decision}": rows for decision, rows in run["decisions"].items()},
    }


def table(lanes: list[Lane]) -> list[str]:
    """Return the lanes as a table in Markdown, with the figures' differences from the first."""
    first = next((lane.figures for lane in lanes if lane.figures is not None), {})
    lines = ["| Spark | demo | tests | seconds |", "| --- | --- | --- | ---: |"]
    for lane in lanes:
        if lane.figures is None:
            shown = "-"
        else:
            differing = [name for name, figure in lane.figures.items() if figure != first[name]]
            shown = ", ".join(
                f"{name} {lane.figures[name]!r} instead of {first[name]!r}" for name in differing
            )
            shown = shown or f"savings {lane.figures['savings']:.4f}, the same figures"
        lines.append(f"| {lane.release} | {shown} | {lane.tests} | {lane.seconds:.0f} |")
    return lines


if __name__ == "__main__":
    sys.exit(main())
