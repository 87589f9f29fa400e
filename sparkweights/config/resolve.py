"""From a configuration, and a table's columns, to specs: only specs travel on from here."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sparkweights.config.schema import Config
from sparkweights.spec.problem import DecisionProblem, ReviewTerms
from sparkweights.spec.scoring import EvaluationSpec, MonitoringSpec, ScoringSpec
from sparkweights.spec.training import TrainingSpec, training_differences

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sparkweights.records import TrainingRecord
    from sparkweights.storage.location import AnyLocation


def training_spec(config: Config, columns: Sequence[str]) -> TrainingSpec:
    """Return how a model of a table is trained.

    Parameters
    ----------
    columns
        Of the labelled table; ranges and patterns become names.

    Raises
    ------
    InputError
        If the table does not hold what they name.
    ConfigError
        If one of them clashes with another setting.
    """
    return _training_spec(config.resolve(columns))


def student_spec(config: Config, columns: Sequence[str], teacher: TrainingRecord) -> TrainingSpec:
    """Return how the student of a teacher is trained on a table.

    Its rows are split as the teacher's were, and it is fitted on all rows if the teacher's
    evaluation is of held-out folds.

    Parameters
    ----------
    columns
        See `training_spec`.

    Raises
    ------
    ConfigError
        If the configuration has no student.
    """
    spec, crossed = training_spec(config.student, columns), teacher.split.crossed
    refit = {"refit": "all", "folds": crossed} if crossed else {"refit": "none"}
    split = {"by": teacher.split.by, "group": tuple(teacher.split.group)}
    return replace(
        spec,
        seed=teacher.model.seed,
        train=spec.train.model_copy(update=refit),
        split=spec.split.model_copy(update=split),
    )


def trained_spec(record: TrainingRecord, scratch: AnyLocation) -> TrainingSpec:
    """Return how the model of a bundle was trained.

    Bundles of releases that stored no spec hold the configuration, with every feature by name.
    """
    if record.spec is not None:
        return TrainingSpec.from_dict(record.spec, scratch=scratch)
    return replace(_training_spec(Config.model_validate(record.config)), scratch=scratch)


def scoring_spec(config: Config, trained: TrainingSpec) -> ScoringSpec:
    """Return how rows are scored today by a model.

    Its classes and features are those that the model was trained by; costs, review, target prior,
    reasons and limits are those of the configuration.
    """
    trained_roles = trained.problem.roles
    roles = replace(
        config.roles, numeric=trained_roles.numeric, categorical=trained_roles.categorical
    )
    return ScoringSpec(
        DecisionProblem(roles, config.matrix, _review(config)),
        trained.seed,
        config.decision.target_prior,
        config.decision.max_shift,
        config.reasons,
        config.checks,
        config.features.missing == "refuse",
    )


def evaluation_spec(config: Config, spec: TrainingSpec, trained: TrainingSpec) -> EvaluationSpec:
    """Return how a model is evaluated on a labelled table.

    Parameters
    ----------
    spec
        Of the labelled table, see `training_spec`.
    trained
        What the model was trained by: rows are drawn as they were then.
    """
    group = trained.split.group
    return EvaluationSpec(
        spec.problem,
        trained.seed,
        group or spec.problem.roles.keys,
        bool(group),
        spec.scratch,
        config.evaluate,
        config.fairness,
        config.decision.cost_tolerance,
    )


def monitoring_spec(config: Config, trained: TrainingSpec) -> MonitoringSpec:
    """Return the spec of comparing a table with a model's training data."""
    return MonitoringSpec(scoring_spec(config, trained), config.monitor, config.fairness)


def edited_since(config: Config, trained: TrainingSpec) -> list[str]:
    """Return in which keys a configuration differs from what a model was trained by.

    Features that are named by ranges or patterns are left out, as no labelled table is read here;
    so is the label, which may be renamed and coded anew.
    """
    now = _training_spec(config)
    left_out = {"columns.label", "columns.classes"}
    if any(not isinstance(entry, str) for entry in config.columns.numeric):
        left_out.add("columns.numeric")
    if config.selection is not None:  # its column of weights is made when a table is read
        left_out.add("columns.weight")
    return [
        difference
        for key, difference in training_differences(now, trained).items()
        if not any(key == name or key.startswith(f"{name}.") for name in left_out)
    ]


def _review(config: Config) -> ReviewTerms | None:
    if config.review is None or config.review_price is None:
        return None
    return ReviewTerms(config.review_price, config.review.capacity)


def _training_spec(config: Config) -> TrainingSpec:
    return TrainingSpec(
        DecisionProblem(config.roles, config.matrix, _review(config)),
        config.seed,
        config.path(config.artifacts),
        weights=config.weights,
        features=config.features,
        model=config.model,
        train=config.train,
        split=config.split,
        tune=config.tune,
        calibration=config.decision.calibration,
        base_rate_tolerance=config.decision.base_rate_tolerance,
        cost_tolerance=config.decision.cost_tolerance,
        resample=config.resample,
        selection=config.selection,
        reasons=config.reasons,
        outside=config.columns.outside,
    )
