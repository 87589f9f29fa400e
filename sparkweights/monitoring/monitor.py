"""The monitor stage: whether a table still resembles the model's training data."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypedDict

from pyspark.sql import functions as F

from sparkweights.core.columns import (
    class_index,
    column,
    optional_weight,
    require_columns,
    require_kind,
    require_label,
)
from sparkweights.costs.review import collect_review_cutoff
from sparkweights.evaluation.drift import (
    Stability,
    column_stability,
    count_bins,
    holm,
    score_stability,
)
from sparkweights.evaluation.rare_counts import count_p_value
from sparkweights.monitoring.alarms import Calibration, diagnose, exceeded_limits, has_drifted
from sparkweights.monitoring.fairness import FairnessResult, collect_fairness
from sparkweights.probability.label_shift import collect_histogram, estimate_shift
from sparkweights.quality.compile import compile_suite
from sparkweights.records.runs import DriftSummary
from sparkweights.scoring.plan import FAULT, SET_ASIDE, ScoringPlan, is_usable, passing
from sparkweights.scoring.schema_checks import require_model, require_same_labels
from sparkweights.scoring.scorer import Scorer, natural_probabilities
from sparkweights.spec.scoring import ESTIMATE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pyspark.sql import Column, DataFrame, Row

    from sparkweights.bundle.bundle import ModelBundle
    from sparkweights.core.roles import ColumnRoles
    from sparkweights.evaluation.drift import ColumnBins
    from sparkweights.probability.label_shift import LabelShift
    from sparkweights.probability.priors import ScoreHistogram
    from sparkweights.quality.suite import Suite
    from sparkweights.spec.scoring import MonitoringSpec
    from sparkweights.spec.training import TrainingSpec

USABLE = "__usable"


@dataclass(frozen=True)
class MonitoringResult:
    """The result of the monitor stage.

    Attributes
    ----------
    rows
        Of the table.
    columns
        Feature column -> its stability index (CSI); p-values are adjusted for the number of
        indices of the table.
    scores
        Class -> the stability index of its probability (PSI); of two classes the second.
    shift
        The estimate of the table's class shares from scores.
    assumed
        The class shares that decisions assume: the model's prior, or the configured target prior.
    calibration
        Class -> its calibration; empty where no outcome is known.
    overrides
        Share of the rows whose decision was another than the model's, of those that the model
        decides: rows that go to review are decided by a human. None where not known.
    quarantined
        Share of the rows that scoring would set aside.
    diagnosis
        Class -> whether its rows drifted or its probabilities are miscalibrated; empty where no
        outcome is known or neither is found.
    exceeded
        A sentence per exceeded limit.
    fairness
        Differences of decisions between groups; None if not configured.
    """

    rows: int
    columns: Mapping[str, Stability]
    scores: Mapping[str, Stability]
    shift: LabelShift
    assumed: Mapping[str, float]
    calibration: Mapping[str, Calibration]
    overrides: float | None
    quarantined: float
    diagnosis: Mapping[str, str] = field(default_factory=dict)
    exceeded: tuple[str, ...] = ()
    fairness: FairnessResult | None = None

    def drift(self, limit: float) -> DriftSummary:
        """Return the columns' stability beside a limit."""
        return DriftSummary(
            measure="CSI",
            limit=limit,
            columns={name: stability.index for name, stability in self.columns.items()},
            p_values={name: stability.p_value for name, stability in self.columns.items()},
            over=tuple(
                name for name, stability in self.columns.items() if has_drifted(stability, limit)
            ),
        )


