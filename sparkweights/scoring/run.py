"""A scoring run: check, score, stage, verify, check again, publish; the manifest last."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from sparkweights.core.columns import MALFORMED_RECORD
from sparkweights.core.engine_errors import NETWORK_ERRORS, SPARK_ERRORS
from sparkweights.core.errors import PublishError, spark_message, without_credentials
from sparkweights.core.versions import digest
from sparkweights.features.missing import MissingShift, missing_counts, missing_shifts
from sparkweights.quality.compile import CompiledSuite, compile_suite
from sparkweights.quality.gates import gate_checks, gate_missing, gate_shares
from sparkweights.quality.suite import CheckReport
from sparkweights.records.runs import TableFingerprint
from sparkweights.scoring import counts as counting
from sparkweights.scoring.context import prepare_context
from sparkweights.scoring.plan import ScoringPlan, passing
from sparkweights.scoring.reason_rules import reason_rule
from sparkweights.scoring.record import run_record
from sparkweights.scoring.schema_checks import (
    quarantine_schema,
    require_free_names,
    require_model,
)
from sparkweights.scoring.scorer import Scorer
from sparkweights.storage.publish.column_types import with_published_types

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from pyspark.sql import DataFrame

    from sparkweights.bundle.bundle import ModelBundle
    from sparkweights.quality.suite import Suite
    from sparkweights.records import RunRecord
    from sparkweights.records.store import RunStore
    from sparkweights.scoring.clock import Clock
    from sparkweights.scoring.counts import Measures, RunCounts
    from sparkweights.scoring.plan import RunMetadata, ScoringContext
    from sparkweights.spec.scoring import ScoringSpec
    from sparkweights.storage.lock import Lock
    from sparkweights.storage.publish.protocol import Publication
    from sparkweights.storage.tables import TableSource

MANY_BYTES = 64 * 2**20  # of a table; above it a start-up of some seconds is worthwhile


@dataclass(frozen=True)
class ScoredRun:
    """The counts of a scoring run, and its record."""

    counts: RunCounts
    record: RunRecord


@dataclass(frozen=True)
class Outputs:
    """The publications of a run: one date of two tables."""

    scored: Publication
    quarantine: Publication


@dataclass(frozen=True)
class ScoringRun:
    """A resolved scoring run; its methods are the steps in their order.

    Attributes
    ----------
    spec, bundle, run
        The settings, the model, and the rows' metadata.
    source
        The source of the incoming table, for the record.
    outputs
        The tables that are written.
    suites
        ``incoming`` and ``scored`` -> the suite that checks it, where there is one.
    name, settings
        Of the configuration, for the record.
    store
        The store of the record.
    clock
        Measures every step.
    """

    spec: ScoringSpec
    bundle: ModelBundle
    run: RunMetadata
    source: TableSource
    outputs: Outputs
    suites: Mapping[str, Suite]
    name: str
    settings: Mapping[str, object]
    store: RunStore
    clock: Clock

    def score(self, incoming_df: DataFrame) -> ScoredRun:
        """Score one table for one date.

        Readers see no change until the last step; a failure before it leaves the date unchanged.

        Raises
        ------
        InputError, QualityGateError, PublishError
            With exit codes 4, 3 and 6.
        """
        many_rows = self.source.bytes is None or self.source.bytes > MANY_BYTES
        scorer = Scorer.of(self.bundle, many_rows=many_rows)
        kinds = self.bundle.manifest.schema
        require_model(incoming_df.schema, self.spec.problem, scorer, kinds)
        require_free_names(incoming_df.schema)
        with ExitStack() as stack:
            locks = []
            for output in (self.outputs.scored, self.outputs.quarantine):
                locks.append(stack.enter_context(output.lock()))
                stack.callback(output.discard)
            self._warn_of_interrupted_run()
            return self._steps(incoming_df, scorer, locks)

    def _warn_of_interrupted_run(self) -> None:
        run_date = self.run.run_date
        interrupted = self.store.interrupted_run(run_date)
        if interrupted is not None:
            self.clock.progress.warn(
                f"Run '{interrupted}' of {run_date} ended while it published: readers may see its "
                "quarantine beside the scored rows of an earlier run, until this run replaces both."
            )

    def _steps(self, incoming_df: DataFrame, scorer: Scorer, locks: Sequence[Lock]) -> ScoredRun:
        self.store.prepare_run(self.run.run_date)
        scored, keys = self.outputs.scored, self.spec.problem.roles.keys
        incoming_df = self._require_outputs(incoming_df)
        reasons = reason_rule(self.spec, self.bundle)
        with self.clock.step("plan_checks", "planning the checks"):
            checked_df = incoming_df.drop(MALFORMED_RECORD)
            plan = ScoringPlan(self.spec, self._compiled(checked_df, "incoming"))
        marked_df = plan.mark(incoming_df)
        reference = self.bundle.reference.scores
        context = prepare_context(marked_df, plan, scorer, reference, self.clock)
        context = replace(context, reasons=reasons)
        with self.clock.step("stage", "scoring, checking and staging"):
            staged = self._stage_scored(marked_df, plan, context)
            shifts = self._missing_shifts(staged.observed)
        with self.clock.step("count", "counting what was staged"):
            measured = counting.collect_staged(staged.df, self.spec, staged.suite)
            counts = self._count_rows(staged, measured)
        reports = dict[str, CheckReport | None]()
        with self.clock.step("check_incoming", "checking the incoming table"):
            reports["incoming"] = staged.check_incoming(incoming_df, plan.suite)
            counts = counts.explained(reports["incoming"], plan.suite)
            self._gate_shares(counts)
            gate_missing(shifts, self.spec.checks.max_missing_shift)
        with self.clock.step("quarantine", "staging the quarantine"):
            self._stage_quarantine(incoming_df, plan, reports["incoming"], counts)
        with self.clock.step("verify", "verifying the stage"):
            rows = counts.rows - counts.quarantined
            scored.verify_stage(staged.df, rows=rows, keys=keys)
        with self.clock.step("check_scored", "checking the scored table"):
            reports["scored"] = staged.check_scored(measured)
        record = run_record(
            self.name,
            self.spec,
            self.bundle,
            self.run,
            counts,
            context=context,
            missing_shifts=shifts,
            settings=self.settings,
            checks=reports,
            tables={"incoming": _fingerprint(incoming_df, self.source, counts.rows)},
            durations=self.clock.seconds,
        )
        with self.clock.step("publish", "publishing"):
            self._publish(record, locks)
        record = replace(record, durations_s=self.clock.seconds)
        self._record(record, locks)
        return ScoredRun(counts, record)

    def _require_outputs(self, incoming_df: DataFrame) -> DataFrame:
        """Refuse outputs that cannot take the rows; return these with the keys' published types."""
        scored = self.outputs.scored
        scored.require_ready()
        keys = self.spec.problem.roles.keys
        incoming_df = with_published_types(incoming_df, scored.published_schema(), keys)
        self.outputs.quarantine.require_ready(quarantine_schema(incoming_df.schema))
        return incoming_df

    def _publish(self, record: RunRecord, locks: Sequence[Lock]) -> None:
        _require_held(locks)
        self.store.write_pending_manifest(record)
        with _stating(
            "the scored table was not replaced, the quarantine of the date may have been; check "
            "the storage, then run the date again."
        ):
            self.outputs.quarantine.publish()
        with _stating(
            "the quarantine of the date WAS replaced, the scored table was not; run the date again."
        ):
            _require_held(locks)
        # A commit may succeed, and its answer be lost.
        with _stating(
            "the quarantine of the date WAS replaced; whether the scored table was, its scored_at "
            "tells, compared with manifest.pending.json. Check the storage; run the date again."
        ):
            self.outputs.scored.publish()

    def _record(self, record: RunRecord, locks: Sequence[Lock]) -> None:
        with _stating(
            "both tables WERE published; what is missing is the record. Free storage for it, then "
            "run the date again."
        ):
            _require_held(locks)
            self.store.write(record)

    def _compiled(self, df: DataFrame, role: str) -> CompiledSuite | None:
        """Compile the suite of a table to Columns, if there is one."""
        suite = self.suites.get(role)
        return None if suite is None else compile_suite(df, suite, table=role)

    def _stage_scored(
        self, marked_df: DataFrame, plan: ScoringPlan, context: ScoringContext
    ) -> _Staged:
        """Write the scored stage; incoming rows are counted and checked in the same pass."""
        observed_df, observation = counting.observe_marked(marked_df, plan, self.bundle.plan)
        scored_df = plan.score(passing(observed_df), context, self.run)
        suite = self._compiled(self._dated(scored_df), "scored")
        scored = self.outputs.scored
        scored.write_stage(scored_df, partition_by=["decision"])
        staged_df = self._dated(scored.read_stage(marked_df.sparkSession, scored_df))
        return _Staged(staged_df, observation.get, suite)

    def _count_rows(self, staged: _Staged, measured: Measures) -> RunCounts:
        counts = counting.run_counts(staged.observed, measured, self.spec.problem)
        if counts.unscorable or counts.quarantined:
            self.clock.progress.warn(
                f"{counts.quarantined} rows quarantined and {counts.unscorable} unscorable, of "
                f"{counts.rows}."
            )
        return counts

    def _missing_shifts(self, observed: Measures) -> tuple[MissingShift, ...]:
        """Compare the missing values of the incoming rows with those of training, and warn."""
        learned, numeric = self.bundle.plan.missing, self.spec.problem.roles.numeric
        counted = missing_counts(observed, numeric, self.bundle.plan.levels)
        if learned is None or counted is None:
            return ()
        limit = self.spec.checks.max_missing_shift
        shifts = missing_shifts(learned, counted, limit=limit)
        for shift in shifts:
            self.clock.progress.warn(f"Feature {shift.sentence}.")
        return shifts

    def _dated(self, df: DataFrame) -> DataFrame:
        """Append the date, as readers of the published table see it."""
        return df.withColumn("run_date", F.lit(self.run.run_date))

    def _gate_shares(self, counts: RunCounts) -> None:
        gate_shares(
            quarantined_for=counts.quarantined_for,
            rows=counts.rows,
            quarantined=counts.quarantined,
            unscorable=counts.unscorable,
            faults=counts.faults,
            limits={
                "quarantined": self.spec.checks.max_quarantined,
                "unscorable": self.spec.checks.max_unscorable,
            },
        )

    def _stage_quarantine(
        self,
        incoming_df: DataFrame,
        plan: ScoringPlan,
        report: CheckReport | None,
        counts: RunCounts,
    ) -> None:
        """Write the rows set aside; a second pass, only where there are any."""
        failing = () if report is None else report.failing
        quarantine_df = plan.quarantine(incoming_df, self.run, failing)
        if not counts.quarantined:
            quarantine_df = quarantine_df.limit(0)
        quarantine = self.outputs.quarantine
        quarantine.write_stage(quarantine_df, few=True)
        written = quarantine.read_stage(incoming_df.sparkSession, quarantine_df).count()
        if written != counts.quarantined:
            raise PublishError(
                f"The quarantine's stage holds {written} rows; {counts.quarantined} were set "
                "aside.",
                hint="nothing was published; run again, and see that nothing writes to the "
                "incoming table meanwhile.",
            )


