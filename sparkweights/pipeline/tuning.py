"""The tuning stage: every candidate through the whole pipeline, on each fold of one kept table."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from pyspark import inheritable_thread_target
from pyspark.sql import functions as F  # noqa: N812

from sparkweights.columns import sample_weight
from sparkweights.costs import cost_columns
from sparkweights.decision import WEIGHTS, Ledger, realised_cost
from sparkweights.errors import ConfigError
from sparkweights.models import learner
from sparkweights.models.learner import FEATURES, LABEL, WEIGHT
from sparkweights.pipeline.evaluating import paid
from sparkweights.pipeline.finishing import finish
from sparkweights.pipeline.preparing import (
    PART,
    Size,
    constraints_of,
    divide,
    infinite_measures,
    learn_plan,
    prepared,
    require_finite,
    split_order,
    weigh,
)
from sparkweights.pipeline.scoring import Scorer
from sparkweights.split import CALIBRATE, FIT, fold, hash_columns, require_fold_rows
from sparkweights.tune import (
    Effect,
    Settings,
    Trial,
    candidates,
    cheapest,
    choose,
    effect_of_weights,
    log_grid,
    ratio_weights,
)
from sparkweights.weights import WeightRule, WeightSpec, mean_regrets, weigh_frequencies

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from concurrent.futures import Future

    from pyspark.sql import Column, DataFrame

    from sparkweights.config import Config
    from sparkweights.models import FeaturePlan
    from sparkweights.pipeline.preparing import Weighed
    from sparkweights.pipeline.progress import Progress
    from sparkweights.split import Split
    from sparkweights.weights import Weighting

FOLD = "__fold"
REACH = 4  # the grid ends at this multiple of the balanced or the cost ratio
MOST_FITS = 1_000


@dataclass(frozen=True)
class Tuning:
    """The tuning stage's record.

    Attributes
    ----------
    rows
        Fit rows that took part.
    trials
        What each candidate cost.
    best, chosen
        The cheapest, and the least weighted that chance could not tell from it.
    effect
        What weighting is worth; None where no candidate was without weights.
    references
        Name -> the ratio that the scheme of this name has here.
    constant_cost
        Mean cost of a row under the best constant decision.
    weights
        Class name -> weight of the chosen trial; None for the configured scheme.
    """

    rows: int
    trials: tuple[Trial, ...]
    best: Trial
    chosen: Trial
    effect: Effect | None
    references: dict[str, float]
    constant_cost: float
    weights: dict[str, float] | None


@dataclass(frozen=True)
class _Table:
    """The kept rows and what all trials share."""

    df: DataFrame
    config: Config
    weighed: Weighed
    plan: FeaturePlan
    calibrating: Size


def tune(labelled_df: DataFrame, config: Config, progress: Progress) -> Tuning:
    """Try weight ratios and parameters by cross-validated expected cost.

    Folds are parts of the fit rows alone: the rows that `train` tests on stay unseen. Each fold is
    fitted, undone, calibrated and priced as `train` would.

    Raises
    ------
    ConfigError
        If there are too many candidates, or resampling would bend the held-out rows.
    InputError
        If a fold lacks rows of a class.
    """
    if config.resample is not None:
        raise ConfigError(
            "tune: resample would thin or repeat the rows that are held out.",
            hint="leave resample out to tune; weights and resampling do the same work.",
        )
    progress.step("counting classes and cutting folds")
    weighed = weigh(labelled_df, config)
    settings, references = _candidates(config, weighed)
    split, divided_df = divide(labelled_df, config, weighed, folds=_parts(config))
    plan = learn_plan(divided_df, config)
    rule, folds = weighed.weighting.rule, {FOLD: _fold(labelled_df, config, split)}
    with prepared(divided_df, config, rule, plan, also=folds) as prepared_df:
        rows, calibrating, constant = _count(prepared_df, config, weighed)
        table = _Table(prepared_df, config, weighed, plan, calibrating)
        trials = _run_trials(table, settings, progress)
    chosen = choose(trials)
    ratio = chosen.settings.ratio
    return Tuning(
        rows,
        tuple(trials),
        cheapest(trials),
        chosen,
        effect_of_weights(trials),
        references,
        constant,
        None if ratio is None else ratio_weights(weighed.weighting.prior, ratio),
    )


def _candidates(config: Config, weighed: Weighed) -> tuple[list[Settings], dict[str, float]]:
    wanted, references = config.tune, _references(weighed)
    low, high = wanted.ratio or (1.0, REACH * max(references.values()))
    ratios = log_grid(low, high, wanted.points)
    configured = not _on_curve(weighed.weighting, low, high)
    found = candidates(ratios, wanted.params, configured=configured)
    if len(found) * wanted.folds > MOST_FITS:
        raise ConfigError(
            f"tune: {len(found)} candidates in {wanted.folds} folds are "
            f"{len(found) * wanted.folds:,} fits; at most {MOST_FITS:,} are allowed.",
            hint="list fewer values under tune.params, or lower tune.points.",
        )
    return found, references


def _on_curve(weighting: Weighting, low: float, high: float) -> bool:
    """Whether the configured weights are those of a ratio within the grid, which covers them.

    One weight per class is a point of the curve where there are two classes; of more, only where
    the others lie between as `ratio_weights` has them. Weights by group or by row are none.
    """
    constants, prior = weighting.rule.constants, weighting.prior
    if constants is None:
        return False
    weights = dict(zip(prior, constants, strict=True))
    rare, common = (pick(prior, key=prior.__getitem__) for pick in (min, max))
    if rare == common:  # of classes equally common, the last is the one that a ratio is about
        rare = list(prior)[-1]
    ratio = weights[rare] / weights[common]
    if not low * (1 - 1e-6) <= ratio <= high * (1 + 1e-6):
        return False
    line = ratio_weights(prior, ratio) if len(prior) > 2 else weights  # noqa: PLR2004 (two have one ratio)
    return all(
        math.isclose(weights[name] / weights[common], line[name] / line[common], rel_tol=1e-3)
        for name in prior
    )


def _references(weighed: Weighed) -> dict[str, float]:
    """Return the ratios of no weights, of balanced ones, and of the mean regrets."""
    prior = weighed.weighting.prior
    rare, common = (list(prior).index(pick(prior, key=prior.__getitem__)) for pick in (min, max))
    found = {"none": 1.0, "balanced": max(prior.values()) / min(prior.values())}
    regrets = mean_regrets(weighed.summary)
    if min(regrets[rare], regrets[common]) > 0 and rare != common:
        found["cost"] = regrets[rare] / regrets[common]
    return found


def _parts(config: Config) -> int:
    """Into how many parts the fit rows are cut; forward in time, the first is only learned from."""
    return config.tune.folds + (config.split.by is not None)


def _fold(labelled_df: DataFrame, config: Config, split: Split) -> Column:
    wanted = config.tune
    if wanted.group:
        return F.floor(hash_columns(wanted.group, config.seed) * wanted.folds).cast("int")
    return fold(split, config.roles, split_order(labelled_df, config))


def _count(prepared_df: DataFrame, config: Config, weighed: Weighed) -> tuple[int, Size, float]:
    """Count fit and calibration rows, and price the best constant decision; fills the cache."""
    matrix, costs, index = config.matrix, cost_columns(config.matrix), F.col(LABEL).cast("int")
    weight = sample_weight(config.roles)
    found = (
        prepared_df.groupBy(PART, FOLD, LABEL)
        .agg(
            F.count(F.lit(1)).alias("rows"),
            F.sum(weight).alias("weight"),
            *[
                F.sum(weight * realised_cost(F.lit(name), index, matrix.decisions, costs)).alias(
                    f"cost_{d}"
                )
                for d, name in enumerate(matrix.decisions)
            ],
            *infinite_measures(),
        )
        .collect()
    )
    require_finite(found)
    fit = [row for row in found if row[PART] == FIT]
    names = config.roles.class_names
    require_fold_rows(
        {(row[FOLD], names[int(row[LABEL])]): row["rows"] for row in fit},
        names,
        _parts(config),
        table=weighed.summary.rows_by_class,
    )
    # Forward in time the first fold is never held out, and nothing is saved on it.
    judged = [row for row in fit if row[FOLD] >= _parts(config) - config.tune.folds]
    total = sum(row["weight"] for row in judged)
    totals = [sum(row[f"cost_{d}"] for row in judged) for d in range(len(matrix.decisions))]
    held = [row for row in found if row[PART] == CALIBRATE]
    calibrating = Size(sum(row["rows"] for row in held), sum(row["weight"] for row in held))
    return sum(row["rows"] for row in fit), calibrating, min(totals) / total


def _run_trials(table: _Table, settings: Sequence[Settings], progress: Progress) -> list[Trial]:
    """Run every candidate on every fold, a few at a time."""
    wanted = table.config.tune
    held_out = range(_parts(table.config) - wanted.folds, _parts(table.config))
    tasks = [partial(_collect_cost, table, one, held) for one in settings for held in held_out]
    progress.step(f"fitting {len(tasks)} models, {wanted.parallelism} at a time")
    spark = table.df.sparkSession
    carry: Any = inheritable_thread_target(spark)  # each thread keeps the session's settings
    with ThreadPoolExecutor(wanted.parallelism) as pool:
        jobs = [pool.submit(carry(task)) for task in tasks]
        try:
            costs = [job.result() for job in _told(jobs, progress)]
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    step = wanted.folds
    return [
        Trial(one, tuple(costs[place * step : (place + 1) * step]))
        for place, one in enumerate(settings)
    ]


def _told(jobs: Sequence[Future[float]], progress: Progress) -> Iterator[Future[float]]:
    often = math.ceil(len(jobs) / 10)
    for done, job in enumerate(jobs):
        if done % often == 0 and done:
            progress.step(f"fitted {done} of {len(jobs)} models")
        yield job


def _collect_cost(table: _Table, settings: Settings, held_out: int) -> float:
    """Fit on the other folds, and return what a held-out row costs on average."""
    config, df = table.config, table.df
    rule = _rule(table.weighed, settings)
    learns = F.col(FOLD) < held_out if config.split.by else F.col(FOLD) != held_out
    fit_df = df.filter((F.col(PART) == FIT) & learns).select(
        FEATURES, LABEL, _weight(config, settings, rule).alias(WEIGHT)
    )
    params = {**config.model.params, **settings.params}
    model = learner(config.model.kind).fit(
        fit_df,
        params,
        seed=config.seed,
        classes=len(config.roles.class_names),
        constraints=constraints_of(table.plan, config),
    )
    weighting = table.weighed.weighting
    undoing = weighting.undoing if settings.ratio is None else rule
    ledger = Ledger(weighting.prior).after_bending(WEIGHTS, undoing)
    bare = Scorer(config.model.kind, model, table.plan, config.roles.class_names, ledger)
    scorer = finish(bare, df, config, table.calibrating).scorer
    held_df = df.filter((F.col(PART) == FIT) & (F.col(FOLD) == held_out))
    weight = sample_weight(config.roles)
    cost = paid(scorer, config.matrix, F.col(LABEL).cast("int"))
    row = scorer.score(held_df).agg(F.sum(weight * cost) / F.sum(weight)).first()
    assert row is not None  # noqa: S101 (an aggregate without groups always has its row)
    return float(row[0])


def _rule(weighed: Weighed, settings: Settings) -> WeightRule:
    if settings.ratio is None:
        return weighed.weighting.rule
    manual = ratio_weights(weighed.weighting.prior, settings.ratio)
    frequencies = weighed.weighting.frequencies
    return weigh_frequencies(frequencies, WeightSpec("manual", manual=manual)).rule


def _weight(config: Config, settings: Settings, rule: WeightRule) -> Column:
    if settings.ratio is None:
        return F.col(WEIGHT)
    by_class = F.array(*map(F.lit, rule.constants or ()))
    return F.element_at(by_class, F.col(LABEL).cast("int") + 1) * sample_weight(config.roles)