def monitor(
    df: DataFrame,
    spec: MonitoringSpec,
    trained: TrainingSpec,
    bundle: ModelBundle,
    suite: Suite | None,
    *,
    table: str,
) -> MonitoringResult:
    """Compare a table with the reference in a model's bundle.

    One pass counts features by bin; a second scores the rows; a third sums outcomes and overrides;
    with overrides and a review, a fourth chooses the rows to review. If the table has the column of
    sample weights, rows count by it.

    Parameters
    ----------
    trained
        The spec of the model's training.
    suite
        The checks of incoming rows; None without checks.
    table
        Its role, for messages.

    Raises
    ------
    InputError
        If a column is missing, or no row can be scored.
    ModelError
        If the model's classes are not those of the configuration, or it was trained on other
        outcomes.
    """
    scorer = Scorer.of(bundle)
    problem = spec.scoring.problem
    require_model(df.schema, problem, scorer, bundle.manifest.schema, table=table)
    decided = [*filter(None, [spec.monitor.decided])]
    require_columns(df.schema, decided, table=table)
    require_kind(df.schema, decided, ("text",), table=table, role="decided")
    if problem.roles.label in df.columns:
        require_label(df.schema, problem.roles, table=table)
        require_same_labels(df.schema, problem.roles, trained.problem.roles, bundle.version)
    weight = optional_weight(df.schema, problem.roles)
    current = count_bins(df, bundle.reference.bins, weight)
    compiled = None if suite is None else compile_suite(df, suite, table="incoming")
    plan = ScoringPlan(spec.scoring, compiled)
    marked_df = plan.mark(df).withColumn(USABLE, is_usable(scorer))
    scores = collect_histogram(
        scorer.score(marked_df.filter(USABLE)), scorer.probability_cols, weight=weight
    )
    shift = estimate_shift(
        bundle.reference.scores, scores, scorer.ledger.prior, max_shift=spec.scoring.max_shift
    )
    target_prior = spec.scoring.target_prior
    assumed = _assumed_prior(target_prior, shift)
    deciding_scorer = scorer if assumed is None else scorer.with_target_prior(assumed)
    indices = _stability(bundle.reference.bins, current, bundle.reference.scores, scores, scorer)
    result = MonitoringResult(
        columns=indices[0],
        scores=indices[1],
        shift=shift,
        assumed=scorer.ledger.prior if assumed is None or target_prior == ESTIMATE else assumed,
        **_summarise_outcomes(
            marked_df,
            plan,
            spec.monitor.decided,
            deciding_scorer,
            F.lit(1.0) if weight is None else weight,
        ),
    )
    result = replace(result, diagnosis=diagnose(shift, result.calibration))
    fairness = _fairness(marked_df, spec, bundle, deciding_scorer)
    exceeded = (*exceeded_limits(result, spec), *(fairness.exceeded if fairness else ()))
    return replace(result, exceeded=exceeded, fairness=fairness)


def _fairness(
    marked_df: DataFrame, spec: MonitoringSpec, bundle: ModelBundle, scorer: Scorer
) -> FairnessResult | None:
    """Compare the decisions of scoring between groups, if configured."""
    if spec.fairness is None:
        return None
    scored_df = scorer.score(marked_df.filter(USABLE))
    return collect_fairness(
        scored_df,
        spec.scoring.problem,
        spec.fairness,
        seed=spec.scoring.seed,
        natural=natural_probabilities(scorer),
        index=_outcome(scored_df, spec.scoring.problem.roles),
        least_cost=bundle.manifest.evaluation.right_decisions,
        prior=bundle.ledger.prior,
    )


def _stability(
    reference: Sequence[ColumnBins],
    current: Sequence[ColumnBins],
    before: ScoreHistogram,
    scores: ScoreHistogram,
    scorer: Scorer,
) -> tuple[dict[str, Stability], dict[str, Stability]]:
    """Return the indices of columns and scores, their p-values adjusted as one family (Holm)."""
    columns = {
        bins.name: column_stability(old, bins) for old, bins in zip(reference, current, strict=True)
    }
    names = (
        scorer.classes[1:] if len(scorer.classes) == 2 else scorer.classes
    )  # two classes are complementary
    of_scores = {
        name: score_stability(
            before.of_cell,
            scores.of_cell,
            (
                before.probabilities[:, scorer.classes.index(name)],
                scores.probabilities[:, scorer.classes.index(name)],
            ),
            (before.effective_rows, scores.effective_rows),
        )
        for name in names
    }
    adjusted = iter(holm([value.p_value for value in [*columns.values(), *of_scores.values()]]))
    return (
        {name: Stability(value.index, next(adjusted)) for name, value in columns.items()},
        {name: Stability(value.index, next(adjusted)) for name, value in of_scores.items()},
    )


