"""The training stage: split, features, fit, undo, calibrate, evaluate, gate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pyspark.sql import functions as F  # noqa: N812

from sparkweights.columns import sample_weight
from sparkweights.decision import (
    RESAMPLING,
    WEIGHTS,
    Ledger,
    collect_histogram,
)
from sparkweights.evaluate.stability import collect_bins
from sparkweights.models import learner
from sparkweights.models.learner import FEATURES, LABEL, WEIGHT
from sparkweights.pipeline.evaluating import evaluate, right_decisions
from sparkweights.pipeline.finishing import Finished, finish
from sparkweights.pipeline.preparing import (
    PART,
    count_parts,
    divide,
    learn_plan,
    plan_resampling,
    prepared,
)
from sparkweights.pipeline.reasoning import reference_of
from sparkweights.pipeline.scoring import Scorer
from sparkweights.quality import gate_base_rate, gate_costs
from sparkweights.split import CALIBRATE, FIT, TEST, Split, require_rows

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pyspark.sql import DataFrame

    from sparkweights.config import Config
    from sparkweights.decision.priors import ScoreHistogram
    from sparkweights.evaluate.stability import ColumnBins
    from sparkweights.pipeline.evaluating import JudgedRows
    from sparkweights.pipeline.preparing import PartCounts, Weighed
    from sparkweights.pipeline.progress import Progress
    from sparkweights.resample import Resampling


@dataclass(frozen=True)
class Trained:
    """The train stage's record: a scorer, how its rows were split, and what it is worth.

    ``scores`` are those of the test rows by class, for label shift to start from; ``reference``
    is what a linear model's reasons compare a row with, where reasons are wanted; ``bins`` is what
    `monitor` compares tables with.
    """

    finished: Finished
    split: Split
    rows: Mapping[str, int]
    evaluation: JudgedRows
    scores: ScoreHistogram
    reference: tuple[float, ...]
    bins: tuple[ColumnBins, ...]
    resampling: Resampling | None

    def _repr_html_(self) -> str:
        return self.evaluation._repr_html_()

    @property
    def scorer(self) -> Scorer:
        """The scorer alone."""
        return self.finished.scorer


def train(labelled_df: DataFrame, config: Config, weighed: Weighed, progress: Progress) -> Trained:
    """Fit, undo, calibrate and evaluate a model on disjoint rows of the labelled table.

    Raises
    ------
    InputError
        If a part holds too few rows of a class, or a feature cannot be used.
    QualityGateError
        If the calibrated probabilities miss the base rate, or decisions cost far more or less
        than they are expected to.
    """
    roles, rule = config.roles, weighed.weighting.rule
    weight = sample_weight(roles)
    split, divided_df = divide(labelled_df, config, weighed)
    progress.step("learning the features")
    plan = learn_plan(divided_df, config)
    thinning = plan_resampling(config, weighed)
    with prepared(divided_df, config, rule, plan, thinning=thinning) as prepared_df:
        counts = count_parts(prepared_df, config)
        require_rows(counts.by_class, roles)
        rows = counts.rows
        progress.step(f"fitting {config.model.kind}")
        fit_df = prepared_df.filter(F.col(PART) == FIT).select(FEATURES, LABEL, WEIGHT)
        prior, undoing = _natural_prior(counts, config, weighed), weighed.weighting.undoing
        ledger = Ledger(prior).after_bending(WEIGHTS, undoing)
        if thinning is not None:
            ledger = ledger.after_bending(RESAMPLING, thinning.rule())
        model = learner(config.model.kind).fit(
            fit_df, config.model.params, seed=config.seed, classes=len(roles.class_names)
        )
        bare = Scorer(config.model.kind, model, plan, roles.class_names, ledger)
        progress.step("calibrating on held-out rows")
        finished = finish(bare, prepared_df, config, counts.size(CALIBRATE))
        scorer = finished.scorer
        progress.step("evaluating on the test rows")
        test_df = prepared_df.filter(F.col(PART) == TEST)
        evaluation = evaluate(
            test_df, scorer, config, right_decisions(config.matrix, weighed.summary)
        )
        scores = collect_histogram(
            scorer.score(test_df),
            scorer.probability_cols,
            index=F.col(LABEL).cast("int"),
            weight=weight,
        )
        reference = reference_of(test_df, scorer, config)
    _gate(evaluation, config, rows, prior)
    tested_df = divided_df.filter(F.col(PART) == TEST)
    bins = collect_bins(tested_df, roles.numeric, roles.categorical, weight)
    return Trained(finished, split, rows, evaluation, scores, reference, bins, thinning)


def _gate(
    evaluation: JudgedRows, config: Config, rows: Mapping[str, int], prior: Mapping[str, float]
) -> None:
    """Stop where probabilities miss the base rate, or decisions the cost that they promise."""
    calibrated = config.decision.calibration != "none"
    gate_base_rate(
        evaluation,
        config.decision.base_rate_tolerance,
        stratified=config.split.by is None,
        calibration_share=rows[TEST] / rows[CALIBRATE] if calibrated else 0.0,
        prior=prior,
    )
    gate_costs(evaluation, config.decision.cost_tolerance)


def _natural_prior(counts: PartCounts, config: Config, weighed: Weighed) -> Mapping[str, float]:
    """Return the class shares that undone and calibrated probabilities speak of.

    A split by hash gives every part the shares of the table. Parts in time have their own: then
    they are those of the rows that had the last word on the probabilities.
    """
    if config.split.by is None:
        return weighed.weighting.prior
    if config.decision.calibration != "none":
        return counts.shares(CALIBRATE)
    return weighed.weighting.prior if config.resample is not None else counts.shares(FIT)
