"""Class weights where costs are heavy-tailed amounts, against the true probabilities.

The amount is lognormal(4, 1.2), a feature that has no part in the risk. Approving a fraud costs the
amount, declining a good row costs 10. Of 40,000 labelled rows 24,000 fit, 8,000 calibrate and 8,000
test; decisions and probabilities are then compared with the truth on new rows, whose p is known, so
that costs are expectations under it and carry no luck of outcomes.

The top 1 % of amounts holds about 18 frauds of the fit rows, so that its ratio of p to the true p
has a standard deviation of about .1 from draw to draw, without weights as with them. Its bars are
therefore those of the mean over ten draws, fitted by XGBoost without Spark with the product's
weights; what the whole pipeline gives there on its few draws is a figure.
"""

from __future__ import annotations

import sys
import tempfile
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
import xgboost
from pyspark import inheritable_thread_target
from sklearn.isotonic import IsotonicRegression

from benchmarks.harness import Bar, figure
from sparkweights import Config
from sparkweights.config.resolve import training_spec
from sparkweights.core.progress import LoggedProgress
from sparkweights.storage.location import Location
from sparkweights.training.data import weigh
from sparkweights.training.train import train
from sparkweights.weights.choose import mean_regrets, weigh_frequencies
from sparkweights.weights.class_frequencies import ClassFrequency
from sparkweights.weights.frequencies import Cell, ClassSummary
from sparkweights.weights.spec import BY_ROW, WeightSpec

if TYPE_CHECKING:
    from collections.abc import Callable

    from pyspark.sql import DataFrame, SparkSession

    from sparkweights.scoring.scorer import Scorer

    Array = np.ndarray[tuple[int, ...], np.dtype[np.float64]]

LEARNERS: dict[str, dict[str, Any]] = {
    "logistic": {"regParam": 1e-4},
    "boosted_trees": {"maxIter": 100, "maxDepth": 3, "stepSize": 0.1},
    "xgboost": {"n_estimators": 100, "max_depth": 3, "learning_rate": 0.1},
}
SCHEMES: dict[str, dict[str, Any]] = {
    "none": {"scheme": "none"},
    "balanced": {"scheme": "balanced"},
    "tempered": {"scheme": "tempered", "power": 0.5},
    "effective_number": {"scheme": "effective_number", "beta": 0.9999},
    "cost": {"scheme": "cost"},
    "cost_balanced": {"scheme": "cost_balanced"},
    BY_ROW: {"scheme": BY_ROW},
}
# Of labelled tables; 1 for the others. The heaviest weights vary most from draw to draw.
DRAWS = {"cost": 3, "cost_balanced": 10}
DRAWS_ALONE = 10  # of tables for XGBoost without Spark
NEW_ALONE = 100_000
PARALLEL = 2  # models that are fitted at a time
LOST = 10.0  # what declining a good row costs
SLOPES = (1.5, 1.0)
INTERCEPT = -3.6  # 7.6 % frauds
BOUNDS = (*np.arange(0.1, 0.95, 0.1), 0.99)  # quantiles of the amount that part new rows


class Outcome(NamedTuple):
    """What a model's probabilities are worth on new rows.

    Attributes
    ----------
    cost
        Expected cost of its decisions over that of the decisions by the true p.
    claimed
        What it expects its decisions to cost, over what they do.
    ratios
        Mean p over mean true p, by ranges of the amount from the lowest tenth to the top 1 %.
    """

    cost: float
    claimed: float
    ratios: tuple[float, ...]


