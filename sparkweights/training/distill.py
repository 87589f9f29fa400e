"""The distilling stage: a student of the model in use, and how closely it follows it."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from sparkweights.core.columns import class_index, column, require_columns, sample_weight
from sparkweights.evaluation.fidelity import FidelityResult, Predicted, collect_fidelity
from sparkweights.evaluation.paired import Decided, PairedCosts, collect_paired_costs
from sparkweights.sampling.split import TEST
from sparkweights.scoring.schema_checks import require_model, require_same_labels
from sparkweights.scoring.scorer import Scorer, natural_probabilities
from sparkweights.storage.location import Location
from sparkweights.storage.scratch import keep_rows
from sparkweights.training.cross_fit import CrossFittedScorer, held_out_scorer, score_by_fold
from sparkweights.training.data import PART, weigh, with_parts_of_bundle
from sparkweights.training.evaluate import block_order
from sparkweights.training.targets import SoftTargets, without_labelled
from sparkweights.training.train import TrainingResult, train

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pyspark.sql import DataFrame

    from sparkweights.bundle.bundle import ModelBundle
    from sparkweights.core.progress import Progress
    from sparkweights.scoring.scorer import RowScorer
    from sparkweights.spec.settings import Distill, Evaluate
    from sparkweights.spec.training import TrainingSpec
    from sparkweights.training.data import WeightingResult

TEACHER, STUDENT = "__of_teacher", "__of_student"
_COST, _INDEX = "_cost", "__index"


@dataclass(frozen=True)
class Distillation:
    """The distilling stage's result.

    Attributes
    ----------
    class_weights
        The weights of the student's rows.
    trained
        The student, calibrated and evaluated by outcomes as any model.
    fidelity, costs
        Student against teacher on the teacher's test rows; the costs are paired, the teacher's
        before the student's.
    rare_class
        Name of the class with the fewest rows.
    unlabelled_rows
        Rows without outcome that the student learned from.
    """

    class_weights: WeightingResult
    trained: TrainingResult
    fidelity: FidelityResult
    costs: PairedCosts
    rare_class: str
    unlabelled_rows: int


def distill(
    labelled_df: DataFrame,
    unlabelled_df: DataFrame | None,
    spec: TrainingSpec,
    bundle: ModelBundle,
    settings: Distill,
    evaluate: Evaluate,
    progress: Progress,
) -> Distillation:
    """Train a student on its teacher's probabilities, and compare the two on test rows.

    Parameters
    ----------
    unlabelled_df
        Rows without outcome, or None.
    spec
        How the student is trained; its split and seed are the teacher's.
    bundle
        Of the teacher.
    settings
        Temperature and the share of outcomes in the targets.
    evaluate
        Names the segments.

    Raises
    ------
    ModelError
        If the teacher's classes or labels are not those of the spec, or the part of a row in its
        training cannot be determined.
    InputError
        If a column is missing, or a part holds too few rows.
    QualityGateError
        As `sparkweights.training.train.train`.
    """
    roles, teacher = spec.problem.roles, held_out_scorer(bundle)
    require_model(
        labelled_df.schema, spec.problem, teacher, bundle.manifest.schema, table="labelled"
    )
    require_same_labels(labelled_df.schema, roles, bundle.manifest.problem.roles, bundle.version)
    require_columns(labelled_df.schema, evaluate.by, table="labelled")
    new_df, new_rows = None, 0
    if unlabelled_df is not None:
        require_columns(unlabelled_df.schema, roles.keys, table="unlabelled")
        require_model(
            unlabelled_df.schema, spec.problem, teacher, bundle.manifest.schema, table="unlabelled"
        )
        usable_df = unlabelled_df.filter(teacher.plan.unusable().isNull())
        new_df = without_labelled(usable_df, labelled_df, roles.keys)
        new_rows = new_df.count()
    progress.step("counting classes and choosing weights")
    class_weights = weigh(labelled_df, spec)
    targets = SoftTargets(
        bundle, _teachers(teacher, bundle), settings.temperature, settings.hard_share, new_df
    )
    trained = train(labelled_df, spec, class_weights, progress, targets)
    progress.step("comparing with the teacher")
    rows = class_weights.summary.rows_by_class
    rare = min(roles.class_names, key=rows.__getitem__)
    with _keep_predicted(labelled_df, spec, bundle, teacher, trained, evaluate) as test_df:
        fidelity = _collect_fidelity(test_df, spec, evaluate, rare)
        costs = _collect_costs(test_df, spec)
    return Distillation(class_weights, trained, fidelity, costs, rare, new_rows)


def _teachers(teacher: RowScorer, bundle: ModelBundle) -> tuple[Scorer, ...]:
    if isinstance(teacher, CrossFittedScorer):
        return (*teacher.scorers, Scorer.of(bundle))
    published = Scorer.of(bundle)
    return (teacher if isinstance(teacher, Scorer) else published,)


@contextmanager
def _keep_predicted(
    labelled_df: DataFrame,
    spec: TrainingSpec,
    bundle: ModelBundle,
    teacher: RowScorer,
    trained: TrainingResult,
    evaluate: Evaluate,
) -> Iterator[DataFrame]:
    """Score the test rows by both models that were not fitted on them; keep what is compared."""
    roles = spec.problem.roles
    parted_df = with_parts_of_bundle(labelled_df, roles, bundle).filter(F.col(PART) == TEST)

    def append(df: DataFrame, scorers: Sequence[RowScorer]) -> DataFrame:
        first, second = scorers
        return _predict(_predict(df, first, spec, TEACHER), second, spec, STUDENT)

    both_df = score_by_fold(parted_df, [teacher, trained.held_out_scorer], append)
    index = class_index(roles)
    constants = [
        spec.problem.policy.realised_cost(decision, index).alias(f"{_COST}_{i}")
        for i, decision in enumerate(spec.problem.matrix.decisions)
    ]
    kept_columns = dict.fromkeys([*evaluate.by, *([roles.weight] if roles.weight else [])])
    predicted = [f"{name}{part}" for name in (TEACHER, STUDENT) for part in ("", "_p", _COST)]
    selected_df = both_df.select(
        *map(F.col, predicted),
        index.alias(_INDEX),
        block_order(spec.unit_columns, spec.seed).alias("__block"),
        *constants,
        *map(column, kept_columns),
    )
    with keep_rows(selected_df, Location.of(spec.scratch)) as kept_df:
        yield kept_df


def _predict(df: DataFrame, scorer: RowScorer, spec: TrainingSpec, name: str) -> DataFrame:
    """Append a scorer's probabilities as an array, its decision, and the decision's cost."""
    policy = spec.problem.policy
    scored_df = (
        scorer.score(df)
        .withColumn(f"{name}_p", F.array(*natural_probabilities(scorer)))
        .withColumn(name, policy.decide(natural_probabilities(scorer)))
    )
    cost = policy.realised_cost(F.col(name), class_index(spec.problem.roles))
    costed_df = scored_df.withColumn(name + _COST, cost)
    return costed_df.drop(*scorer.weighted_cols, *scorer.probability_cols)


def _collect_fidelity(
    test_df: DataFrame, spec: TrainingSpec, evaluate: Evaluate, rare: str
) -> FidelityResult:
    classes = spec.problem.classes
    teacher, student = (
        Predicted(
            [F.col(f"{name}_p").getItem(c) for c in range(len(classes))],
            F.col(name),
            F.col(name + _COST),
        )
        for name in (TEACHER, STUDENT)
    )
    return collect_fidelity(
        test_df,
        teacher,
        student,
        index=F.col(_INDEX),
        rare=classes.index(rare),
        constant_costs=[F.col(f"{_COST}_{i}") for i in range(len(spec.problem.matrix.decisions))],
        by=evaluate.by,
        weight=sample_weight(spec.problem.roles),
    )


def _collect_costs(test_df: DataFrame, spec: TrainingSpec) -> PairedCosts:
    return collect_paired_costs(
        test_df,
        *[Decided(F.col(name), F.col(name + _COST)) for name in (TEACHER, STUDENT)],
        index=F.col(_INDEX),
        classes=spec.problem.classes,
        order=F.col("__block"),
        weight=sample_weight(spec.problem.roles),
    )
