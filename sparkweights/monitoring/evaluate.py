"""The evaluate stage: what a published model's decisions cost on rows with known outcomes."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from sparkweights.core.columns import class_index, column, require_columns
from sparkweights.core.errors import ModelError, join_names
from sparkweights.evaluation.fairness import MIN_NAMED, OTHERS
from sparkweights.models.base import LABEL
from sparkweights.monitoring.fairness import FairnessResult, collect_fairness, fairness_columns
from sparkweights.records.evaluation import MODEL, Segment, SegmentClass
from sparkweights.sampling.split import TEST
from sparkweights.scoring.plan import review_order
from sparkweights.scoring.schema_checks import require_model, require_same_labels
from sparkweights.scoring.scorer import natural_probabilities
from sparkweights.storage.location import Location
from sparkweights.training.cross_fit import CrossFittedScorer, held_out_scorer, keep_scores
from sparkweights.training.data import PART, with_parts_of_bundle
from sparkweights.training.evaluate import (
    BLOCK,
    ORDER,
    block_order,
    evaluate_segments,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pyspark.sql import DataFrame

    from sparkweights.bundle.bundle import ModelBundle
    from sparkweights.evaluation.evaluation import Evaluation
    from sparkweights.scoring.scorer import RowScorer
    from sparkweights.spec.scoring import EvaluationSpec
    from sparkweights.spec.settings import Evaluate
    from sparkweights.spec.training import TrainingSpec


@dataclass(frozen=True)
class EvaluationResult:
    """The evaluate stage's record: all rows, and each segment that has enough of them.

    ``fairness`` compares groups; None where no column is sensitive or named for it.
    """

    overall: Evaluation
    segments: Mapping[tuple[str | None, ...], Evaluation]
    fairness: FairnessResult | None = None


def evaluate_model(
    labelled_df: DataFrame, spec: EvaluationSpec, trained: TrainingSpec, bundle: ModelBundle
) -> EvaluationResult:
    """Evaluate a model on the rows of the labelled table that it held out as test rows.

    Parameters
    ----------
    labelled_df
        May be newer than the one that the model was trained on: the split is by hash of the
        keys, or by time, so that no row that the model was fitted on is a test row.
    trained
        What the model was trained by.

    Raises
    ------
    ModelError
        If the model's classes are not those of the configuration, if it was trained on other
        outcomes, or decided between other decisions.
    InputError
        If there are no such rows, or a column is missing.
    """
    settings, scorer, problem = spec.evaluate, held_out_scorer(bundle), spec.problem
    require_model(labelled_df.schema, problem, scorer, bundle.manifest.schema, table="labelled")
    require_same_labels(labelled_df.schema, problem.roles, trained.problem.roles, bundle.version)
    require_columns(labelled_df.schema, settings.by, table="labelled")
    if spec.fairness is not None:
        compared = fairness_columns(spec.fairness, problem.roles)
        require_columns(labelled_df.schema, compared, table="labelled")
    index = class_index(problem.roles)
    parted_df = with_parts_of_bundle(labelled_df.filter(index >= 0), problem.roles, bundle)
    known_df = parted_df.filter(F.col(PART) == TEST).withColumns({
        LABEL: index.cast("double"),
        ORDER: review_order(problem, spec.seed),
        BLOCK: block_order(spec.unit_columns, spec.seed),
    })  # fmt: skip
    least_cost = bundle.manifest.evaluation.right_decisions
    _require_decisions(least_cost, problem.matrix.decisions)
    with ExitStack() as stack:
        scored: tuple[DataFrame, RowScorer] = (known_df, scorer)
        if isinstance(scorer, CrossFittedScorer):
            scored = stack.enter_context(keep_scores(known_df, scorer, Location.of(spec.scratch)))
        return _evaluate(*scored, spec, least_cost)


def _evaluate(
    known_df: DataFrame, scorer: RowScorer, spec: EvaluationSpec, least_cost: Mapping[str, str]
) -> EvaluationResult:
    segments = evaluate_segments(
        known_df,
        scorer,
        spec.problem,
        least_cost,
        grouped=spec.grouped,
        by=spec.evaluate.by,
        exact=spec.evaluate.exact,
    )
    overall = segments.pop(())
    fairness = collect_fairness(
        scorer.score(known_df),
        spec.problem,
        spec.fairness,
        seed=spec.seed,
        natural=natural_probabilities(scorer),
        index=column(LABEL).cast("int"),
        least_cost=least_cost,
        prior=scorer.ledger.prior,
    )
    return EvaluationResult(overall, segments, fairness)


def _require_decisions(least_cost: Mapping[str, str], decisions: Sequence[str]) -> None:
    gone = sorted(set(least_cost.values()) - set(decisions))
    if gone:
        raise ModelError(
            f"The model was trained to decide between {join_names(gone)} and others; the "
            f"configuration has {join_names(decisions)}.",
            hint="train again, or evaluate with the costs that it was trained with.",
        )


def summarise_segments(result: EvaluationResult, settings: Evaluate) -> tuple[Segment, ...]:
    """Return the record of each segment; segments with few rows are counted, not measured.

    Those of fewer than `MIN_NAMED` rows are one segment, of the value `OTHERS` in each column.
    """
    every = [
        _segment(dict(zip(settings.by, key, strict=True)), evaluation, settings.min_rows)
        for key, evaluation in result.segments.items()
    ]
    named = tuple(each for each in every if each.measured or each.rows >= MIN_NAMED)
    rare = [each for each in every if not each.measured and each.rows < MIN_NAMED]
    if not rare:
        return named
    others = dict.fromkeys(settings.by, OTHERS)
    rows, weight = sum(each.rows for each in rare), sum(each.weight for each in rare)
    return (*named, Segment(others, rows, weight, measured=False))


def _segment(values: dict[str, str | None], evaluation: Evaluation, least: int) -> Segment:
    weights = {
        name: sum(cell.weight for cell in row.values()) for name, row in evaluation.cells.items()
    }
    weight = sum(weights.values())
    if evaluation.rows < least or weight <= 0:
        return Segment(values, evaluation.rows, weight, measured=False)
    return Segment(
        values,
        evaluation.rows,
        weight,
        measured=True,
        savings=evaluation.savings(MODEL),
        cost=evaluation.cost(MODEL),
        cost_interval=evaluation.cost_interval(MODEL),
        decisions={name: cell_weight / weight for name, cell_weight in weights.items()},
        classes={
            name: SegmentClass(
                cell_weight.share,
                cell_weight.mean_probability,
                cell_weight.auc,
                cell_weight.intervals["auc"],
                cell_weight.recall,
            )
            for name, cell_weight in evaluation.classes.items()
        },
    )