def _assumed_prior(
    target_prior: str | Mapping[str, float], shift: LabelShift
) -> Mapping[str, float] | None:
    """Return the class shares that scoring moves its probabilities to, if it does."""
    if not isinstance(target_prior, str):
        return target_prior
    return shift.target_prior() if target_prior == ESTIMATE else None


class _Outcomes(TypedDict):
    rows: int
    calibration: dict[str, Calibration]
    overrides: float | None
    quarantined: float


def _summarise_outcomes(
    marked_df: DataFrame, plan: ScoringPlan, decided: str | None, scorer: Scorer, times: Column
) -> _Outcomes:
    """Return the number of rows, and calibration and overrides where the table has outcomes.

    Parameters
    ----------
    decided
        The column of the decision that was taken; None without one.
    scorer
        Its probabilities are those that decisions use.
    times
        The weight of a row.
    """
    scored_df = scorer.score(marked_df) if decided is None else plan.price(marked_df, scorer)
    outcome = _outcome(scored_df, plan.spec.problem.roles)
    index = F.when(F.col(USABLE), outcome).otherwise(-1)
    weight = F.when(index >= 0, times).otherwise(0.0)
    measures = [
        F.count(F.lit(1)).alias("rows"),
        F.count_if(weight > 0).alias("known"),
        F.count_if(F.col(SET_ASIDE)).alias("set_aside"),
        F.sum(weight).alias("weight"),
    ]
    for c, name in enumerate(scorer.probability_cols):
        probability = column(name)
        measures += [
            F.sum(F.when(index == c, times).otherwise(0.0)).alias(f"happened_{c}"),
            F.sum(F.when(weight > 0, weight * probability)).alias(f"expected_{c}"),
            F.sum(F.when(weight > 0, weight * probability * (1 - probability))).alias(
                f"variance_{c}"
            ),
            F.sum(F.when(weight > 0, weight**2 * probability * (1 - probability))).alias(
                f"weighted_{c}"
            ),
        ]
    if decided is not None:
        differs = _differs(scored_df, decided, plan)
        decided_weight = F.sum(F.when(differs.isNotNull(), times))
        other = F.sum(times * differs.cast("double"))
        measures.append(F.try_divide(other, decided_weight).alias("overrides"))
    sums = scored_df.agg(*measures).collect()[0]
    return {
        "rows": sums["rows"],
        "calibration": {
            name: _calibration(sums, c) for c, name in enumerate(scorer.classes) if sums["known"]
        },
        "overrides": None if decided is None else sums["overrides"],
        "quarantined": sums["set_aside"] / sums["rows"],
    }


def _calibration(sums: Row, c: int) -> Calibration:
    plain, weighted = sums[f"variance_{c}"], sums[f"weighted_{c}"]
    return Calibration(
        rows=sums["known"],
        share=sums[f"happened_{c}"] / sums["weight"],
        mean_probability=sums[f"expected_{c}"] / sums["weight"],
        p_value=count_p_value(
            sums[f"happened_{c}"],
            sums[f"expected_{c}"],
            weighted,
            weight_ratio=weighted / plain if plain > 0 else 1.0,
        ),
    )


def _differs(priced_df: DataFrame, decided: str, plan: ScoringPlan) -> Column:
    """Return whether another decision was taken than the model's, null where it decides nothing.

    A row that scoring sends to review is decided by a human, whatever the model would do. The rows
    are chosen as scoring chooses them, among all that are not set aside.
    """
    decides, review = F.col(USABLE) & F.col(FAULT).isNull(), plan.spec.problem.review
    if review is not None:
        passing_df = passing(priced_df)
        weight = plan.review_weight(passing_df)
        cutoff = collect_review_cutoff(passing_df, plan.gain_of_review(), review.capacity, weight)
        decides &= ~plan.is_reviewed(cutoff)
    return F.when(decides, column(decided) != plan.cheapest_decision())


def _outcome(df: DataFrame, roles: ColumnRoles) -> Column:
    return F.lit(-1) if roles.label not in df.columns else class_index(roles)
