"""A micro-batch: score it, match outcomes, learn, and commit; each step begins at a state.

The order is test, then train: rows are decided by what was known before the micro-batch. A batch is
committed by replacing the state's file. One that is ended before is repeated by Spark with the same
rows, begins at the same state, and replaces what it had written.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pyspark.ml.functions import array_to_vector
from pyspark.sql import Observation
from pyspark.sql import functions as F

from sparkweights.core.columns import MALFORMED_RECORD, column
from sparkweights.core.errors import PublishError, QualityGateError
from sparkweights.core.versions import digest
from sparkweights.models.base import FEATURES, LABEL, WEIGHT
from sparkweights.models.mini_batch import MiniBatchModel
from sparkweights.models.packed_rows import Moments, collect_round, count_blocks, pack_rows
from sparkweights.probability.corrections import WEIGHTS, Ledger, Reweighting
from sparkweights.quality.compile import compile_suite
from sparkweights.scoring.clock import Clock
from sparkweights.scoring.plan import RunMetadata, ScoringPlan, is_malformed
from sparkweights.scoring.run import Outputs, ScoringRun
from sparkweights.scoring.scorer import Scorer
from sparkweights.spec.scoring import NATURAL
from sparkweights.storage.scratch import cached
from sparkweights.storage.tables import without_malformed
from sparkweights.stream.files import (
    ASIDE,
    OUTCOMES,
    QUARANTINE,
    SCORED,
    UNMATCHED,
    WAITING,
    BatchStore,
)
from sparkweights.stream.learner import LabelledBatch
from sparkweights.stream.metrics import stream_record
from sparkweights.stream.outcomes import (
    CLASS,
    INPUTS,
    TIME,
    TIMES,
    WaitingRows,
    collect_reference,
    collect_scores,
    event_time,
    known_outcomes,
    rounded,
)
from sparkweights.stream.publication import StreamBatch
from sparkweights.stream.state import Part

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import date

    from pyspark.sql import Column, DataFrame, SparkSession

    from sparkweights.bundle.bundle import ModelBundle
    from sparkweights.core.progress import Progress
    from sparkweights.models.losses import Array
    from sparkweights.models.optimizers import State
    from sparkweights.models.rounds import BlockResult, RoundSettings
    from sparkweights.quality.suite import Suite
    from sparkweights.records.stream import StreamRecord
    from sparkweights.spec.scoring import ScoringSpec
    from sparkweights.storage.tables import TableSource
    from sparkweights.stream.current_prior import CurrentPrior
    from sparkweights.stream.files import StreamFolder
    from sparkweights.stream.state import StreamRules, StreamState
    from sparkweights.stream.window import WindowLimits

MAX_PARTS = 32  # files of rows that wait; more are joined into one


@dataclass(frozen=True)
class StreamSettings:
    """What every micro-batch follows, resolved once.

    Attributes
    ----------
    name, fingerprint
        Of the configuration.
    spec
        How rows are scored.
    bundle
        The published model.
    rules
        How the state follows from rows.
    window
        Its limits.
    before
        Returns the event time that is earlier by the time an outcome may take; None where it may
        take any time.
    time_kind
        How event time counts, see `sparkweights.sampling.split.time_kind`.
    suites
        As of `sparkweights.scoring.run.ScoringRun`.
    source
        Of the rows.
    run_date
        Of the run.
    """

    name: str
    fingerprint: Mapping[str, object]
    spec: ScoringSpec
    bundle: ModelBundle
    rules: StreamRules
    window: WindowLimits
    before: Callable[[float], float] | None
    time_kind: str
    suites: Mapping[str, Suite]
    source: TableSource
    run_date: date

    def watermark(self, latest: float | None) -> float | None:
        """Return the event time of the oldest rows whose outcome may still come; None for all."""
        return None if self.before is None or latest is None else self.before(latest)

    def bundle_at(self, state: StreamState) -> ModelBundle:
        """Return the model that a state scores with.

        The calibration of the published model was fitted to its own probabilities, and not to those
        of a model that goes on learning; that one is calibrated by the window's outcomes.
        """
        model = self.bundle.model
        if state.learner is None or not isinstance(model, MiniBatchModel) or model.scale is None:
            return self.bundle
        parameters = model.scale.in_own_units(state.learner.state.parameters)
        rule = Reweighting(WEIGHTS, state.learner.rule, inverted=True)
        return replace(
            self.bundle,
            model=replace(model, parameters=parameters, by_round=(), rounds=()),
            ledger=Ledger(self.bundle.ledger.prior, (rule,)),
            calibrator=None,
        )


@dataclass
class StreamRun:
    """A running stream.

    Attributes
    ----------
    settings, folder, progress
        What it follows, where it writes, and what it reports to.
    state
        After the last committed micro-batch.
    prior
        The class shares that the next one is decided for.
    """

    settings: StreamSettings
    folder: StreamFolder
    progress: Progress
    state: StreamState
    prior: CurrentPrior = field(init=False)

    def __post_init__(self) -> None:
        self.prior = self.state.prior(self.settings.rules)

    @property
    def _rows(self) -> WaitingRows:
        published = Scorer.of(self.settings.bundle)
        return WaitingRows(
            self.settings.spec.problem, published, learns=self.state.learner is not None
        )

    def process(self, rows_df: DataFrame, outcomes_df: DataFrame | None, batch: int) -> None:
        """Score a micro-batch, learn from its outcomes, and commit; the last one is skipped.

        Rows that fail a gate are set aside whole, the rest of the batch is committed, and the
        gate's error ends the stream.

        Parameters
        ----------
        outcomes_df
            Keys and labels; None where the stream has no outcomes.

        Raises
        ------
        QualityGateError
            If the rows fail a gate.
        ConfigError
            If micro-batches between the last one and this one are in no state.
        """
        if not self.state.follows(batch, self.folder.root):
            return
        self.folder.discard(batch)
        begun, state, failure = time.monotonic(), self.state, None
        # Spark makes a micro-batch where something has arrived; with two sources, from either.
        if outcomes_df is None or not rows_df.isEmpty():
            try:
                state = self._score(rows_df, batch, waits=outcomes_df is not None)
            except QualityGateError as error:
                failure = error
                self.folder.discard(batch)
                self.folder.write_rows(rows_df, ASIDE, f"batch_id={batch}")
                state = replace(state, aside=(*state.aside, batch))
        rows = state.totals.rows - self.state.totals.rows
        if outcomes_df is not None:
            state = self._learn(outcomes_df, batch, state)
            state = self._let_go(rows_df.sparkSession, batch, state)
        seconds = time.monotonic() - begun
        state = state.committed(batch, self.state.totals, seconds, self.prior)
        prior = state.prior(self.settings.rules)
        self.folder.commit(state)
        self.state, self.prior = state, prior
        self._tidy(state)
        if failure is not None:
            raise failure
        self.report("running", rows=rows, seconds=seconds)

    def report(self, status: str, *, rows: int = 0, seconds: float = 0.0, reason: str = "") -> None:
        """Write the metrics, and report one line.

        Raises
        ------
        PublishError
            If they cannot be written.
        """
        record = self.record(status, rows=rows, seconds=seconds, reason=reason)
        self.progress.step(record.line)
        try:
            self.folder.write_metrics(record)
        except PublishError as error:
            raise PublishError(
                error.message,
                hint=f"the rows up to micro-batch {self.state.batch} WERE committed; what is "
                "missing are the metrics. Free storage for them, then run again.",
            ) from None

    def record(
        self, status: str, *, rows: int = 0, seconds: float = 0.0, reason: str = ""
    ) -> StreamRecord:
        """Return the record of the stream; ``rows`` and ``seconds`` are of a micro-batch."""
        return stream_record(
            self.settings, self.state, self.prior, status, rows=rows, seconds=seconds, reason=reason
        )

    def _score(self, rows_df: DataFrame, batch: int, *, waits: bool) -> StreamState:
        """Score rows as a run does; keep those that wait for an outcome, if they do."""
        settings, state = self.settings, self.state
        spec, prior = settings.spec, self.prior
        if settings.rules.moves_prior:
            moved = prior.target != prior.model
            spec = replace(spec, target_prior=prior.target if moved else NATURAL)
        bundle = settings.bundle_at(state)
        now = datetime.now(UTC).replace(microsecond=0)
        # The latest event time is found in the pass that scores. Rows that are set aside have none.
        aside, moment = self._is_aside(rows_df), event_time(rows_df, spec.problem.roles, now)
        observation = Observation()
        observed_df = rows_df.observe(observation, F.max(F.when(~aside, moment)).alias("latest"))
        outputs = self._outputs(rows_df.sparkSession, batch)
        run = ScoringRun(
            spec,
            bundle,
            RunMetadata(bundle.version, outputs.scored.run_id, settings.run_date, now),
            settings.source,
            outputs,
            settings.suites,
            settings.name,
            settings.fingerprint,
            BatchStore(self.folder.root, batch),
            Clock(_Warnings(self.progress)),
        ).score(observed_df)
        observed = observation.get["latest"]
        latest = state.latest if observed is None else observed
        totals = state.totals.plus(
            rows=run.counts.rows,
            scored=run.counts.scored,
            expected_cost=rounded(run.counts.expected_cost),
            constant_cost=rounded(min(run.counts.expected_costs.values())),
        )
        state = replace(state.at(latest), totals=totals)
        if not run.counts.scored:
            return state
        ledger = Ledger.from_dict(run.record.ledger.to_dict())
        scored_df = self.folder.read_scored(rows_df.sparkSession, batch)
        bucket, measure = collect_scores(scored_df, ledger, batch)
        if waits:
            if latest is None:
                raise _no_event_time(spec.problem.roles.time, run.counts.scored)
            time = F.coalesce(moment, F.lit(latest))
            waiting_df = self._rows.select(rows_df.filter(~aside), scored_df, ledger, time)
            waiting_df = self.folder.write_rows(waiting_df, WAITING, str(batch))
            if state.learner is not None:
                measure = collect_reference(waiting_df, batch)
            state = replace(state, waiting=(*state.waiting, Part(str(batch), latest)))
        return state.with_scores(bucket, measure, settings.rules)

    def _is_aside(self, rows_df: DataFrame) -> Column:
        """Return whether the scoring run sets a row aside."""
        suite = self.settings.suites.get("incoming")
        aside = ScoringPlan(self.settings.spec).unreadable(rows_df.schema)
        if suite is None:
            return aside
        checked_df = rows_df.drop(MALFORMED_RECORD)
        return aside | compile_suite(checked_df, suite, table="incoming").critical

    def _outputs(self, spark: SparkSession, batch: int) -> Outputs:
        own_id = f"{batch}-{digest(self.settings.fingerprint, self.settings.bundle.version)}"
        parts = [part.name for part in self.state.waiting]
        kept_df = self.folder.read_rows(spark, WAITING, parts) if parts else None
        scored, quarantine = (
            StreamBatch(
                run_id=own_id,
                run_date=self.settings.run_date,
                spark=spark,
                root=self.folder.root / kind,
                file_format="parquet",
                owner=self.settings.name,
                batch=batch,
                kept_df=kept_df,
            )
            for kind in (SCORED, QUARANTINE)
        )
        return Outputs(scored, quarantine)

    def _learn(self, outcomes_df: DataFrame, batch: int, state: StreamState) -> StreamState:
        """Match outcomes with the rows that wait, and learn from those that match."""
        spark, keys = outcomes_df.sparkSession, list(self.settings.spec.problem.roles.keys)
        known_df = self._known_outcomes(self._readable(outcomes_df, batch), state)
        if known_df.isEmpty():
            return state
        if not state.waiting:
            return self._keep_unmatched(known_df, batch, state)
        waiting_df = self._open_rows(spark, state.waiting, state)
        matched_df = self._rows.match(waiting_df, known_df.drop(TIME))
        matched_df = self.folder.write_rows(matched_df, OUTCOMES, str(batch))
        left_df = known_df.join(matched_df.select(*map(column, keys)), keys, "left_anti")
        state = self._keep_unmatched(left_df, batch, state)
        sums = self._rows.collect_sums(matched_df, batch)
        if not sums.rows:
            return state
        totals = state.totals.plus(
            outcomes=sums.rows,
            realised_cost=sums.realised,
            expected_cost_realised=sums.expected,
        )
        state = replace(state.with_matched(batch), totals=totals)
        state = state.with_outcomes(sums.bucket, sums.loss, self.settings.window)
        return self._partial_fit(
            matched_df, batch, sums.bucket.frequencies.weight, sums.rows, state
        )

    def _readable(self, outcomes_df: DataFrame, batch: int) -> DataFrame:
        """Return the outcomes whose record could be parsed; warn of the others."""
        if MALFORMED_RECORD not in outcomes_df.columns:
            return outcomes_df
        unreadable = outcomes_df.filter(is_malformed(outcomes_df.schema)).count()
        if unreadable:
            self.progress.warn(
                f"{unreadable} outcomes of micro-batch {batch} are no records of "
                "stream.outcomes.schema, and are left out."
            )
        return without_malformed(outcomes_df)

    def _known_outcomes(self, outcomes_df: DataFrame, state: StreamState) -> DataFrame:
        """Return new outcomes and those whose row had not come, without repetitions."""
        spark, keys = outcomes_df.sparkSession, list(self.settings.spec.problem.roles.keys)
        known_df = known_outcomes(outcomes_df, self.settings.spec.problem.roles)
        latest = F.lit(state.latest).cast("double")  # null before the first row
        known_df = known_df.withColumn(TIME, latest)
        if state.unmatched is not None:
            earlier_df = self.folder.read_rows(spark, UNMATCHED, [state.unmatched])
            both_df = known_df.unionByName(earlier_df)
            known_df = both_df.groupBy(*map(column, keys)).agg(
                F.max(CLASS).alias(CLASS), F.coalesce(F.min(TIME), latest).alias(TIME)
            )
        if not state.matched:
            return known_df
        done_df = self.folder.read_rows(spark, OUTCOMES, [part.name for part in state.matched])
        return known_df.join(done_df.select(*map(column, keys)), keys, "left_anti")

    def _keep_unmatched(self, left_df: DataFrame, batch: int, state: StreamState) -> StreamState:
        """Keep outcomes whose row has not come, while it may still come."""
        watermark = self.settings.watermark(state.latest)
        if watermark is not None:
            left_df = left_df.filter(F.col(TIME) >= watermark)
        rows = self.folder.write_rows(left_df, UNMATCHED, str(batch)).count()
        totals = replace(state.totals, unmatched=rows)
        return replace(state, unmatched=str(batch) if rows else None, totals=totals)

    def _partial_fit(
        self, matched_df: DataFrame, batch: int, weight: Array, rows: int, state: StreamState
    ) -> StreamState:
        """Return the state whose learner made steps on the rows, in one Spark job for a batch."""
        model = self.settings.bundle.model
        if not isinstance(model, MiniBatchModel) or model.scale is None:
            return state
        scale = model.scale
        labelled = LabelledBatch(batch, rows, weight, count_blocks(rows, len(scale.mean)))

        def run(
            weights: Array, start: State, number: int, rounds: RoundSettings
        ) -> Sequence[BlockResult]:
            of_class = F.get(F.lit(weights.tolist()), F.col(CLASS))
            fit_df = matched_df.select(
                array_to_vector(F.col(INPUTS)).alias(FEATURES),
                F.col(CLASS).cast("double").alias(LABEL),
                (F.col(TIMES) * of_class).alias(WEIGHT),
            )
            moments = Moments(rows, weight * weights, scale.mean, scale.deviation)
            with cached(pack_rows(fit_df, moments, rounds.seed)) as packed_df:
                return collect_round(packed_df, start, number, rounds)

        return state.learned(labelled, self.settings.rules, run)

    def _let_go(self, spark: SparkSession, batch: int, state: StreamState) -> StreamState:
        """Let go files of rows whose outcome can no longer come, and join many small ones."""
        watermark = self.settings.watermark(state.latest)
        if watermark is not None:
            kept = state.since(watermark)
            over = [part for part in state.waiting if part not in kept.waiting]
            expired = self._open_rows(spark, over, state).count() if over else 0
            state = replace(kept, totals=state.totals.plus(expired=expired))
        if len(state.waiting) <= MAX_PARTS:
            return state
        joined = Part(f"{batch}-joined", max(part.latest for part in state.waiting))
        self.folder.write_rows(self._open_rows(spark, state.waiting, state), WAITING, joined.name)
        return replace(state, waiting=(joined,), matched=())

    def _open_rows(
        self, spark: SparkSession, parts: Sequence[Part], state: StreamState
    ) -> DataFrame:
        """Return the rows of some files whose outcome has not come."""
        keys = list(self.settings.spec.problem.roles.keys)
        waiting_df = self.folder.read_rows(spark, WAITING, [part.name for part in parts])
        if not state.matched:
            return waiting_df
        done_df = self.folder.read_rows(spark, OUTCOMES, [part.name for part in state.matched])
        return waiting_df.join(done_df.select(*map(column, keys)), keys, "left_anti")

    def _tidy(self, state: StreamState) -> None:
        """Remove files that no micro-batch reads again; outcomes stay."""
        self.folder.remove_others(WAITING, [part.name for part in state.waiting])
        unmatched = [] if state.unmatched is None else [state.unmatched]
        self.folder.remove_others(UNMATCHED, unmatched)
        for kind in (OUTCOMES, ASIDE):
            self.folder.remove_others(kind, None)


def _no_event_time(time: str | None, rows: int) -> QualityGateError:
    return QualityGateError(
        f"columns.time: '{time}' is null, or no time up to now, on each of the first {rows} rows; "
        "until when they wait for an outcome is not known.",
        hint="correct the column where the source is made.",
    )


@dataclass(frozen=True)
class _Warnings:
    """Progress of a scoring run in a stream: warnings alone, as each batch has a line."""

    progress: Progress

    def step(self, text: str) -> None:
        """Report nothing."""

    def warn(self, text: str) -> None:
        """Report a problem that does not stop the stream."""
        self.progress.warn(text)
