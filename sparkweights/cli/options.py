"""The verbs and options of the command line; an error is one line."""

from __future__ import annotations

import argparse
from datetime import UTC, date, datetime
from pathlib import Path
from typing import NoReturn

from sparkweights import __version__
from sparkweights.core.errors import ConfigError

_EPILOG = """\
exit codes:
  0 done                      4 input missing, empty or not as configured
  1 a bug, or Spark failed    5 model missing, altered or incompatible
  2 configuration or usage    6 output not written, or locked by a run
  3 a quality gate            7 a drift gate
                              130, 143 interrupted, ended
"""
_VERBS = {
    "weights": "count the classes and compute the weights",
    "train": "fit, correct, calibrate and test a model; publish its bundle",
    "tune": "try weight ratios and parameters on folds; write the table and the curve",
    "evaluate": "evaluate a model on held-out rows, as a whole and by segment",
    "explain": "measure the importance of each column as a cost, with and without weights",
    "distill": "train a small model on the probabilities of the model in use, and export it",
    "monitor": "compare a table with the model's reference rows",
    "check": "run an expectation suite against a table",
    "score": "score the incoming table and publish its date",
    "stream": "score rows in micro-batches as they arrive, and learn as outcomes come",
    "vacuum": "list what runs have left behind and nothing names; remove it with --remove",
    "run": "weights, train and score in a row",
}

# Other dates are mistakes, and those before 1582 differ between Spark's calendars and Python's.
_MAX_DAYS_DIGITS = 5
_FIRST_DAY, _LAST_DAY = date(1900, 1, 1), date(2999, 12, 31)


class Parser(argparse.ArgumentParser):
    """An argparse parser that raises ConfigError: one line and exit code 2."""

    def error(self, message: str) -> NoReturn:
        """Raise the message that argparse would print."""
        raise ConfigError(f"{message[:1].upper()}{message[1:]}.", hint=f"see `{self.prog} --help`.")


def make_parser() -> Parser:
    """Return the parser of the whole command line; ``verb`` is the verb given."""
    parser = Parser(
        allow_abbrev=False,  # --conf is an option of spark-submit, not short for --config
        prog="sparkweights",
        description="Score an imbalanced, costly decision on Apache Spark.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"sparkweights {__version__}")
    verbs = parser.add_subparsers(title="verbs", metavar="VERB", dest="verb", required=True)
    common = _common_options()
    for name, text in _VERBS.items():
        verb = verbs.add_parser(
            name,
            allow_abbrev=False,
            help=text,
            description=f"{text.capitalize()}.",
            parents=[common],
            epilog=_EPILOG,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        _configured_options(name, verb)
        _verb_options(name, verb)
    demo = verbs.add_parser(
        "demo", help="write a working folder with real data, and run it all", parents=[common]
    )
    into = Path("sparkweights-demo")
    demo.add_argument(
        "--into",
        type=Path,
        default=into,
        metavar="DIR",
        help="the folder to write (default: %(default)s)",
    )
    return parser


def _common_options() -> Parser:
    common = Parser(add_help=False)
    common.add_argument("--quiet", action="store_true", help="show no steps, only the result")
    common.add_argument("--json", action="store_true", help="print the record as JSON")
    return common


def _configured_options(name: str, verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "-c",
        "--config",
        required=True,
        metavar="FILE",
        help="the configuration file (YAML)",
    )
    dates = verb.add_mutually_exclusive_group()
    dates.add_argument(
        "--run-date",
        type=_parse_date,
        default=datetime.now(UTC).date(),
        metavar="YYYY-MM-DD",
        help="the date of the run (default: today, UTC); the same date again replaces itself",
    )
    if name == "score":
        dates.add_argument(
            "--from",
            dest="first",
            type=_parse_date,
            metavar="YYYY-MM-DD",
            help="score every date from this one to --to instead, each as with --run-date",
        )


def _verb_options(name: str, verb: argparse.ArgumentParser) -> None:
    if name in {"check", "monitor"}:
        verb.add_argument(
            "--table",
            choices=("labelled", "incoming", *(["scored"] if name == "check" else [])),
            default="incoming",
            help="which table (default: %(default)s)",
        )
    if name == "check":
        verb.add_argument(
            "--docs",
            metavar="DIR",
            help="also write Great Expectations' Data Docs into this folder",
        )
        verb.add_argument(
            "--suggest",
            metavar="FILE",
            help="run no suite; propose one from the table, and write it into this file",
        )
    if name == "score":
        _range_options(verb)
    if name == "vacuum":
        verb.add_argument("--remove", action="store_true", help="remove what is listed")
        verb.add_argument(
            "--older-than",
            type=_parse_days,
            default=7,
            metavar="DAYS",
            help="how old it must be (default: %(default)s)",
        )
    if name == "evaluate":
        verb.add_argument(
            "--backtest",
            action="store_true",
            help="train and evaluate as of several past moments instead (needs split.by)",
        )
    if name == "stream":
        verb.add_argument(
            "--backfill",
            action="store_true",
            help="replay the labelled table in the order of columns.time instead",
        )
    if name in {"score", "explain", "evaluate", "distill", "monitor", "stream"}:
        verb.add_argument(
            "--model",
            metavar="VERSION",
            help="a model other than the current one: its version, not a path",
        )


def _range_options(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "--to",
        dest="last",
        type=_parse_date,
        metavar="YYYY-MM-DD",
        help="with --from: the last date",
    )
    verb.add_argument(
        "--missing",
        action="store_true",
        help="with --from: leave out the dates that are published",
    )
    verb.add_argument(
        "--keep-going",
        action="store_true",
        help="with --from: score the dates after one that failed as well",
    )


def _parse_days(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is no number of days; for instance 7")
    if len(text) > _MAX_DAYS_DIGITS:
        raise argparse.ArgumentTypeError(f"{text} days are too many; for instance 7")
    return int(text)


def _parse_date(text: str) -> date:
    try:
        day = datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC).date()
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a date; write it as YYYY-MM-DD, for instance 2026-02-28"
        ) from None
    if not _FIRST_DAY <= day <= _LAST_DAY:
        raise argparse.ArgumentTypeError(
            f"{text} is not the date of a run; allowed: {_FIRST_DAY} to {_LAST_DAY}"
        )
    return day