def run(
    open_session: Callable[[], SparkSession], *, quick: bool
) -> tuple[dict[str, Any], list[Bar]]:
    """Return figures for every scheme and learner, and bars for all schemes but cost_by_row."""
    spark = open_session()
    rows, new_rows = (3_000, 5_000) if quick else (40_000, 200_000)
    learners = ["logistic"] if quick else list(LEARNERS)
    new_df = _table(spark, draw_rows(new_rows, seed=999))
    outcomes: dict[tuple[str, str], list[Outcome]] = defaultdict(list)
    for seed in range(1 if quick else max(DRAWS.values())):
        df = _table(spark, draw_rows(rows, seed))
        tried = [
            (kind, scheme) for kind in learners for scheme in SCHEMES if seed < DRAWS.get(scheme, 1)
        ]
        tasks = [partial(_outcome, df, new_df, kind, scheme, seed) for kind, scheme in tried]
        carry: Any = inheritable_thread_target(spark)
        with ThreadPoolExecutor(PARALLEL) as pool:
            for key, outcome in zip(tried, pool.map(_call, map(carry, tasks)), strict=True):
                outcomes[key].append(outcome)
        df.unpersist()
    figures, bars = _figures(outcomes), _bars(outcomes)
    for scheme in SCHEMES:
        draws = [_without_spark(scheme, seed, rows) for seed in range(1 if quick else DRAWS_ALONE)]
        top, lowest = ([ratios[place] for ratios in draws] for place in (-1, 0))
        name = f"weights: {DRAWS_ALONE} draws of xgboost alone, {scheme}: p / true p"
        figures[f"{name}, lowest tenth of amounts"] = figure(lowest, "ratio")
        figures[f"{name}, top 1 %"] = figure(top, "ratio")
        if scheme != BY_ROW:
            bars += [
                Bar(f"{name}, top 1 %, at least", float(np.mean(top)), 0.8, at_most=False),
                Bar(f"{name}, top 1 %, at most", float(np.mean(top)), 1.25),
            ]
    return figures, bars


