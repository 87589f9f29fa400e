"""The nightly job: check, score, stage, verify, check again, publish; manifest last."""

from __future__ import annotations

import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pyspark.sql import functions as F  # noqa: N812

from sparkweights.errors import PublishError
from sparkweights.pipeline import deciding, records
from sparkweights.pipeline.scoring import Scorer
from sparkweights.quality import (
    CheckReport,
    RowCheck,
    gate_checks,
    gate_shares,
    load_suite,
    row_checks,
    run_suite,
)
from sparkweights.storage import (
    ModelBundle,
    Publication,
    TableSource,
    lease,
    read_table,
    require_rows,
    write_json,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import date
    from pathlib import Path

    from pyspark.sql import DataFrame, SparkSession

    from sparkweights.config import Config
    from sparkweights.pipeline.progress import Progress


@dataclass(frozen=True)
class ScoredRun:
    """What a scoring run did, and where its manifest lies."""

    counts: deciding.Counted
    manifest: dict[str, Any]
    manifest_path: Path


@dataclass(frozen=True)
class _Outputs:
    """The two publications of a run."""

    scored: Publication
    quarantine: Publication


@dataclass
class _Clock:
    """Seconds per step, for the manifest."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def step(self, progress: Progress, name: str, text: str) -> Iterator[None]:
        progress.step(text)
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
        records.run_id(config, run_date, bundle.version),
        run_date,
        datetime.now(UTC).replace(microsecond=0),
    )
    scorer = Scorer(
        bundle.kind,
        bundle.model,
        bundle.plan,
        tuple(bundle.manifest["classes"]),
        bundle.ledger,
        bundle.calibrator,
    )
    incoming_df = read_table(spark, source)
    deciding.preflight(incoming_df.schema, config, scorer, bundle.manifest["schema"])
    if not config.checks.allow_empty:
        require_rows(incoming_df, source.role)
    outputs = _outputs(config, stamp)
    with ExitStack() as stack:
        for output in (outputs.scored, outputs.quarantine):
            stack.enter_context(lease(output.root))
            stack.callback(output.discard)
        return _score(spark, config, bundle, scorer, incoming_df, outputs, stamp, progress)


def _outputs(config: Config, stamp: deciding.Stamp) -> _Outputs:
    def output(role: str) -> Publication:
        table = config.table(role)
        root = config.path(table.location.removeprefix("file://"))
        return Publication(root, stamp.run_id, stamp.run_date, table.format)

    return _Outputs(output("scored"), output("quarantine"))


def _score(
    spark: SparkSession,
    config: Config,
    bundle: ModelBundle,
    scorer: Scorer,
    incoming_df: DataFrame,
    outputs: _Outputs,
    stamp: deciding.Stamp,
    progress: Progress,
) -> ScoredRun:
    clock = _Clock()
    checks = [deciding.key_check(config)]
    reports: dict[str, CheckReport | None] = {"incoming": None, "scored": None}
    if config.checks.incoming is not None:
        with clock.step(progress, "check_incoming", "checking the incoming table"):
            suite = load_suite(config.path(config.checks.incoming))
            by_row = row_checks(suite.expectations)
            report = run_suite(incoming_df, suite, table="incoming")
            gate_checks(report, quarantined={check.id for check in by_row}, table="incoming")
            reports["incoming"] = report
            checks += by_row
    with clock.step(progress, "stage", "scoring and staging"):
        staged_df, counts = _stage(spark, config, scorer, incoming_df, checks, outputs, stamp)
        _warn_of_undecided(progress, counts)
    with clock.step(progress, "verify", "verifying the stage"):
        outputs.scored.verify_stage(
            staged_df, rows=counts.scored + counts.unscorable, keys=config.roles.keys
        )
    if config.checks.scored is not None:
        with clock.step(progress, "check_scored", "checking the scored table"):
            suite = load_suite(config.path(config.checks.scored))
            report = run_suite(staged_df, suite, table="scored")
            gate_checks(report, quarantined=(), table="scored")
            reports["scored"] = report
    with clock.step(progress, "publish", "publishing"):
        outputs.quarantine.publish()
        outputs.scored.publish()
    manifest = records.run_manifest(
        config,
        bundle,
        stamp,
        counts,
        checks=reports,
        fingerprints={"incoming": _fingerprint(incoming_df, counts.rows)},
        durations=clock.seconds,
    )
    path = config.path(config.runs) / f"run_date={stamp.run_date}" / "manifest.json"
    write_json(path, manifest)
    return ScoredRun(counts, manifest, path)


def _warn_of_undecided(progress: Progress, counts: deciding.Counted) -> None:
    if counts.unscorable or counts.quarantined:
        progress.warn(
            f"{counts.quarantined} rows quarantined and {counts.unscorable} unscorable, of "
            f"{counts.rows}."
        )


def _stage(
    spark: SparkSession,
    config: Config,
    scorer: Scorer,
    incoming_df: DataFrame,
    checks: list[RowCheck],
    outputs: _Outputs,
    stamp: deciding.Stamp,
) -> tuple[DataFrame, deciding.Counted]:
    """Write both stages; one pass over the incoming table, a second only for quarantined rows."""
    marked_df = deciding.mark_failures(incoming_df, checks)
    passing_df, incoming = deciding.observe_incoming(marked_df)
    decided_df = deciding.decide(passing_df, scorer, config, stamp)
    observed_df, scored = deciding.observe_scored(decided_df, config)
    outputs.scored.write_stage(observed_df, partition_by=["decision"])
    counts = deciding.counted(incoming, scored, config)
    counts.require_balance()
    gate_shares(
        rows=counts.rows,
        quarantined=counts.quarantined,
        unscorable=counts.unscorable,
        limits={
            "quarantined": config.checks.max_quarantined,
            "unscorable": config.checks.max_unscorable,
        },
    )
    quarantine_df = deciding.quarantined_rows(marked_df, stamp)
    if not counts.quarantined:
        quarantine_df = quarantine_df.limit(0)
    outputs.quarantine.write_stage(quarantine_df)
    written = outputs.quarantine.read_stage(spark, quarantine_df).count()
    if written != counts.quarantined:
        raise PublishError(
            f"The quarantine's stage holds {written} rows; {counts.quarantined} were set aside.",
            hint="nothing was published; run again, and see that nothing writes to the "
            "incoming table meanwhile.",
        )
    staged_df = outputs.scored.read_stage(spark, decided_df)
    return staged_df.withColumn("run_date", F.lit(stamp.run_date)), counts


def _fingerprint(df: DataFrame, rows: int) -> dict[str, Any]:
    """Return what identifies a table without reading it again."""
    schema = {field.name: field.dataType.simpleString() for field in df.schema}
    return {"rows": rows, "columns": schema, "schema_sha": records.digest(schema)}
