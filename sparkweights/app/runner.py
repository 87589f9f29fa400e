"""The runner: reads tables, calls the stages, and hands what they return to storage."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

from sparkweights.app.backfill import Backfill, backfill, dates_between, require_dated
from sparkweights.app.publish_model import LabelledTable, export_model, publish_model
from sparkweights.app.session import on_session
from sparkweights.app.signing import signing_key
from sparkweights.app.stream import ConfiguredStream
from sparkweights.app.tables import (
    outputs,
    require_outside_bundle,
    require_outside_bundles,
    table_source,
)
from sparkweights.app.training_checks import gate_files, warn_of_params
from sparkweights.app.weigh import weigh_labelled
from sparkweights.bundle.bundle import ModelBundle, open_bundle
from sparkweights.bundle.integrity import name_in_use, read_bundle
from sparkweights.config.resolve import (
    edited_since,
    evaluation_spec,
    monitoring_spec,
    scoring_spec,
    student_spec,
    trained_spec,
    training_spec,
)
from sparkweights.core.columns import require_columns
from sparkweights.core.errors import ConfigError, join_names
from sparkweights.core.extras import REPORT
from sparkweights.core.progress import LoggedProgress, Progress
from sparkweights.explain.compare import Explanation, explain
from sparkweights.explain.record import importance_record
from sparkweights.models.registry import AUTO
from sparkweights.monitoring.evaluate import EvaluationResult, evaluate_model
from sparkweights.monitoring.monitor import MonitoringResult, monitor
from sparkweights.monitoring.records import evaluation_record, monitoring_record
from sparkweights.quality.compile import compile_suite, run_suite
from sparkweights.quality.gates import gate_checks
from sparkweights.quality.profile import collect_profile, propose_suite
from sparkweights.quality.suite import CheckReport, Suite, load_suite
from sparkweights.records.store import FolderRunStore
from sparkweights.report import StageResult, pages_of
from sparkweights.scoring.clock import Clock
from sparkweights.scoring.plan import RunMetadata
from sparkweights.scoring.record import check_record, run_id
from sparkweights.scoring.run import Outputs, ScoringRun
from sparkweights.scoring.schema_checks import (
    feature_kinds,
    quarantine_schema,
    require_free_names,
    require_labelled,
    require_own_models,
    require_own_record,
    require_scorable,
)
from sparkweights.storage.data_files import files_state, verify_files
from sparkweights.storage.files import write_json
from sparkweights.storage.location import Location
from sparkweights.storage.shared_folders import require_shared
from sparkweights.storage.tables import (
    TableSource,
    pin_version,
    read_table,
    require_rows,
    without_malformed,
)
from sparkweights.training.backtest import Backtest, backtest
from sparkweights.training.choose_learner import require_named_kind
from sparkweights.training.data import WeightingResult, leave_out
from sparkweights.training.distill import Distillation, distill
from sparkweights.training.records import (
    backtest_record,
    distillation_record,
    teacher_summary,
    tuning_record,
    weights_record,
)
from sparkweights.training.selection import accepted_rows, collect_selection, with_selection
from sparkweights.training.train import TrainingResult, train
from sparkweights.training.tune import Tuning, tune

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator, Sequence

    from pyspark.sql import DataFrame, SparkSession

    from sparkweights.config.schema import Config
    from sparkweights.evaluation.selection import Selection
    from sparkweights.records import (
        BackfillRecord,
        BacktestRecord,
        CheckRecord,
        DistillationRecord,
        EvaluationRecord,
        ImportanceRecord,
        MonitoringRecord,
        RunRecord,
        StreamRecord,
        TrainingRecord,
        TuningRecord,
        WeightsRecord,
    )
    from sparkweights.records.store import RunStore
    from sparkweights.scoring.counts import RunCounts
    from sparkweights.scoring.scorer import Scorer
    from sparkweights.spec.training import TrainingSpec
    from sparkweights.storage.location import AnyLocation
    from sparkweights.stream.state import StreamState


@dataclass(frozen=True)
class Runner:
    """One configuration on one session.

    Attributes
    ----------
    spark
        The session; classic or Connect.
    config
        A checked configuration.
    run_date
        The date that the run is for.
    progress
        Reports every step.
    """

    spark: SparkSession
    config: Config
    run_date: date
    progress: Progress = field(default_factory=LoggedProgress)
    _verified: set[Hashable] = field(default_factory=set, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        require_outside_bundles(self.config)
        if not REPORT.is_installed:
            self.progress.warn(f"No reports are written. {REPORT.refusal('They need')}")

    @on_session
    def preflight(self) -> None:
        """Refuse, before training, a scoring run whose tables, suites or secrets are missing.

        Raises
        ------
        ConfigError, InputError, PublishError
            If a table, a suite or a secret that scoring needs is missing, or cannot be read; if
            a model of the labelled table could not score the incoming table; or if an output table
            does not accept its rows.
        """
        self.require_models_folder()
        require_shared(self.spark, self._runs)
        self._require_own_record(self.run_date)
        written = outputs(self.spark, self.config, "", self.run_date)
        suites = self._suites()
        source = self._source("incoming")
        incoming_df = self._read(source)
        labelled_df, spec, *_ = self._labelled()
        kinds = feature_kinds(labelled_df.schema, spec.problem.roles)
        require_scorable(incoming_df.schema, spec.problem, kinds)
        # Scoring inverts weights that read these columns; windows are for training alone.
        require_columns(incoming_df.schema, spec.weights.by, table="incoming")
        require_free_names(incoming_df.schema)
        written.scored.require_ready()
        written.quarantine.require_ready(quarantine_schema(incoming_df.schema))
        if "incoming" in suites:
            compile_suite(incoming_df, suites["incoming"], table="incoming")
        if not self.config.checks.allow_empty:
            require_rows(incoming_df, source)

    @on_session
    def weights(self) -> StageResult[WeightingResult, WeightsRecord]:
        """Compute class frequencies and weights, and write them as a table and as JSON."""
        labelled_df, spec, *_ = self._labelled()
        class_weights = weigh_labelled(labelled_df, spec, self.progress)
        record = weights_record(self.config.name, class_weights)
        self.store.write(record)
        return StageResult(class_weights, record)

    @on_session
    def train(
        self, class_weights: WeightingResult | None = None
    ) -> StageResult[TrainingResult, TrainingRecord]:
        """Train a model, compare it with the champion, and publish its bundle.

        The configuration's ``promote`` decides whether it is promoted.
        """
        self.require_models_folder()
        key = signing_key(self.config)
        table = self._labelled()
        labelled_df, spec = table.df, table.spec
        if class_weights is None:
            class_weights = weigh_labelled(labelled_df, spec, self.progress)
        if self.config.checks.labelled is not None:
            report = self._run_suite(labelled_df, "labelled")
            gate_checks(report, quarantined=(), table="labelled")
        if spec.model.kind != AUTO:
            warn_of_params(self.spark, self.progress, spec.model.kind, spec.model.params)
        gate_files(labelled_df, spec, self.config.checks.max_absent, self.progress)
        trained = train(labelled_df, spec, class_weights, self.progress)
        record = publish_model(
            self.config,
            table,
            class_weights,
            trained,
            selection=self._selection(table, trained.scorer),
            progress=self.progress,
            key=key,
        )
        return StageResult(trained, record)

    @on_session
    def tune(self) -> StageResult[Tuning, TuningRecord]:
        """Try weights and parameters on folds of the fit rows, and write the table and the curve.

        Nothing that other verbs read changes; the record holds the lines to put into the
        configuration.
        """
        require_shared(self.spark, self._artifacts)
        labelled_df, spec, *_ = self._labelled()
        require_columns(labelled_df.schema, spec.tune.group, table="labelled")
        tried = [{name: value} for name, values in spec.tune.params.items() for value in values]
        require_named_kind(spec, "tune")
        warn_of_params(self.spark, self.progress, spec.model.kind, spec.model.params, *tried)
        tuning = tune(labelled_df, spec, self.progress)
        record = tuning_record(self.config.name, spec, tuning)
        self.store.write(record)
        return StageResult(tuning, record)

    @on_session
    def explain(self, version: str | None = None) -> StageResult[Explanation, ImportanceRecord]:
        """Measure each column's importance, in cost, to a model and its unweighted baseline."""
        self.progress.step("loading the model")
        with self._bundle(version, self._artifacts) as bundle:
            warn_of_params(self.spark, self.progress, bundle.kind, bundle.manifest.model.params)
            labelled_df, spec, *_ = self._labelled()
            explanation = explain(labelled_df, spec, self._trained(bundle), bundle, self.progress)
        record = importance_record(self.config.name, bundle.version, explanation)
        self.store.write(record)
        return StageResult(explanation, record)

    @on_session
    def evaluate(
        self, version: str | None = None
    ) -> StageResult[EvaluationResult, EvaluationRecord]:
        """Evaluate a model on the labelled rows that it held out, as a whole and by segment."""
        self.progress.step("loading the model")
        with self._bundle(version, self._artifacts) as bundle:
            trained = self._trained(bundle)
            labelled_df, labelled, *_ = self._labelled()
            spec = evaluation_spec(self.config, labelled, trained)
            self.progress.step("evaluating on the test rows")
            result = evaluate_model(labelled_df, spec, trained, bundle)
        record = evaluation_record(self.config.name, spec, bundle, result)
        self.store.write(record)
        return StageResult(result, record)

    @on_session
    def distill(self, version: str | None = None) -> StageResult[Distillation, DistillationRecord]:
        """Train a student on a model's probabilities, compare the two, and publish the student.

        Its bundle, its record and its exports go to the folder of the students.

        Parameters
        ----------
        version
            Of the teacher; the model in use by default.
        """
        config, settings = self.config, self.config.distilled
        students = replace(self, config=config.student)
        students.require_models_folder()
        key = signing_key(config)
        self.progress.step("loading the model")
        with self._bundle(version, self._artifacts) as teacher:
            table = self._labelled(lambda columns: student_spec(config, columns, teacher.manifest))
            unlabelled_df, spec = self._unlabelled(), table.spec
            result = distill(
                table.df, unlabelled_df, spec, teacher, settings, config.evaluate, self.progress
            )
            summary = teacher_summary(teacher, settings, result)
        model = publish_model(
            students.config,
            table,
            result.class_weights,
            result.trained,
            selection=self._selection(table, result.trained.scorer),
            progress=self.progress,
            key=key,
            teacher=summary,
        )
        exports = export_model(students.config, model, settings.export, key)
        record = distillation_record(model, result, config.evaluate, exports)
        students.store.write(record)
        return StageResult(result, record)

    def _unlabelled(self) -> DataFrame | None:
        if self.config.tables.unlabelled is None:
            return None
        return without_malformed(self._read(self._source("unlabelled")))

    @on_session
    def stream(
        self, version: str | None = None, *, backfill: bool = False
    ) -> StageResult[StreamState, StreamRecord]:
        """Score rows in micro-batches as they arrive, and learn from outcomes as they come.

        ``backfill`` replays the labelled table in the order of time instead.
        """
        self.progress.step("loading the model")
        with self._bundle(version, self._runs) as bundle:
            spec, suites = scoring_spec(self.config, self._trained(bundle)), self._suites()
            stream = ConfiguredStream(
                self.spark, self.config, spec, bundle, suites, self.run_date, self.progress
            )
            if not backfill:
                return stream.run()
            return stream.replay(without_malformed(self._read(self._source("labelled"))))

    @on_session
    def backtest(self) -> StageResult[Backtest, BacktestRecord]:
        """Train and evaluate as it would have been done at several moments of the past."""
        require_shared(self.spark, self._artifacts)
        labelled_df, spec, *_ = self._labelled()
        require_named_kind(spec, "evaluate --backtest")
        settings = self.config.evaluate.backtest
        class_weights = weigh_labelled(labelled_df, spec, self.progress)
        result = backtest(labelled_df, spec, settings, class_weights, self.progress)
        record = backtest_record(self.config.name, spec, result)
        self.store.write(record)
        return StageResult(result, record)

    @on_session
    def monitor(
        self, role: str, version: str | None = None
    ) -> StageResult[MonitoringResult, MonitoringRecord]:
        """Compare a table with a model's reference; nothing that other verbs read changes."""
        self.progress.step("loading the model")
        with self._bundle(version, self._runs) as bundle:
            df = without_malformed(self._read(self._source(role)))
            self.progress.step("comparing with the model's reference")
            trained = self._trained(bundle)
            spec, suite = monitoring_spec(self.config, trained), self._suites().get("incoming")
            result = monitor(df, spec, trained, bundle, suite, table=role)
        record = monitoring_record(self.config.name, spec, bundle, result, role, self.run_date)
        self.store.write(record)
        return StageResult(result, record)

    @on_session
    def check(
        self, role: str, docs: AnyLocation | None = None
    ) -> StageResult[CheckReport, CheckRecord]:
        """Run the suite of a table's role against it; nothing is published.

        Parameters
        ----------
        docs
            A folder for Great Expectations' Data Docs of the results; None for no Data Docs.
        """
        pages = None if docs is None else Location.of(docs).with_mode(self._runs.mode)
        if pages is not None:
            require_outside_bundle("--docs", pages)
            pages.make_folder()
        source = self._checked_source(role)
        df = without_malformed(self._read(source))
        if not self.config.checks.allow_empty:
            require_rows(df, source)  # an empty table passes nearly every check
        report = self._run_suite(df, role, pages)
        return StageResult(report, check_record(report))

    @on_session
    def suggest(self, role: str, target: AnyLocation) -> dict[str, object]:
        """Propose a suite from the table of a role, in two passes, and write it into a new file.

        Raises
        ------
        ConfigError
            If the file exists.
        """
        file = Location.of(target).with_mode(self._runs.mode)
        require_outside_bundle("--suggest", file)
        if file.exists():
            raise ConfigError(
                f"'{target}' exists; a suite that somebody wrote is not replaced.",
                hint="name a new file, compare the two, and take over what you want.",
            )
        df = without_malformed(self._read(self._checked_source(role)))
        keys, sensitive = self.config.roles.keys, self.config.roles.sensitive
        self.progress.step(f"looking at {role}")
        profile = collect_profile(df, unlisted=(*keys, *sensitive))
        suite = propose_suite(profile, name=role, keys=keys)
        write_json(file, suite)
        return suite

    @on_session
    def score(
        self, version: str | None = None, into: Outputs | None = None
    ) -> StageResult[RunCounts, RunRecord]:
        """Score the incoming table and publish its date.

        Parameters
        ----------
        version
            Of the model; the one in use by default.
        into
            Where rows go; the tables of the configuration by default.
        """
        self.progress.step("loading the model")
        with self._bundle(version, self._runs) as bundle:
            return self._score(bundle, self.run_date, into)

    @on_session
    def backfill(
        self,
        first: date,
        last: date,
        *,
        missing: bool = False,
        keep_going: bool = False,
        version: str | None = None,
    ) -> StageResult[Backfill, BackfillRecord]:
        """Score the dates from the first to the last, and publish one by one, with one model.

        Parameters
        ----------
        missing
            Leave out the dates that are published: those with a complete record.
        keep_going
            Score the dates after one that failed as well.
        version
            Of the model; the one in use by default.
        """
        require_dated(self.config, first, last)
        every = dates_between(first, last)
        for day in every:
            self._require_own_record(day)
        dates = [day for day in every if not (missing and self.store.is_complete(day))]
        self.progress.step("loading the model")
        with self._bundle(version, self._runs) as bundle:
            result = backfill(
                self.config.name,
                dates,
                lambda day: self._score(bundle, day).record,
                missing=missing,
                keep_going=keep_going,
                progress=self.progress,
            )
        return StageResult(result, result.record)

    def _score(
        self, bundle: ModelBundle, day: date, into: Outputs | None = None
    ) -> StageResult[RunCounts, RunRecord]:
        settings = self.config.fingerprint()
        self._require_own_record(day)
        own_id = run_id(settings, day, bundle.version)
        source = self._source("incoming", day)
        incoming_df = self._read(source)
        if not self.config.checks.allow_empty:
            require_rows(incoming_df, source)
        run = ScoringRun(
            scoring_spec(self.config, self._trained(bundle)),
            bundle,
            RunMetadata(bundle.version, own_id, day, datetime.now(UTC).replace(microsecond=0)),
            source,
            into or outputs(self.spark, self.config, own_id, day),
            self._suites(),
            self.config.name,
            settings,
            self.store,
            Clock(self.progress),
        ).score(incoming_df)
        return StageResult(run.counts, run.record)

    @property
    def store(self) -> RunStore:
        """Where the records and reports of the stages go."""
        return FolderRunStore(self._artifacts, self._runs, pages_of)

    @property
    def _artifacts(self) -> Location:
        return self.config.path(self.config.artifacts)

    @property
    def _runs(self) -> Location:
        return self.config.path(self.config.runs)

    @contextmanager
    def _bundle(self, version: str | None, scratch: Location) -> Iterator[ModelBundle]:
        """Load a verified model for the length of a run, from a copy in a folder that it writes."""
        verified = read_bundle(self._artifacts, version, signing_key(self.config))
        require_own_models(verified.manifest.name, self.config.name, self.config.artifacts)
        with open_bundle(verified, scratch) as bundle:
            yield bundle

    def _trained(self, bundle: ModelBundle) -> TrainingSpec:
        """Return the spec of a model's training, and warn where the configuration differs."""
        trained = trained_spec(bundle.manifest, self._artifacts)
        if differing := edited_since(self.config, trained):
            self.progress.warn(
                f"Model '{bundle.version}' was trained with {join_names(differing)}. These "
                "settings apply until a model is trained by this configuration."
            )
        return trained

    def require_models_folder(self) -> None:
        """Refuse a folder of another configuration's models, or one that Spark does not share.

        Raises
        ------
        ConfigError
            Naming both configurations, or the folder.
        """
        name = name_in_use(self._artifacts)
        require_own_models(name, self.config.name, self.config.artifacts)
        require_shared(self.spark, self._artifacts)

    def _require_own_record(self, day: date) -> None:
        name = self.store.run_name(day)
        require_own_record(name, self.config.name, self.config.runs)

    def _suites(self) -> dict[str, Suite]:
        """Return the suites of both ends, where the configuration names them."""
        return {
            role: self._load_suite(location)
            for role in ("incoming", "scored")
            if (location := getattr(self.config.checks, role)) is not None
        }

    def _labelled(
        self, spec_of: Callable[[Sequence[str]], TrainingSpec] | None = None
    ) -> LabelledTable:
        """Return the labelled table, and how a model of it is trained.

        Parameters
        ----------
        spec_of
            From the table's columns; by default that of the configuration's model.
        """
        source = self._source("labelled")
        df = self._read(source)
        stated = training_spec(self.config, df.columns) if spec_of is None else spec_of(df.columns)
        df, spec = with_selection(df, stated)
        require_labelled(df.schema, spec)
        kept_df, left_out = leave_out(df, spec, self.run_date)
        for cause, rows in left_out.items():
            self.progress.step(f"leaving out {rows:,} labelled rows ({cause})")
        return LabelledTable(accepted_rows(kept_df, spec), spec, left_out, source)

    def _selection(self, table: LabelledTable, scorer: Scorer) -> Selection | None:
        """Score the rejected rows of the labelled table as well, and count who was accepted."""
        df = read_table(self.spark, table.source)
        return collect_selection(
            *with_selection(df, training_spec(self.config, df.columns)), scorer
        )

    def _run_suite(self, df: DataFrame, role: str, docs: Location | None = None) -> CheckReport:
        location = getattr(self.config.checks, role, None)
        if location is None:
            raise ConfigError(
                f"checks.{role} is missing; there is no suite to check this table with.",
                hint=f"set checks.{role} to the path of an expectation suite.",
            )
        suite = self._load_suite(location)
        self.progress.step(f"checking {role} ({len(suite.expectations)} expectations)")
        return run_suite(df, suite, table=role, docs=docs)

    def _load_suite(self, location: str) -> Suite:
        checks = self.config.checks
        suite = load_suite(self.config.path(location), checks.parameters)
        for notice in suite.notices:
            self.progress.warn(notice)
        return replace(suite, mostly=checks.mostly)

    def _checked_source(self, role: str) -> TableSource:
        """Return the source that a suite checks: of the scored table, the run date alone."""
        source = self._source(role)
        if role != "scored":
            return source
        return replace(source, partition={"run_date": (self.run_date.isoformat(),)})

    def _read(self, source: TableSource) -> DataFrame:
        """Open a table, and refuse damaged files before a job begins.

        `run` reads each table for several verbs; the text of files that no one has changed in the
        meantime is parsed once.
        """
        df = read_table(self.spark, source)
        state = files_state(source, df)  # before the verification: a later change is noticed
        if state is None or state not in self._verified:
            verify_files(self.spark, source, df)
            self._verified.add(state)
        return df

    def _source(self, role: str, day: date | None = None) -> TableSource:
        """Return where a table is read: one version of it, where it keeps versions."""
        return pin_version(self.spark, table_source(self.config, role, day or self.run_date))