def _without_spark(scheme: str, seed: int, rows: int) -> list[float]:
    """Return mean p over mean true p by ranges of the amount, of XGBoost on the driver."""
    frame = draw_rows(rows + NEW_ALONE, seed)
    amount, truth, label = (frame[name].to_numpy() for name in ("amount", "truth", "fraud"))
    features = frame[["amount", *(f"x{i}" for i in range(len(SLOPES)))]].to_numpy()
    fit_rows, calibrate = slice(0, rows * 3 // 5), slice(rows * 3 // 5, rows * 4 // 5)
    weights = _weights(scheme, amount[fit_rows], label[fit_rows])
    if scheme == BY_ROW:
        w0, w1 = np.full(len(frame), LOST), amount
    else:
        w0, w1 = (np.full(len(frame), weight) for weight in weights)
    own = np.where(label == 1, w1, w0)[fit_rows]
    data = xgboost.DMatrix(features[fit_rows], label[fit_rows], weight=own / own.mean())
    settings = {"objective": "binary:logistic", "max_depth": 3, "eta": 0.1}
    q = xgboost.train(settings, data, 100).predict(xgboost.DMatrix(features)).astype(float)
    odds = q / (1 - q) * w0 / w1
    p = odds / (1 + odds)
    calibrator = IsotonicRegression(out_of_bounds="clip").fit(p[calibrate], label[calibrate])
    return _ratios(amount[rows:], truth[rows:], calibrator.predict(p[rows:]))


def _weights(scheme: str, amount: Array, label: Array) -> tuple[float, ...]:
    """Return the product's weight of each class, from sums over the fit rows."""
    frauds = int(label.sum())
    good, bad = len(label) - frauds, float(amount[label == 1].sum())
    frequencies = (
        ClassFrequency("legit", good, good, good),
        ClassFrequency("fraud", frauds, frauds, frauds),
    )
    cells = (
        Cell(None, 0, good, good, good, costs=(0.0, LOST * good), cheapest=(good, 0)),
        Cell(None, 1, frauds, frauds, frauds, costs=(bad, 0.0), cheapest=(0, frauds)),
    )
    if scheme == BY_ROW:
        return ()
    spec = WeightSpec(**SCHEMES[scheme], cap=50)
    summary = ClassSummary(frequencies, cells)
    return weigh_frequencies(frequencies, spec, mean_regrets(summary)).rule.constants or ()


def _call(task: Callable[[], Outcome]) -> Outcome:
    return task()


def _table(spark: SparkSession, frame: pd.DataFrame) -> DataFrame:
    df = spark.createDataFrame(frame).repartition(2).cache()
    df.count()
    return df


def _outcome(df: DataFrame, new_df: DataFrame, kind: str, scheme: str, seed: int) -> Outcome:
    outcome = measure(fit(df, kind, SCHEMES[scheme], seed), new_df)
    told = ", ".join(f"{ratio:.2f}" for ratio in outcome.ratios)
    print(
        f"draw {seed}: {kind}, {scheme}: cost {outcome.cost:.4f}, claimed {outcome.claimed:.3f}, "
        f"p / true p by amount {told}",
        file=sys.stderr,
    )
    return outcome


def _figures(outcomes: dict[tuple[str, str], list[Outcome]]) -> dict[str, Any]:
    figures = {}
    for (kind, scheme), found in outcomes.items():
        name = f"weights: {kind}, {scheme}"
        ratios = np.array([outcome.ratios for outcome in found])
        figures[f"{name}: cost / cost of the true p"] = figure([o.cost for o in found], "ratio")
        figures[f"{name}: expected / realised"] = figure([o.claimed for o in found], "ratio")
        for place, label in ((0, "lowest tenth"), (-2, "90th to 99th percentile"), (-1, "top 1 %")):
            values = ratios[:, place].tolist()
            figures[f"{name}: p / true p, {label} of amounts"] = figure(values, "ratio")
    return figures


def _bars(outcomes: dict[tuple[str, str], list[Outcome]]) -> list[Bar]:
    """Return the promises, each of the mean over the draws."""
    bars = []
    for (kind, scheme), found in outcomes.items():
        if scheme == BY_ROW:
            continue
        name = f"weights: {kind}, {scheme}"
        *ratios, _ = np.mean([outcome.ratios for outcome in found], axis=0)
        claimed = float(np.mean([outcome.claimed for outcome in found]))
        bars += [
            Bar(f"{name}: cost", float(np.mean([outcome.cost for outcome in found])), 1.035),
            Bar(f"{name}: least p / true p to the 99th", min(ratios), 0.85, at_most=False),
            Bar(f"{name}: greatest p / true p to the 99th", max(ratios), 1.15),
            Bar(f"{name}: expected / realised, at least", claimed, 0.9, at_most=False),
            Bar(f"{name}: expected / realised, at most", claimed, 1.05),
        ]
    return bars


def draw_rows(rows: int, seed: int) -> pd.DataFrame:
    """Return rows of the law above, with the true probability of fraud as column ``truth``."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((rows, len(SLOPES)))
    truth = 1 / (1 + np.exp(-(INTERCEPT + x @ np.array(SLOPES))))
    frame = pd.DataFrame({f"x{i}": x[:, i] for i in range(len(SLOPES))})
    return frame.assign(
        id=np.arange(rows),
        amount=rng.lognormal(4, 1.2, rows),
        truth=truth,
        fraud=(rng.random(rows) < truth).astype(int),
    )


def fit(df: DataFrame, kind: str, weights: dict[str, Any], seed: int) -> Scorer:
    """Train with the product's defaults but for the weights."""
    config = Config(
        name="amounts",
        seed=seed,
        columns={
            "keys": ["id"],
            "label": "fraud",
            "classes": {"legit": 0, "fraud": 1},
            "numeric": ["amount", *(f"x{i}" for i in range(len(SLOPES)))],
        },
        costs={"approve": {"legit": 0, "fraud": "amount"}, "decline": {"legit": LOST, "fraud": 0}},
        weights=weights,
        model={"kind": kind, "params": LEARNERS[kind]},
        decision={"base_rate_tolerance": 1.0},  # the figures below judge, not the gate
    )
    with tempfile.TemporaryDirectory() as name:
        own = training_spec(config.model_copy(update={"folder": Location.of(name)}), df.columns)
        return train(df, own, weigh(df, own), LoggedProgress()).scorer


def measure(scorer: Scorer, new_df: DataFrame) -> Outcome:
    """Compare a model with the truth on new rows."""
    p_col = scorer.probability_cols[1]
    frame = scorer.score(new_df).select("amount", "truth", p_col).toPandas()
    amount, truth, p = (frame[name].to_numpy() for name in ("amount", "truth", p_col))

    def cost(decide_by: np.ndarray, price_by: np.ndarray) -> float:
        declined = decide_by * amount > (1 - decide_by) * LOST
        return float(np.where(declined, (1 - price_by) * LOST, price_by * amount).mean())

    return Outcome(
        cost(p, truth) / cost(truth, truth),
        cost(p, p) / cost(p, truth),
        tuple(_ratios(amount, truth, p)),
    )


def _ratios(amount: Array, truth: Array, p: Array) -> list[float]:
    place = np.searchsorted(np.quantile(amount, BOUNDS), amount)
    sums = [np.bincount(place, weights=values) for values in (p, truth)]
    ratios: list[float] = (sums[0] / sums[1]).tolist()
    return ratios
