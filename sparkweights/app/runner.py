"""The runner: reads tables, calls the stages, and hands what they return to storage."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

from sparkweights.bundle.bundle import (
    ModelBundle,
    Reference,
    load_bundle,
    name_in_use,
    publish_bundle,
)
from sparkweights.config.load import resolve_secrets
from sparkweights.core.columns import require_columns
from sparkweights.core.errors import ConfigError, listed
from sparkweights.core.progress import LoggedProgress, Progress
from sparkweights.explain.compare import Explanation, explain
from sparkweights.explain.record import importance_record
from sparkweights.models.registry import AUTO, learner
from sparkweights.monitoring.evaluate import Judged, judge
from sparkweights.monitoring.monitor import Monitored, monitor
from sparkweights.monitoring.records import evaluate_record, monitor_record
from sparkweights.quality.compile import compile_suite, run_suite
from sparkweights.quality.gates import gate_checks
from sparkweights.quality.profile import collect_profile, propose_suite
from sparkweights.quality.suite import CheckReport, load_suite
from sparkweights.report import (
    backtest_report,
    evaluation_report,
    explain_report,
    model_report,
    monitor_report,
    tuning_figure,
    tuning_report,
)
from sparkweights.scoring.manifest import record_folder, recorded_name
from sparkweights.scoring.run import OUTPUTS, ScoredRun, publication, score_table
from sparkweights.scoring.schema_checks import (
    feature_kinds,
    quarantine_schema,
    require_free_names,
    require_labelled,
    require_own_models,
    require_own_record,
    require_scorable,
)
from sparkweights.storage.files import make_folder, write_json, write_rows, write_text
from sparkweights.storage.tables import TableSource, read_table, require_rows
from sparkweights.training.backtest import Backtest, backtest
from sparkweights.training.champion import hold_contest
from sparkweights.training.choose_learner import require_named_kind
from sparkweights.training.data import Weighed, is_mature, plan_resampling, weigh
from sparkweights.training.records import (
    backtest_record,
    model_manifest,
    model_version,
    tuning_record,
    weights_record,
)
from sparkweights.training.selection import accepted_rows, collect_selection, with_selection
from sparkweights.training.train import Trained, train
from sparkweights.training.tune import Tuning, tune
from sparkweights.weights.schemes import BY_ROW_WARNING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pyspark.sql import DataFrame, SparkSession

    from sparkweights.config.schema import Config
    from sparkweights.evaluation.selection import Selection
    from sparkweights.scoring.scorer import Scorer


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
        Hears of every step.
    """

    spark: SparkSession
    config: Config
    run_date: date
    progress: Progress = field(default_factory=LoggedProgress)

    def preflight(self) -> None:
        """Refuse, before hours of training, a night that lacks what it needs.

        Raises
        ------
        ConfigError, InputError, PublishError
            If a table, a suite or a secret that scoring needs is missing, or cannot be read; the
            incoming table is not one that a model of the labelled table could score; or a table
            that is written could not take its rows.
        """
        self._require_own_models()
        recorded = recorded_name(record_folder(self.config, self.run_date))
        require_own_record(recorded, self.config)
        scored, quarantine = (
            publication(self.spark, self.config, role, "", self.run_date) for role in OUTPUTS
        )
        suites = {
            role: load_suite(self.config.path(location))
            for role in ("incoming", "scored")
            if (location := getattr(self.config.checks, role)) is not None
        }
        source = self._source("incoming")
        incoming_df = read_table(self.spark, source)
        labelled_df, config = self._labelled()
        require_scorable(incoming_df.schema, config, feature_kinds(labelled_df.schema, config))
        # The weights that scoring undoes read them; windows are for training alone.
        require_columns(incoming_df.schema, config.weights.by, table="incoming")
        require_free_names(incoming_df.schema)
        scored.require_ready()
        quarantine.require_ready(quarantine_schema(incoming_df.schema))
        if "incoming" in suites:
            compile_suite(incoming_df, suites["incoming"], table="incoming")
        if not config.checks.allow_empty:
            require_rows(incoming_df, source)

    def weights(self) -> tuple[Weighed, dict[str, Any]]:
        """Compute class frequencies and weights, and write them as a table and as JSON."""
        labelled_df, config = self._labelled()
        weighed = self._weigh(labelled_df, config)
        record = weights_record(self.config, weighed)
        folder = self.config.path(self.config.artifacts) / "weights"
        write_rows(folder / "weights.parquet", record["classes"])
        write_json(folder / "weights.json", record)
        return weighed, record

    def train(self, weighed: Weighed | None = None) -> tuple[Trained, dict[str, Any]]:
        """Train a model, compare it with the one in use, and publish its bundle.

        It comes into use as the configuration's ``promote`` says.
        """
        self._require_own_models()
        labelled_df, config = self._labelled()
        if weighed is None:
            weighed = self._weigh(labelled_df, config)
        if self.config.checks.labelled is not None:
            report = self._run_suite(labelled_df, "labelled")
            gate_checks(report, quarantined=(), table="labelled")
        if config.model.kind != AUTO:
            self._tell_concern(config.model.kind, config.model.params)
        trained = train(labelled_df, config, weighed, self.progress)
        self.progress.step("comparing with the model in use")
        contest = hold_contest(labelled_df, config, trained)
        if contest.champion is not None and contest.obstacle is not None:
            self.progress.warn(
                f"Model {contest.champion} could not be compared with: {contest.obstacle}."
            )
        now = datetime.now(UTC)
        self.progress.step("publishing the model")
        manifest = model_manifest(config, labelled_df.schema, weighed, trained, contest, now)
        selection = self._selection(trained.scorer)
        manifest["selection"] = selection and selection.to_dict()
        version = model_version(self.config, now)
        publish_bundle(
            self.config.path(self.config.artifacts),
            version,
            models=[trained.scorer.model, *(one.model for one in trained.held_out)],
            reference=Reference(trained.scores, trained.bins),
            manifest=manifest,
            report=model_report({**manifest, "version": version}),
            promote=contest.promote,
        )
        return trained, {**manifest, "version": version}

    def tune(self) -> tuple[Tuning, dict[str, Any]]:
        """Try weights and parameters on folds of the fit rows, and write the table and the curve.

        Nothing that other verbs read changes; the record holds the lines to put into the
        configuration.
        """
        labelled_df, config = self._labelled()
        require_columns(labelled_df.schema, config.tune.group, table="labelled")
        tried = [{name: one} for name, values in config.tune.params.items() for one in values]
        require_named_kind(config, "tune")
        self._tell_concern(config.model.kind, config.model.params, *tried)
        tuning = tune(labelled_df, config, self.progress)
        record = tuning_record(config, tuning)
        folder = self.config.path(self.config.artifacts) / "tuning"
        rows = [{**trial, "params": json.dumps(trial["params"])} for trial in record["trials"]]
        write_rows(folder / "tuning.parquet", rows)
        write_text(folder / "curve.svg", tuning_figure(record))
        write_json(folder / "tuning.json", record)
        write_text(folder / "report.html", tuning_report(record))
        return tuning, record

    def explain(self, version: str | None = None) -> tuple[Explanation, dict[str, Any]]:
        """Measure what each column is worth to a model and its unweighted twin, in money."""
        self.progress.step("loading the model")
        artifacts = self.config.path(self.config.artifacts)
        bundle = self._bundle(version)
        self._tell_concern(bundle.kind, bundle.manifest["model"]["params"])
        explanation = explain(*self._labelled(), bundle, self.progress)
        record = importance_record(self.config, bundle.version, explanation)
        folder = artifacts / "importance" / bundle.version
        write_rows(folder / "importance.parquet", record["columns"])
        write_json(folder / "importance.json", record)
        write_text(folder / "report.html", explain_report(record))
        return explanation, record

    def evaluate(self, version: str | None = None) -> tuple[Judged, dict[str, Any]]:
        """Judge a model on the labelled rows that it held out, as a whole and by segment."""
        self.progress.step("loading the model")
        artifacts = self.config.path(self.config.artifacts)
        bundle = self._bundle(version)
        labelled_df, config = self._labelled()
        self.progress.step("evaluating on the test rows")
        judged = judge(labelled_df, config, bundle)
        record = evaluate_record(config, bundle, judged)
        folder = artifacts / "evaluation" / bundle.version
        write_json(folder / "evaluation.json", record)
        write_text(folder / "report.html", evaluation_report(record))
        return judged, record

    def backtest(self) -> tuple[Backtest, dict[str, Any]]:
        """Train and evaluate as it would have been done at several moments of the past."""
        labelled_df, config = self._labelled()
        require_named_kind(config, "evaluate --backtest")
        found = backtest(labelled_df, config, self._weigh(labelled_df, config), self.progress)
        record = backtest_record(config, found)
        folder = self.config.path(self.config.artifacts) / "backtest"
        write_json(folder / "backtest.json", record)
        write_text(folder / "report.html", backtest_report(record))
        return found, record

    def monitor(self, role: str, version: str | None = None) -> tuple[Monitored, dict[str, Any]]:
        """Compare a table with what a model was made for; nothing that other verbs read changes."""
        self.progress.step("loading the model")
        bundle = self._bundle(version)
        df = read_table(self.spark, self._source(role))
        self.progress.step("comparing with the model's reference")
        found = monitor(df, self.config, bundle, table=role)
        record = monitor_record(self.config, bundle, found, role, self.run_date)
        folder = record_folder(self.config, self.run_date)
        write_json(folder / "monitor.json", record)
        write_text(folder / "monitor.html", monitor_report(record))
        return found, record

    def check(self, role: str, docs: Path | None = None) -> CheckReport:
        """Run the suite of a table's role against it; nothing is published.

        Parameters
        ----------
        docs
            A folder for Great Expectations' Data Docs of the results, if they are wanted.
        """
        if docs is not None:
            make_folder(docs)
        source = self._judged(role)
        df = read_table(self.spark, source)
        if not self.config.checks.allow_empty:
            require_rows(df, source)  # of no rows, nearly everything holds
        return self._run_suite(df, role, docs)

    def suggest(self, role: str, target: Path) -> dict[str, Any]:
        """Propose a suite from the table of a role, in two passes, and write it into a new file.

        Raises
        ------
        ConfigError
            If the file exists.
        """
        if target.exists():
            raise ConfigError(
                f"'{target}' exists; a suite that somebody wrote is not replaced.",
                hint="name a new file, compare the two, and take over what you want.",
            )
        df = read_table(self.spark, self._judged(role))
        keys, sensitive = self.config.roles.keys, self.config.roles.sensitive
        self.progress.step(f"looking at {role}")
        profile = collect_profile(df, unlisted=(*keys, *sensitive))
        suite = propose_suite(profile, name=role, keys=keys)
        write_json(target, suite)
        return suite

    def score(self, version: str | None = None) -> ScoredRun:
        """Score the incoming table and publish its date."""
        self.progress.step("loading the model")
        bundle = self._bundle(version)
        return score_table(
            self.spark, self.config, bundle, self._source("incoming"), self.run_date, self.progress
        )

    def _bundle(self, version: str | None) -> ModelBundle:
        bundle = load_bundle(self.config.path(self.config.artifacts), version)
        require_own_models(bundle.manifest["name"], self.config)
        return bundle

    def _require_own_models(self) -> None:
        require_own_models(name_in_use(self.config.path(self.config.artifacts)), self.config)

    def _labelled(self) -> tuple[DataFrame, Config]:
        """Return the labelled table, and the configuration with the names of its columns."""
        df = read_table(self.spark, self._source("labelled"))
        df, config = with_selection(df, self.config.resolve(df.columns))
        require_labelled(df.schema, config)
        mature = is_mature(df, config, self.run_date)
        if mature is None:
            return accepted_rows(df, config), config
        young = df.filter(~mature).count()  # reads one column
        self.progress.step(
            f"leaving out {young:,} labelled rows younger than {config.split.mature} (split.mature)"
        )
        return accepted_rows(df.filter(mature), config), config

    def _selection(self, scorer: Scorer) -> Selection | None:
        """Score the rejected rows of the labelled table as well, and count who was accepted."""
        df = read_table(self.spark, self._source("labelled"))
        df, config = with_selection(df, self.config.resolve(df.columns))
        return collect_selection(df, config, scorer)

    def _weigh(self, labelled_df: DataFrame, config: Config) -> Weighed:
        self.progress.step("counting classes and choosing weights")
        weighed = weigh(labelled_df, config)
        if weighed.summary.always_best is not None:
            self.progress.warn(
                f"Decision '{weighed.summary.always_best}' is never dearer than the others, "
                "whatever the class: with these costs no model is needed. See costs in the "
                "configuration."
            )
        read = config.matrix.columns if config.weight_spec.per_row else ()
        if unseen := [name for name in read if name not in config.roles.features]:
            self.progress.warn(
                f"Weights differ by {listed(unseen)}, which the model does not see: what it cannot "
                "learn is undone all the same, and probabilities may be off where it is large or "
                "small. Make it a feature, or choose weights.scheme cost."
            )
        if config.weight_spec.per_row:
            self.progress.warn(BY_ROW_WARNING)
        for warning in weighed.weighting.warnings:
            self.progress.warn(warning)
        plan = plan_resampling(config, weighed)
        if plan is not None and not weighed.weighting.rule.even:
            self.progress.warn(plan.sentence(weighed.weighting.rule.scheme))
        return weighed

    def _tell_concern(self, kind: str, *params: Mapping[str, Any]) -> None:
        """Warn, once, of parameters that this engine may not bear; later ones are larger."""
        told = [learner(kind).concern(one, self.spark) for one in params]
        if found := [concern for concern in told if concern is not None]:
            self.progress.warn(found[-1])

    def _run_suite(self, df: DataFrame, role: str, docs: Path | None = None) -> CheckReport:
        location = getattr(self.config.checks, role, None)
        if location is None:
            raise ConfigError(
                f"checks.{role} is missing; there is no suite to check this table with.",
                hint=f"set checks.{role} to the path of an expectation suite.",
            )
        suite = load_suite(self.config.path(location))
        self.progress.step(f"checking {role} ({len(suite.expectations)} expectations)")
        return run_suite(df, suite, table=role, docs=docs)

    def _judged(self, role: str) -> TableSource:
        """Return what a suite judges: of the scored table, as the night did, the date alone."""
        source = self._source(role)
        if role != "scored":
            return source
        return replace(source, partition={"run_date": self.run_date.isoformat()})

    def _source(self, role: str) -> TableSource:
        table = self.config.table(role)
        location = self._dated(table.location)
        if table.scheme == "file":
            location = str(self.config.path(location))
        return TableSource(
            role=role,
            location=location,
            format=table.format,
            schema_ddl=table.schema_ddl,
            options=resolve_secrets(table.options, where=f"tables.{role}.options"),
            partition={
                name: self._dated(value) if isinstance(value, str) else value
                for name, value in table.partition.items()
            },
        )

    def _dated(self, text: str) -> str:
        return text.replace("{run_date}", self.run_date.isoformat())
