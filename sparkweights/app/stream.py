"""The stream of a configuration: its sources, its folder and its rules, put together."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from sparkweights.app.spark_errors import expected_failure
from sparkweights.app.tables import stream_source
from sparkweights.core.columns import kind_of, require_columns, require_label
from sparkweights.core.errors import ConfigError, InputError, PublishError, SparkweightsError
from sparkweights.models.mini_batch import MiniBatchModel
from sparkweights.models.optimizers import State
from sparkweights.report import StageResult, pages_of
from sparkweights.sampling.period import Span
from sparkweights.sampling.split import time_kind
from sparkweights.scoring.schema_checks import require_own_record
from sparkweights.storage.lock import lock
from sparkweights.storage.tables import TableSource
from sparkweights.stream.files import StreamFolder, stream_name
from sparkweights.stream.fixed_settings import ARRIVING, REPLAYED, FixedSettings
from sparkweights.stream.learner import LearnerSettings, OnlineLearner, combined_weights
from sparkweights.stream.query import open_source, replay, require_classic, run_query
from sparkweights.stream.run import StreamRun, StreamSettings
from sparkweights.stream.state import StreamRules
from sparkweights.stream.window import WindowLimits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from datetime import date

    from pyspark.sql import DataFrame, SparkSession
    from pyspark.sql.types import StructType

    from sparkweights.bundle.bundle import ModelBundle
    from sparkweights.config.schema import Config
    from sparkweights.core.progress import Progress
    from sparkweights.core.roles import ColumnRoles
    from sparkweights.quality.suite import Suite
    from sparkweights.records import StreamRecord
    from sparkweights.spec.scoring import ScoringSpec
    from sparkweights.stream.state import StreamState


@dataclass(frozen=True)
class ConfiguredStream:
    """A stream that a configuration states, with a loaded model.

    Attributes
    ----------
    spark, config, run_date, progress
        As of `sparkweights.app.runner.Runner`.
    spec, bundle
        How rows are scored, and by which model.
    suites
        ``incoming`` and ``scored`` -> the suite that checks micro-batches, where there is one.
    """

    spark: SparkSession
    config: Config
    spec: ScoringSpec
    bundle: ModelBundle
    suites: Mapping[str, Suite]
    run_date: date
    progress: Progress

    def run(self) -> StageResult[StreamState, StreamRecord]:
        """Process micro-batches of the stream's sources until they or the process end."""
        config = self.config
        require_classic(self.spark)
        source = stream_source(config, "incoming", self.run_date)
        assert source is not None  # noqa: S101 (a stream has a source)
        incoming_df = open_source(self.spark, source)
        outcomes = stream_source(config, "outcomes", self.run_date)
        outcomes_df = None if outcomes is None else open_source(self.spark, outcomes)
        roles = config.roles
        if outcomes_df is not None:
            require_columns(outcomes_df.schema, roles.keys, table="outcomes")
            require_label(outcomes_df.schema, roles, table="outcomes")
        with self._running(
            source, incoming_df.schema, rows=ARRIVING, has_outcomes=outcomes is not None
        ) as run:
            run_query(run, incoming_df, outcomes_df, config.streamed.every)
        return StageResult(run.state, run.record("ended"))

    def replay(self, labelled_df: DataFrame) -> StageResult[StreamState, StreamRecord]:
        """Process the labelled table in the order of time."""
        require_classic(self.spark)
        roles = self.config.roles
        require_label(labelled_df.schema, roles, table="labelled")
        location = self.config.table("labelled").location
        source = TableSource("labelled", location, "table")
        with self._running(source, labelled_df.schema, rows=REPLAYED, has_outcomes=True) as run:
            replay(run, labelled_df, self.config.streamed.backfill_rows)
        return StageResult(run.state, run.record("ended"))

    @contextmanager
    def _running(
        self, source: TableSource, schema: StructType, *, rows: str, has_outcomes: bool
    ) -> Iterator[StreamRun]:
        """Lock the stream's folder; say in the metrics how the stream ended."""
        stated = self.config.streamed.folder
        root = self.config.path(stated)
        require_own_record(stream_name(root), self.config.name, stated)
        problem = self.spec.problem
        fixed = FixedSettings(
            rows=rows,
            keys=problem.roles.keys,
            time=problem.roles.time,
            time_kind=kind_of_time(schema, problem.roles, table=source.role),
            classes=problem.classes,
            decisions=problem.decisions,
            outcomes=has_outcomes,
        )
        root.make_folder()
        with lock(root / "lock" / "_lock", f"'{root}'"):
            folder = StreamFolder(root, pages_of)
            begun = folder.begin(fixed)
            learner = self._learner() if has_outcomes else None
            state = begun.for_model(self.bundle.version, learner)
            settings = self._settings(source, fixed.time_kind, learns=state.learner is not None)
            run = StreamRun(settings, folder, self.progress, state)
            try:
                yield run
            except Exception as error:
                known = error if isinstance(error, SparkweightsError) else expected_failure(error)
                reason = "an error outside the stream; see the log"
                self._report_stop(run, reason if known is None else known.message)
                raise
            run.report("ended")

    def _report_stop(self, run: StreamRun, reason: str) -> None:
        """Say in the metrics why the stream stops; where that fails, its own error still counts."""
        try:
            run.report("stopped", reason=reason)
        except PublishError as error:
            self.progress.warn(f"The metrics do not say why the stream stops: {error.message}")

    def _settings(self, source: TableSource, kind: str, *, learns: bool) -> StreamSettings:
        config, stream = self.config, self.config.streamed
        window = stream.window
        learn = stream.learn if learns else None
        params = self.bundle.manifest.model.params
        clip = params.get("clip_norm")
        learner = (
            None
            if learn is None
            else LearnerSettings(
                learn.learning_rate,
                learn.batch_rows,
                learn.passes,
                float(params.get("l2", 0.0)),
                None if clip is None else float(clip),
                self.spec.seed,
            )
        )
        rules = StreamRules(
            prior=self.bundle.ledger.prior,
            weights=config.weight_spec,
            learner=learner,
            score_rows=window.scores,
            max_shift=self.spec.max_shift,
            moves_prior=stream.prior == "window",
            holds=stream.on_drift == "hold",
            reference=None if learns else self.bundle.reference.scores,
        )
        return StreamSettings(
            name=config.name,
            fingerprint=config.fingerprint(),
            spec=self.spec,
            bundle=self.bundle,
            rules=rules,
            window=WindowLimits(
                rows=window.rows,
                half_life=window.half_life,
                start=subtract_span(window.span, kind, where="stream.window.span"),
            ),
            before=subtract_span(stream.wait, kind, where="stream.wait"),
            time_kind=kind,
            suites=self.suites,
            source=source,
            run_date=self.run_date,
        )

    def _learner(self) -> OnlineLearner | None:
        """Return the learner that begins at the published model; None where it cannot learn."""
        if self.config.streamed.learn is None:
            return None
        model = self.bundle.model
        if not isinstance(model, MiniBatchModel):
            self.progress.warn(
                f"Model '{self.bundle.version}' is of kind {model.kind}, which does not learn in "
                "micro-batches; its class shares follow the window."
            )
            return None
        if model.focal_gamma or model.scale is None:
            self.progress.warn(
                f"Model '{self.bundle.version}' does not learn in micro-batches, because "
                + ("it has a focal loss." if model.focal_gamma else "an older release wrote it.")
            )
            return None
        rules = [step.rule for step in self.bundle.ledger.reweightings]
        rule = combined_weights(rules, self.bundle.manifest.classes)
        return OnlineLearner(State.start(model.scale.standardised(model.parameters)), rule)