@dataclass(frozen=True)
class _Staged:
    """The staged table, and what was observed while it was written.

    Attributes
    ----------
    df
        The rows, as readers will see them.
    observed
        Counts of the incoming table.
    suite
        The checks of the staged rows; None without checks.
    """

    df: DataFrame
    observed: Measures
    suite: CompiledSuite | None

    def check_incoming(
        self, incoming_df: DataFrame, suite: CompiledSuite | None
    ) -> CheckReport | None:
        """Check the incoming table; refuse it if a critical check fails that cannot quarantine."""
        if suite is None:
            return None
        report = suite.report(incoming_df, self.observed)
        gate_checks(report, quarantined=suite.quarantining, table="incoming")
        return report

    def check_scored(self, measured: Measures) -> CheckReport | None:
        """Check the staged table; a table that fails is not published."""
        if self.suite is None:
            return None
        report = self.suite.report(self.df, measured)
        gate_checks(report, quarantined=(), table="scored")
        return report


@contextmanager
def _stating(hint: str) -> Iterator[None]:
    """State what has been published by the hint of an error that ends the publication."""
    try:
        yield
    except PublishError as error:
        raise PublishError(error.message, hint=hint) from None
    except (*SPARK_ERRORS, *NETWORK_ERRORS) as error:
        raise PublishError(
            f"The publication has ended early: {spark_message(error)}.", hint=hint
        ) from None


def _require_held(locks: Sequence[Lock]) -> None:
    """Refuse to publish where another run may have begun to write the tables."""
    for lock in locks:
        lock.require_held()


def _fingerprint(df: DataFrame, source: TableSource, rows: int) -> TableFingerprint:
    """Return what identifies a table without reading it again."""
    schema = {field.name: field.dataType.simpleString() for field in df.schema}
    return TableFingerprint(
        location=without_credentials(source.location),
        format=source.format,
        partition=source.partition,
        rows=rows,
        columns=schema,
        schema_sha=digest(schema),
        version=None if source.as_of is None else str(source.as_of),
    )
