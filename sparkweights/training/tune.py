"""The tuning stage: every candidate through the whole pipeline, on each fold of a stored table."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from pyspark import inheritable_thread_target
from pyspark.sql import functions as F

from sparkweights.core.columns import sample_weight
from sparkweights.core.errors import ConfigError
from sparkweights.models.base import FEATURES, LABEL, WEIGHT
from sparkweights.probability.corrections import WEIGHTS, Ledger
from sparkweights.sampling.hashing import Stream, uniform
from sparkweights.sampling.split import CALIBRATE, FIT, TEST, fold
from sparkweights.scoring.scorer import natural_probabilities
from sparkweights.training.cross_fit import fit_scorer
from sparkweights.training.data import (
    PART,
    Size,
    divide,
    infinite_measures,
    learn_plan,
    prepare_rows,
    require_finite,
    split_order,
    weigh,
)
from sparkweights.training.folds import (
    divide_forward,
    fold_columns,
    fold_rows,
    held_out_roles,
    learn_fold_plans,
    require_role_rows,
    role_col,
)
from sparkweights.training.select import select_and_calibrate
from sparkweights.training.trials import FoldCosts, Settings, Trial, Verdict, compare_trials
from sparkweights.training.weight_grid import candidates, log_grid, ratio_weights
from sparkweights.weights.choose import mean_regrets, weigh_frequencies
from sparkweights.weights.spec import WeightSpec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from concurrent.futures import Future

    from pyspark.sql import Column, DataFrame

    from sparkweights.core.progress import Progress
    from sparkweights.features.plan import FeaturePlan
    from sparkweights.sampling.split import Split
    from sparkweights.spec.training import TrainingSpec
    from sparkweights.training.data import WeightingResult
    from sparkweights.weights.choose import Weighting
    from sparkweights.weights.rule import WeightRule

BLOCK = "__trial_block"
BLOCKS = 100  # of each fold, by which trials are compared
REACH = 4  # the grid ends at this multiple of the balanced or the cost ratio
MAX_FITS = 1_000


@dataclass(frozen=True)
class Tuning:
    """The result of tuning.

    Attributes
    ----------
    rows
        Fit rows that took part.
    trials
        What each candidate cost.
    verdict
        Whether weighting saves cost, and which trial is chosen.
    references
        Name -> the ratio that the scheme of this name has here.
    constant_cost
        Mean cost of a row under the best constant decision.
    weights
        Class name -> weight of the chosen trial; None for the configured scheme.
    """

    rows: int
    trials: tuple[Trial, ...]
    verdict: Verdict
    references: dict[str, float]
    constant_cost: float
    weights: dict[str, float] | None


@dataclass(frozen=True)
class _Table:
    """The prepared rows and what all trials share; a plan, and rows to calibrate, per fold."""

    df: DataFrame
    spec: TrainingSpec
    class_weights: WeightingResult
    plans: tuple[FeaturePlan, ...]
    calibrating: list[Size]


def tune(labelled_df: DataFrame, spec: TrainingSpec, progress: Progress) -> Tuning:
    """Try weight ratios and parameters by cross-validated expected cost.

    Folds are parts of the fit rows alone: the rows that `train` tests on stay unseen. Each fold is
    fitted, corrected, calibrated and evaluated as `train` does. With a split by time, it is fitted
    on rows before those that it holds out.

    Raises
    ------
    ConfigError
        If there are too many candidates, or resampling is configured.
    InputError
        If a fold lacks rows of a class.
    """
    if spec.resample is not None:
        raise ConfigError(
            "tune: resample would change the rows that are held out; allowed: no resample.",
            hint="leave resample out to tune; weights and resampling do the same work.",
        )
    progress.step("counting classes and assigning folds")
    tune_settings = spec.tune
    class_weights = weigh(labelled_df, spec)
    trial_settings, references = _candidates(spec, class_weights)
    if spec.split.by is None:
        split, divided_df = divide(labelled_df, spec, class_weights, folds=tune_settings.folds)
        roles = held_out_roles(_fold(labelled_df, spec, split), tune_settings.folds)
    else:
        divided_df, roles = divide_forward(labelled_df, spec, tune_settings.folds)
    plan = learn_plan(divided_df, spec)
    plans = learn_fold_plans(divided_df, spec, plan, roles)
    also = {BLOCK: _block(spec), **fold_columns(spec, plans, roles)}
    with prepare_rows(
        divided_df, spec, class_weights.weighting.rule, plan, also=also
    ) as prepared_df:
        rows, sizes, constant = _count(prepared_df, spec)
        table = _Table(
            prepared_df, spec, class_weights, plans or (plan,) * tune_settings.folds, sizes
        )
        trials = _run_trials(table, trial_settings, progress)
    verdict = compare_trials(trials, forward=spec.split.by is not None)
    ratio = verdict.chosen.settings.ratio
    return Tuning(
        rows,
        tuple(trials),
        verdict,
        references,
        constant,
        None if ratio is None else ratio_weights(class_weights.weighting.prior, ratio),
    )


def _candidates(
    spec: TrainingSpec, class_weights: WeightingResult
) -> tuple[list[Settings], dict[str, float]]:
    tune_settings, references = spec.tune, _references(class_weights)
    low, high = tune_settings.ratio or (1.0, REACH * max(references.values()))
    ratios = log_grid(low, high, tune_settings.points)
    configured = not _on_curve(class_weights.weighting, low, high)
    settings = candidates(ratios, tune_settings.params, configured=configured)
    if len(settings) * tune_settings.folds > MAX_FITS:
        raise ConfigError(
            f"tune: {len(settings)} candidates in {tune_settings.folds} folds are "
            f"{len(settings) * tune_settings.folds:,} fits; at most {MAX_FITS:,} are allowed.",
            hint="list fewer values under tune.params, or lower tune.points.",
        )
    return settings, references


def _on_curve(weighting: Weighting, low: float, high: float) -> bool:
    """Whether the configured weights are those of a ratio within the grid, which covers them.

    With two classes, constant class weights are a point of the curve. With more, they are one only
    if the other weights equal those of `ratio_weights`. Weights by group or by row are not.
    """
    constants, prior = weighting.rule.constants, weighting.prior
    if constants is None:
        return False
    weights = dict(zip(prior, constants, strict=True))
    rare, common = (pick(prior, key=prior.__getitem__) for pick in (min, max))
    if rare == common:  # of equally common classes, the ratio is that of the last
        rare = list(prior)[-1]
    ratio = weights[rare] / weights[common]
    if not low * (1 - 1e-6) <= ratio <= high * (1 + 1e-6):
        return False
    line = ratio_weights(prior, ratio) if len(prior) > 2 else weights  # two classes have one ratio
    return all(
        math.isclose(weights[name] / weights[common], line[name] / line[common], rel_tol=1e-3)
        for name in prior
    )


def _references(class_weights: WeightingResult) -> dict[str, float]:
    """Return the ratios of no weights, of balanced ones, and of the mean regrets."""
    prior = class_weights.weighting.prior
    rare, common = (list(prior).index(pick(prior, key=prior.__getitem__)) for pick in (min, max))
    ratios = {"none": 1.0, "balanced": max(prior.values()) / min(prior.values())}
    regrets = mean_regrets(class_weights.summary)
    if min(regrets[rare], regrets[common]) > 0 and rare != common:
        ratios["cost"] = regrets[rare] / regrets[common]
    return ratios


def _fold(labelled_df: DataFrame, spec: TrainingSpec, split: Split) -> Column:
    settings = spec.tune
    if settings.group:  # the split's own order, of rows or of its groups, would fill some folds
        number = uniform(settings.group, spec.seed, Stream.TUNING_FOLDS)
        return F.floor(number * settings.folds).cast("int")
    return fold(split, spec.problem.roles, split_order(labelled_df, spec))


def _block(spec: TrainingSpec) -> Column:
    """Return the block of a row: rows of one group, or of one key, share it."""
    names = spec.tune.group or spec.unit_columns
    return F.floor(uniform(names, spec.seed, Stream.BLOCKS) * BLOCKS).cast("int")


def _count(prepared_df: DataFrame, spec: TrainingSpec) -> tuple[int, list[Size], float]:
    """Count rows by role, and compute the cost of the best constant decision; fills the cache.

    Returns
    -------
    tuple
        Fit rows; rows to calibrate, per fold; mean cost of a held-out row.
    """
    matrix, policy, index = spec.problem.matrix, spec.problem.policy, F.col(LABEL).cast("int")
    weight = sample_weight(spec.problem.roles)
    folds, names = range(spec.tune.folds), spec.problem.roles.class_names
    measures = [F.count_if(F.col(PART) == FIT).alias("rows"), *infinite_measures()]
    for k in folds:
        for role in (FIT, CALIBRATE, TEST):
            has_role = F.col(role_col(k)) == role
            measures.append(F.count_if(has_role).alias(f"{role}_{k}"))
            measures.append(F.sum(F.when(has_role, weight)).alias(f"{role}_{k}_weight"))
        for d, name in enumerate(matrix.decisions):
            cost = weight * policy.realised_cost(name, index)
            measures.append(F.sum(F.when(has_role, cost)).alias(f"cost_{k}_{d}"))
    counts = prepared_df.groupBy(LABEL).agg(*measures).collect()
    require_finite(counts)
    require_role_rows(
        {
            (k, role, names[int(row[LABEL])]): row[f"{role}_{k}"]
            for row in counts
            for k in folds
            for role in (FIT, CALIBRATE, TEST)
        },
        names,
        spec.tune.folds,
    )

    def total(name: str) -> float:
        return float(sum(row[name] or 0.0 for row in counts))

    weights = sum(total(f"{TEST}_{k}_weight") for k in folds)
    constants = [
        sum(total(f"cost_{k}_{d}") for k in folds) / weights for d in range(len(matrix.decisions))
    ]
    sizes = [Size(int(total(f"{CALIBRATE}_{k}")), total(f"{CALIBRATE}_{k}_weight")) for k in folds]
    return int(total("rows")), sizes, min(constants)


def _run_trials(table: _Table, settings: Sequence[Settings], progress: Progress) -> list[Trial]:
    """Run every candidate on every fold, a few at a time."""
    tune_settings = table.spec.tune
    tasks = [
        partial(_collect_costs, table, candidate, number)
        for candidate in settings
        for number in range(tune_settings.folds)
    ]
    progress.step(f"fitting {len(tasks)} models, {tune_settings.parallelism} at a time")
    spark = table.df.sparkSession
    # Each thread keeps the session's settings.
    carry: Callable[[Callable[[], FoldCosts]], Callable[[], FoldCosts]]
    carry = inheritable_thread_target(spark)
    with ThreadPoolExecutor(tune_settings.parallelism) as pool:
        jobs = [pool.submit(carry(task)) for task in tasks]
        try:
            costs = [job.result() for job in _report_each(jobs, progress)]
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    step = tune_settings.folds
    return [
        Trial(candidate, tuple(costs[i * step : (i + 1) * step]))
        for i, candidate in enumerate(settings)
    ]


def _report_each(
    jobs: Sequence[Future[FoldCosts]], progress: Progress
) -> Iterator[Future[FoldCosts]]:
    often = math.ceil(len(jobs) / 10)
    for done, job in enumerate(jobs):
        if done % often == 0 and done:
            progress.step(f"fitted {done} of {len(jobs)} models")
        yield job


def _collect_costs(table: _Table, settings: Settings, number: int) -> FoldCosts:
    """Fit on a fold's fit rows, and return the costs of its held-out rows, in one pass."""
    spec, df, plan = table.spec, fold_rows(table.df, number), table.plans[number]
    rule, names = _rule(table.class_weights, settings), spec.problem.roles.class_names
    fit_df = df.filter(F.col(PART) == FIT).select(
        FEATURES, LABEL, _weight(spec, settings, rule).alias(WEIGHT)
    )
    weighting = table.class_weights.weighting
    inverse_rule = weighting.inverse_rule if settings.ratio is None else rule
    ledger = Ledger(weighting.prior).with_reweighting(WEIGHTS, inverse_rule)
    params = {**spec.model.params, **settings.params}
    bare = fit_scorer(fit_df, spec.with_model(params=params), plan, ledger)
    scorer = select_and_calibrate(bare, df, spec, table.calibrating[number]).scorer
    index, weight = F.col(LABEL).cast("int"), sample_weight(spec.problem.roles)
    cost = spec.problem.policy.realised_cost_of(natural_probabilities(scorer), index)
    cells = (
        scorer.score(df.filter(F.col(PART) == TEST))
        .groupBy(BLOCK, index.alias("class"))
        .agg(
            F.sum(weight * cost).alias("cost"),
            F.sum(weight).alias("weight"),
        )
        .collect()
    )
    sums, weights = np.zeros((len(names), BLOCKS)), np.zeros(BLOCKS)
    for row in cells:
        sums[row["class"], row[BLOCK]] += row["cost"] or 0.0
        weights[row[BLOCK]] += row["weight"]
    return FoldCosts(sums, weights)


def _rule(class_weights: WeightingResult, settings: Settings) -> WeightRule:
    if settings.ratio is None:
        return class_weights.weighting.rule
    manual = ratio_weights(class_weights.weighting.prior, settings.ratio)
    frequencies = class_weights.weighting.frequencies
    return weigh_frequencies(frequencies, WeightSpec("manual", manual=manual)).rule


def _weight(spec: TrainingSpec, settings: Settings, rule: WeightRule) -> Column:
    if settings.ratio is None:
        return F.col(WEIGHT)
    by_class = F.array(*map(F.lit, rule.constants or ()))
    return F.element_at(by_class, F.col(LABEL).cast("int") + 1) * sample_weight(spec.problem.roles)
