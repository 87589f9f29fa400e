"""The nightly job: check, score, stage, verify, check again, publish; manifest last."""

from __future__ import annotations

import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pyspark.sql import functions as F  # noqa: N812

from sparkweights.config.load import resolve_secrets
from sparkweights.config.validate import NATURAL
from sparkweights.core.columns import optional_weight
from sparkweights.core.errors import PublishError
from sparkweights.core.versions import digest
from sparkweights.costs.review import collect_review_cut
from sparkweights.models.base import POSITIONS
from sparkweights.probability.label_shift import NO_SHIFT, collect_histogram, estimate_shift
from sparkweights.quality.compile import CompiledSuite, compile_suite
from sparkweights.quality.gates import gate_checks, gate_shares
from sparkweights.quality.suite import CheckReport, load_suite
from sparkweights.report import decisions_section, fragment
from sparkweights.scoring import counts as counting
from sparkweights.scoring import plan as deciding
from sparkweights.scoring.manifest import announce, record, record_folder, recorded_name
from sparkweights.scoring.reason_rules import reason_rule
from sparkweights.scoring.record import run_id, run_manifest
from sparkweights.scoring.schema_checks import (
    quarantine_schema,
    require_free_names,
    require_model,
    require_own_record,
)
from sparkweights.scoring.scorer import Scorer
from sparkweights.storage.files import make_folder
from sparkweights.storage.names import TableName
from sparkweights.storage.publish.catalog import CatalogPublication
from sparkweights.storage.publish.folder import FolderPublication
from sparkweights.storage.tables import TableSource, read_table, require_rows

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import date
    from pathlib import Path

    from pyspark.sql import DataFrame, SparkSession

    from sparkweights.bundle.bundle import ModelBundle
    from sparkweights.config.schema import Config
    from sparkweights.core.progress import Progress
    from sparkweights.scoring.counts import Counted
    from sparkweights.storage.publish.protocol import Publication


OUTPUTS = ("scored", "quarantine")
MANY_BYTES = 64 * 2**20  # of a table; above it a start of some seconds pays


@dataclass(frozen=True)
class ScoredRun:
    """What a scoring run did, and where its manifest lies."""

    counts: Counted
    manifest: dict[str, Any]
    manifest_path: Path

    def _repr_html_(self) -> str:
        return fragment(decisions_section(self.counts.decisions))


@dataclass
class _Clock:
    """Seconds per step, for the manifest."""

    progress: Progress
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def step(self, name: str, text: str) -> Iterator[None]:
        self.progress.step(text)
        begun = time.monotonic()
        yield
        self.seconds[name] = round(time.monotonic() - begun, 3)


def score_table(
    spark: SparkSession,
    config: Config,
    bundle: ModelBundle,
    source: TableSource,
    run_date: date,
    progress: Progress,
) -> ScoredRun:
    """Score one table for one date.

    Until the last step nothing that a reader sees changes; a failure anywhere leaves the date as
    it was.

    Raises
    ------
    InputError, QualityGateError, PublishError
        With exit codes 4, 3 and 6.
    """
    stamp = deciding.Stamp(
        bundle.version,
        run_id(config, run_date, bundle.version),
        run_date,
        datetime.now(UTC).replace(microsecond=0),
    )
    incoming_df = read_table(spark, source)
    many_rows = source.bytes is None or source.bytes > MANY_BYTES
    scorer = Scorer.of(bundle, many_rows=many_rows)
    require_model(incoming_df.schema, config, scorer, bundle.manifest["schema"])
    require_free_names(incoming_df.schema)
    if not config.checks.allow_empty:
        require_rows(incoming_df, source)
    scored, quarantine = (
        publication(spark, config, role, stamp.run_id, run_date) for role in OUTPUTS
    )
    night = _Night(spark, config, source, scorer, stamp, scored, quarantine, _Clock(progress))
    with ExitStack() as stack:
        for output in (scored, quarantine):
            stack.enter_context(output.hold())
            stack.callback(output.discard)
        return night.run(incoming_df, bundle)


def publication(
    spark: SparkSession, config: Config, role: str, run_id: str, run_date: date
) -> Publication:
    """Return how a date of an output is published, to a folder or to the catalog."""
    table = config.table(role)
    options = resolve_secrets(table.options, where=f"tables.{role}.options")
    if table.format == "table" and (name := TableName.parse(table.location)) is not None:
        return CatalogPublication(
            run_id=run_id,
            run_date=run_date,
            options=options,
            spark=spark,
            name=name,
            locks=config.path(config.runs),
        )
    return FolderPublication(
        run_id=run_id,
        run_date=run_date,
        options=options,
        root=config.path(table.location),
        file_format=table.format,
        owner=config.name,
    )


