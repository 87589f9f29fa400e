"""The verbs and the entry point: an expected failure is one line, a bug has its traceback."""

from __future__ import annotations

import logging
import sys
import traceback
from contextlib import suppress
from io import TextIOWrapper
from typing import TYPE_CHECKING

from sparkweights.cli import signals, summary
from sparkweights.cli.options import make_parser
from sparkweights.cli.terminal import AnyProgress, choose_progress
from sparkweights.core.errors import (
    ConfigError,
    DriftError,
    QualityGateError,
    SparkweightsError,
    escape_controls,
    printable,
    without_values,
)
from sparkweights.core.extras import missing_extra

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from pyspark.sql import SparkSession

    from sparkweights.app.runner import Runner


def entry_point() -> None:
    """Run the command line; return at success, and exit with the code of a failure.

    A wheel task calls this function, and some schedulers report even an exit with code 0 as a
    failure.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # the terminal may lack characters of a name
            stream.reconfigure(errors="backslashreplace")
    run(sys.argv[1:])


def run(arguments: Sequence[str]) -> None:
    """Run one verb, as `main` does, and return at success.

    Raises
    ------
    SystemExit
        With the exit code of a failure.
    """
    if code := main(arguments):
        sys.exit(code)


def main(arguments: Sequence[str]) -> int:
    """Run one verb and return its exit code."""
    try:
        options = make_parser().parse_args(arguments)
    except SparkweightsError as error:
        return _fail(error)
    progress = choose_progress(quiet=options.quiet)
    try:
        with signals.restored_handlers():
            _VERBS[options.verb](options, progress)
    except SparkweightsError as error:
        progress.close()
        return _fail(error)
    except KeyboardInterrupt:
        progress.close()
        sys.stderr.write(signals.INTERRUPTED)
        return 128 + signals.INTERRUPT
    except Exception as error:  # noqa: BLE001 (the entry point: a bug, or an error of Spark)
        progress.close()
        if (missing := missing_extra(error)) is not None:
            return _fail(missing)
        return _fail_unexpectedly(error)
    progress.close()
    return 0


def _open_session(name: str) -> SparkSession:
    """Open the session with signal handlers of our own, before and after.

    Exiting at once is safe: publishing is a single step, the operating system releases the lock,
    and the next run removes staged files. Raising is not. While Java starts, PySpark's cleanup
    removes the folder into which Java is about to write its port; Java fails to, and then never
    reads the pipe by which it learns that its parent has ended. Later, Spark's own handler raises
    inside the current call to the JVM, which prints tracebacks of Py4J.
    """
    from sparkweights.app.session import open_session

    signals.exit_on_signals(signals.exit_while_java_starts)
    # Without a handler, Python prints the traceback of each call to a Java process that ended.
    logging.getLogger("py4j").addHandler(logging.NullHandler())
    spark = open_session(name)
    signals.exit_on_signals(signals.exit_interrupted)
    return spark


def _fail(error: SparkweightsError) -> int:
    sys.stderr.write("sparkweights: " + " ".join(str(error).split()) + "\n")
    return error.exit_code


def _fail_unexpectedly(error: Exception) -> int:
    from sparkweights.app.spark_errors import (
        expected_failure,
        is_of_spark,
        quotable,
    )

    known = expected_failure(error)
    if known is not None:
        return _fail(known)
    sys.stderr.write("".join(_trace(error)))
    if is_of_spark(error):
        return _fail(
            SparkweightsError(
                f"Spark failed ({quotable(str(error)) or type(error).__name__}).",
                hint="see Spark's own log; run again once, and report the lines above if it "
                "happens again.",
            )
        )
    sys.stderr.write("sparkweights: this is a bug; please report the lines above.\n")
    return SparkweightsError.exit_code


def _trace(error: BaseException) -> Iterator[str]:
    """Yield the traceback of an exception and of its causes, without the values in messages."""
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if cause is not None:
        yield from _trace(cause)
        yield "\nThen:\n\n"
    yield from traceback.format_tb(error.__traceback__)
    first_line = next(iter(str(error).splitlines()), "")
    yield f"{type(error).__qualname__}: {printable(without_values(first_line))}\n"


def _runner(options: argparse.Namespace, progress: AnyProgress) -> Runner:
    from sparkweights.app.runner import Runner
    from sparkweights.config.load import load_config

    config = load_config(options.config)
    progress.step("starting Spark")
    return Runner(_open_session(config.name), config, options.run_date, progress)


def _show(
    options: argparse.Namespace,
    progress: AnyProgress,
    record: Mapping[str, object],
    text: str,
) -> None:
    from sparkweights.storage.files import as_json

    progress.close()
    _print(as_json(record, indent=None) if options.json else text + "\n")


def _print(text: str) -> None:
    """Write to standard output; a reader such as ``head`` may have closed it."""
    try:
        sys.stdout.write(escape_controls(text))
        sys.stdout.flush()
    except BrokenPipeError:
        with suppress(BrokenPipeError):
            sys.stdout.close()  # so that Python does not flush it again when it exits


def _weights(options: argparse.Namespace, progress: AnyProgress) -> None:
    record = _runner(options, progress).weights().record
    _show(options, progress, record.to_dict(), summary.weights_summary(record))


def _train(options: argparse.Namespace, progress: AnyProgress) -> None:
    record = _runner(options, progress).train().record
    _show(options, progress, record.to_dict(), summary.train_summary(record))


def _tune(options: argparse.Namespace, progress: AnyProgress) -> None:
    record = _runner(options, progress).tune().record
    _show(options, progress, record.to_dict(), summary.tune_summary(record))


def _evaluate(options: argparse.Namespace, progress: AnyProgress) -> None:
    if options.backtest:
        if options.model is not None:
            raise ConfigError(
                "--backtest trains its own models, so --model does not apply.",
                hint="leave one of the two out.",
            )
        backtest = _runner(options, progress).backtest().record
        _show(options, progress, backtest.to_dict(), summary.backtest_summary(backtest))
        return
    record = _runner(options, progress).evaluate(options.model).record
    _show(options, progress, record.to_dict(), summary.evaluate_summary(record))


def _monitor(options: argparse.Namespace, progress: AnyProgress) -> None:
    record = _runner(options, progress).monitor(options.table, options.model).record
    _show(options, progress, record.to_dict(), summary.monitor_summary(record))
    if record.exceeded:
        raise DriftError(
            f"Table '{options.table}' has drifted past {len(record.exceeded)} limits: "
            f"{record.exceeded[0]}.",
            hint="see what changed in the table above; train again, or raise the limits under "
            "monitor.",
        )


def _explain(options: argparse.Namespace, progress: AnyProgress) -> None:
    record = _runner(options, progress).explain(options.model).record
    _show(options, progress, record.to_dict(), summary.explain_summary(record))


def _distill(options: argparse.Namespace, progress: AnyProgress) -> None:
    record = _runner(options, progress).distill(options.model).record
    _show(options, progress, record.to_dict(), summary.distill_summary(record))


def _score(options: argparse.Namespace, progress: AnyProgress) -> None:
    if (options.first is None) != (options.last is None):
        raise ConfigError(
            "One of --from and --to is given; a range of dates needs both.",
            hint="state both, or --run-date for a single date.",
        )
    if options.first is not None:
        _backfill(options, progress)
        return
    if options.missing or options.keep_going:
        raise ConfigError(
            "--missing and --keep-going are for a range of dates.",
            hint="state --from and --to, or leave them out.",
        )
    record = _runner(options, progress).score(options.model).record
    _show(options, progress, record.to_dict(), summary.score_summary(record))


def _stream(options: argparse.Namespace, progress: AnyProgress) -> None:
    record = _runner(options, progress).stream(options.model, backfill=options.backfill).record
    _show(options, progress, record.to_dict(), summary.stream_summary(record))


def _backfill(options: argparse.Namespace, progress: AnyProgress) -> None:
    result = _runner(options, progress).backfill(
        options.first,
        options.last,
        missing=options.missing,
        keep_going=options.keep_going,
        version=options.model,
    )
    _show(options, progress, result.record.to_dict(), summary.backfill_summary(result.record))
    if (failure := result.value.failure) is not None:
        raise failure


def _vacuum(options: argparse.Namespace, progress: AnyProgress) -> None:
    from sparkweights.app.vacuum import vacuum

    runner = _runner(options, progress)
    progress.step("looking for leftovers")
    result = vacuum(runner.spark, runner.config, remove=options.remove, days=options.older_than)
    _show(options, progress, result.record.to_dict(), summary.vacuum_summary(result.record))
    if result.failure is not None:
        raise result.failure


def _run(options: argparse.Namespace, progress: AnyProgress) -> None:
    _run_all(_runner(options, progress), options, progress)


def _run_all(runner: Runner, options: argparse.Namespace, progress: AnyProgress) -> None:
    runner.preflight()
    weights = runner.weights()
    model = runner.train(weights.value)
    scored = runner.score()
    _show(
        options,
        progress,
        {
            "weights": weights.record.to_dict(),
            "model": model.record.to_dict(),
            "score": scored.record.to_dict(),
        },
        "\n\n".join((
            summary.weights_summary(weights.record),
            summary.train_summary(model.record),
            summary.score_summary(scored.record),
        )),
    )  # fmt: skip


def _check(options: argparse.Namespace, progress: AnyProgress) -> None:
    if options.suggest is not None and options.docs is not None:
        raise ConfigError(
            "--suggest runs no suite, so there are no results for --docs.",
            hint="leave one of the two out.",
        )
    if options.suggest is not None:
        suite = _runner(options, progress).suggest(options.table, options.suggest)
        _show(options, progress, suite, summary.suggest_summary(suite, options.suggest))
        return
    record = _runner(options, progress).check(options.table, options.docs).record
    _show(options, progress, record.to_dict(), summary.check_summary(record))
    if not record.success:
        failed = sum(result.severity == "critical" for result in record.failed)
        raise QualityGateError(
            f"Table '{record.table}' fails {failed} critical checks of suite '{record.suite}'.",
            hint="the table above names them.",
        )


def _demo(options: argparse.Namespace, progress: AnyProgress) -> None:
    from sparkweights.app.runner import Runner
    from sparkweights.config.load import load_config
    from sparkweights.demo import RUN_DATE, write_demo

    folder = write_demo(options.into)
    config = load_config(folder / "credit_card.yaml")
    simple = load_config(folder / "logistic.yaml")
    progress.step("starting Spark")
    spark = _open_session(config.name)
    _run_all(Runner(spark, config, RUN_DATE, progress), options, progress)
    logistic = Runner(spark, simple, RUN_DATE, progress).train().record
    if options.json:
        return
    _show(options, progress, logistic.to_dict(), "\n" + summary.train_summary(logistic))
    _print(
        f"\nEverything is under {folder}: the configuration to change is credit_card.yaml, the "
        "results\nare in out/. Costs are illustrative (NT$). Sex, age, marriage and education "
        "are not features.\n"
    )


_VERBS: dict[str, Callable[[argparse.Namespace, AnyProgress], None]] = {
    "weights": _weights,
    "train": _train,
    "tune": _tune,
    "evaluate": _evaluate,
    "explain": _explain,
    "distill": _distill,
    "monitor": _monitor,
    "check": _check,
    "score": _score,
    "stream": _stream,
    "vacuum": _vacuum,
    "run": _run,
    "demo": _demo,
}