def kind_of_time(schema: StructType, roles: ColumnRoles, *, table: str) -> str:
    """Return how event time counts: ``number``, also without a column, ``date`` or ``timestamp``.

    Raises
    ------
    InputError
        If a key or the event time is missing, or its type has no order in time.
    """
    require_columns(schema, roles.keys, table=table)
    if roles.time is None:
        return "number"
    require_columns(schema, [roles.time], table=table)
    data_type = schema[roles.time].dataType
    try:
        return time_kind(data_type, roles.time)
    except InputError:
        raise InputError(
            f"columns.time: column '{roles.time}' of table '{table}' is {kind_of(data_type)}; an "
            "event time is a number, date or timestamp.",
            hint="cast it where the table is made.",
        ) from None


def subtract_span(
    stated: str | float | None, kind: str, *, where: str
) -> Callable[[float], float] | None:
    """Return the function from an event time to the one that is earlier by a span; None without.

    Raises
    ------
    ConfigError
        If a calendar unit is stated for times that are numbers, or a number for dates.
    """
    if stated is None:
        return None
    span = Span.parse(stated, where=where)
    if span.count and (span.unit is None) != (kind == "number"):
        raise ConfigError(
            f"{where}: {stated!r}, and columns.time is a {kind}; allowed: "
            + ("a number." if kind == "number" else "days, weeks, months, quarters or years."),
            hint="write 90, in the unit of the column." if kind == "number" else "write 90 days.",
        )
    return partial(span.before, kind=kind, where=where)