@dataclass(frozen=True)
class _Night:
    """One run's context, resolved; its methods are the steps in their order."""

    spark: SparkSession
    config: Config
    source: TableSource
    scorer: Scorer
    stamp: deciding.Stamp
    scored: Publication
    quarantine: Publication
    clock: _Clock

    @property
    def record_folder(self) -> Path:
        return record_folder(self.config, self.stamp.run_date)

    def run(self, incoming_df: DataFrame, bundle: ModelBundle) -> ScoredRun:
        require_own_record(recorded_name(self.record_folder), self.config)
        make_folder(self.record_folder)  # if it cannot be written, now is the time to know
        self.scored.require_ready()
        self.quarantine.require_ready(quarantine_schema(incoming_df.schema))
        reasons = reason_rule(self.config, bundle)
        with self.clock.step("plan_checks", "planning the checks"):
            suite = self._compiled(incoming_df, "incoming")
        marked_df = deciding.mark(incoming_df, self.config, suite)
        adapted = replace(self._adapted(marked_df, bundle), reasons=reasons)
        with self.clock.step("stage", "scoring, checking and staging"):
            staged = self._stage_scored(marked_df, adapted, suite)
        with self.clock.step("count", "counting what was staged"):
            measured = counting.collect_staged(staged.df, self.config, staged.suite)
            counts = self._counted(staged, measured)
        reports = dict[str, CheckReport | None]()
        with self.clock.step("check_incoming", "judging the incoming table"):
            reports["incoming"] = staged.judge_incoming(incoming_df, suite)
            counts = counts.explained(reports["incoming"], suite)
            self._gate_shares(counts)
        with self.clock.step("quarantine", "staging the quarantine"):
            self._stage_quarantine(incoming_df, suite, reports["incoming"], counts)
        with self.clock.step("verify", "verifying the stage"):
            rows = counts.rows - counts.quarantined
            self.scored.verify_stage(staged.df, rows=rows, keys=self.config.roles.keys)
        with self.clock.step("check_scored", "judging the scored table"):
            reports["scored"] = staged.judge(measured)
        manifest = run_manifest(
            self.config,
            bundle,
            self.stamp,
            counts,
            adapted=adapted,
            checks=reports,
            fingerprints={"incoming": _fingerprint(incoming_df, self.source, counts.rows)},
            durations=self.clock.seconds,
        )
        with self.clock.step("publish", "publishing"):  # the manifest holds the clock's own dict
            self._publish(manifest)
        return ScoredRun(counts, manifest, record(self.record_folder, manifest))

    def _publish(self, manifest: Mapping[str, Any]) -> None:
        announce(self.record_folder, manifest)
        self.quarantine.publish()
        try:
            self.scored.publish()
        except PublishError as error:
            raise PublishError(
                error.message,
                hint="the quarantine of the date WAS replaced, the scored table was not; see to "
                "the storage, then run the date again.",
            ) from None

    def _compiled(self, df: DataFrame, role: str) -> CompiledSuite | None:
        """Turn the suite of a table into Columns, if there is one."""
        location = getattr(self.config.checks, role)
        if location is None:
            return None
        return compile_suite(df, load_suite(self.config.path(location)), table=role)

    def _adapted(self, marked_df: DataFrame, bundle: ModelBundle) -> deciding.Adapted:
        """Adapt the probabilities to tonight's class shares, and find the rows to review."""
        adapted = self._shifted(marked_df, bundle)
        if self.config.review is None:
            return adapted
        with self.clock.step("review", "choosing rows to review"):
            passing_df = deciding.passing(marked_df)
            priced_df = deciding.price(passing_df, adapted.scorer, self.config)
            gain = deciding.gain_of_review(self.config)
            weight = deciding.review_weight(passing_df, self.config)
            cut = collect_review_cut(priced_df, gain, self.config.review.capacity, weight)
        return replace(adapted, cut=cut)

    def _shifted(self, marked_df: DataFrame, bundle: ModelBundle) -> deciding.Adapted:
        """Move the probabilities to the class shares that are asked for, if any are."""
        wanted = self.config.decision.target_prior
        if wanted == NATURAL:
            return deciding.Adapted(self.scorer)
        if not isinstance(wanted, str):
            return deciding.Adapted(self.scorer.with_target_prior(wanted))
        usable_df = marked_df.filter(deciding.is_usable(self.scorer))
        if usable_df.isEmpty():
            return deciding.Adapted(self.scorer)  # the gates say what there is to say
        with self.clock.step("estimate_shares", "estimating class shares"):
            scored_df = self.scorer.score(usable_df)
            weight = optional_weight(scored_df.schema, self.config.roles)
            scores = collect_histogram(scored_df, self.scorer.probability_cols, weight=weight)
            shift = estimate_shift(
                bundle.reference.scores,
                scores,
                self.scorer.ledger.prior,
                max_shift=self.config.decision.max_shift,
            )
        if shift.verdict != NO_SHIFT:
            self.clock.progress.warn(f"{shift.sentence[:1].upper()}{shift.sentence[1:]}.")
        target = shift.target_prior()
        if target is None:
            return deciding.Adapted(self.scorer, shift)
        return deciding.Adapted(self.scorer.with_target_prior(target), shift)

    def _stage_scored(
        self, marked_df: DataFrame, adapted: deciding.Adapted, suite: CompiledSuite | None
    ) -> _Staged:
        """Write the scored stage; incoming rows are counted and checked in the same pass."""
        observed_df, observation = counting.observe_marked(marked_df, self.config, suite)
        passing_df = deciding.passing(observed_df)
        if adapted.reasons is not None:
            passing_df = passing_df.withColumn(POSITIONS, adapted.scorer.plan.array())
        priced_df = deciding.price(passing_df, adapted.scorer, self.config)
        decided_df = deciding.decide(priced_df, adapted, self.config)
        scored_df = deciding.publishable(decided_df, self.stamp)
        scored_suite = self._compiled(self._dated(scored_df), "scored")
        self.scored.write_stage(scored_df, partition_by=["decision"])
        staged_df = self._dated(self.scored.read_stage(self.spark, scored_df))
        return _Staged(staged_df, observation.get, scored_suite)

    def _counted(self, staged: _Staged, measured: Mapping[str, Any]) -> Counted:
        counts = counting.counted(staged.observed, measured, self.config)
        if counts.unscorable or counts.quarantined:
            self.clock.progress.warn(
                f"{counts.quarantined} rows quarantined and {counts.unscorable} unscorable, of "
                f"{counts.rows}."
            )
        return counts

    def _dated(self, df: DataFrame) -> DataFrame:
        """Append the date, as readers of the published table see it."""
        return df.withColumn("run_date", F.lit(self.stamp.run_date))

    def _gate_shares(self, counts: Counted) -> None:
        gate_shares(
            quarantined_for=counts.quarantined_for,
            rows=counts.rows,
            quarantined=counts.quarantined,
            unscorable=counts.unscorable,
            faults=counts.faults,
            limits={
                "quarantined": self.config.checks.max_quarantined,
                "unscorable": self.config.checks.max_unscorable,
            },
        )

    def _stage_quarantine(
        self,
        incoming_df: DataFrame,
        suite: CompiledSuite | None,
        report: CheckReport | None,
        counts: Counted,
    ) -> None:
        """Write the rows set aside; a second pass, only where there are any."""
        failing = () if report is None else report.failing
        quarantine_df = deciding.quarantined_rows(
            incoming_df, self.config, suite, self.stamp, failing
        )
        if not counts.quarantined:
            quarantine_df = quarantine_df.limit(0)
        self.quarantine.write_stage(quarantine_df, few=True)
        written = self.quarantine.read_stage(self.spark, quarantine_df).count()
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
        What was counted of the incoming table.
    suite
        What the rows are checked by, if there is anything.
    """

    df: DataFrame
    observed: Mapping[str, Any]
    suite: CompiledSuite | None

    def judge_incoming(
        self, incoming_df: DataFrame, suite: CompiledSuite | None
    ) -> CheckReport | None:
        """Judge the incoming table, and stop where quarantine is no answer."""
        if suite is None:
            return None
        report = suite.report(incoming_df, self.observed)
        gate_checks(report, quarantined=suite.quarantining, table="incoming")
        return report

    def judge(self, measured: Mapping[str, Any]) -> CheckReport | None:
        """Judge the staged table; nothing that fails here is published."""
        if self.suite is None:
            return None
        report = self.suite.report(self.df, measured)
        gate_checks(report, quarantined=(), table="scored")
        return report


def _fingerprint(df: DataFrame, source: TableSource, rows: int) -> dict[str, Any]:
    """Return what identifies a table without reading it again."""
    schema = {field.name: field.dataType.simpleString() for field in df.schema}
    return {
        "location": source.location,
        "format": source.format,
        "partition": dict(source.partition),
        "rows": rows,
        "columns": schema,
        "schema_sha": digest(schema),
    }
